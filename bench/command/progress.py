"""Progress of a command: a bar on a terminal, else a line for each tenth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as ProgressBar


@dataclass(frozen=True)
class Progress:
    """Reported before each cell: how many are done, how many there are, which one runs now."""

    done: int
    total: int
    cell: str


OnProgress: TypeAlias = Callable[[Progress], None]


def announce(words: str) -> None:
    """Say on stderr what is going on, before it takes seconds, such as an import of torch."""
    click.echo(f"bench: {words}", err=True)


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """Show what runs and what remains."""
    from rich.console import Console  # takes a tenth of a second to load

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _print_tenths()
        return
    with _bar_on(console) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.done, total=progress.total, description=progress.cell
            )

        yield show


def _bar_on(console: Console) -> ProgressBar:
    """A bar of one line; the description of what runs is cut where the line would be too long."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as ProgressBar
    from rich.table import Column

    cut = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    return ProgressBar(
        TextColumn("{task.description}", table_column=cut),
        BarColumn(bar_width=16),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
        expand=True,
    )


def _print_tenths() -> OnProgress:
    last_tenth = -1

    def show(progress: Progress) -> None:
        nonlocal last_tenth
        tenth = 10 * progress.done // max(progress.total, 1)
        if progress.total and tenth > last_tenth:
            last_tenth = tenth
            counted = f"{progress.done} of {progress.total} cells"
            click.echo(f"{counted}: {progress.cell}", err=True)

    return show
