"""What all commands share: options, the progress bar, and errors in one line."""

from __future__ import annotations

import dataclasses
import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from bench.errors import InputError

if TYPE_CHECKING:
    from bench.suites.definitions import Suite
    from bench.suites.run import OnProgress, Progress

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_OTHER_MACHINE = 3


def main(command: click.Command, name: str) -> NoReturn:
    """Run a command: exit 0 if it is fine, 1 for failed cells, 2 with one line for bad input.

    Options can be set by the environment, too: BENCH_COMPARE_MINUTES for `compare --minutes`.
    """
    # A cancelled CI job has its worktrees and processes cleared away, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        code = command.main(prog_name=name, standalone_mode=False, auto_envvar_prefix="BENCH")
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        _fail("interrupted; finished cells are kept, run the same command again to go on", 130)
    except KeyboardInterrupt:
        _fail("interrupted; finished cells are kept, run the same command again to go on", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        asked = error.ctx.command_path if error.ctx else name
        _fail(f"no command given (see {asked} --help)", EXIT_BAD_INPUT)
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        asked = f"{where.command_path} --help" if where else f"{name} --help"
        _fail(f"{error.format_message()} (see {asked})", EXIT_BAD_INPUT)
    except InputError as error:
        _fail(str(error), EXIT_BAD_INPUT)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename}", EXIT_BAD_INPUT)


@dataclass(frozen=True)
class Selection:
    """What the shared options name; what is left out is the suite's own."""

    suite: str | None
    problems: tuple[str, ...]
    optimizers: tuple[str, ...]
    kernels: tuple[str, ...]
    devices: tuple[str, ...]
    dtype: str | None
    seeds: int | None
    repetitions: int | None

    @property
    def replaced(self) -> dict[str, Any]:
        """Fields of a suite that are named."""
        fields: dict[str, Any] = {
            "problems": self.problems,
            "optimizers": self.optimizers,
            "kernels": self.kernels,
            "devices": self.devices,
            "dtypes": (self.dtype,) if self.dtype else (),
            "seeds": self.seeds,
            # Who names the seeds alone has named the runs.
            "repetitions": self.repetitions or (1 if self.seeds else None),
        }
        return {name: value for name, value in fields.items() if value}

    def __bool__(self) -> bool:
        return self.suite is not None or bool(self.replaced)

    def chosen_suite(self) -> Suite:
        """The named suite (default: quick), with whatever the options replace.

        Raises:
            InputError: there is no such suite.
        """
        from bench.suites.definitions import named_suite

        chosen = named_suite("quick" if self.suite is None else self.suite)
        return replace(chosen, name="custom", **self.replaced) if self.replaced else chosen


def cell_options(*, runs: bool = True) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The options that several commands share: `selection`, what to run, and `folder`, where
    results are kept.

    Args:
        runs: with those that say how often each cell is run.
    """
    how_often = (
        click.option(
            "--repetitions",
            type=click.IntRange(min=1),
            help="Runs of each seed. [default with --seeds: 1]",
        ),
        click.option("--seeds", type=click.IntRange(min=1), help="Seeds 0, 1, ... of shuffling."),
    )
    options = (
        click.option(
            "--results",
            "folder",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("results"),
            show_default=True,
            help="Folder of records, tables, plots and the page.",
        ),
        *(how_often if runs else ()),
        click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of the runs."),
        click.option("-d", "--device", "devices", multiple=True, help="cpu, cuda, cuda:1, ..."),
        click.option("-k", "--kernel", "kernels", multiple=True, help="Such as torch-autograd."),
        click.option("-o", "--optimizer", "optimizers", multiple=True, help="Such as adam:lr=0.1."),
        click.option("-p", "--problem", "problems", multiple=True, help="Such as iris:l2=0.1."),
        click.option("--suite", help="quick, peers, full or notebook. [default: quick]"),
    )

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def with_selection(**given: Any) -> int:
            names = [field.name for field in dataclasses.fields(Selection)]
            selection = Selection(**{name: given.pop(name, None) for name in names})
            return command(selection=selection, **given)

        decorated: Callable[..., int] = with_selection
        for option in options:
            decorated = option(decorated)
        return decorated

    return decorate


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """A bar that shows what runs and what remains; where there is no terminal, a line for each
    tenth."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _print_tenths()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.done, total=progress.total, description=progress.cell
            )

        yield show


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


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
