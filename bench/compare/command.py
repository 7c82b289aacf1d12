"""`python -m bench compare`: did a change make anything slower?"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.command.line import EXIT_FAILED, EXIT_OTHER_MACHINE, if_interrupted
from bench.command.options import (
    CELL_OPTIONS,
    Selection,
    append_summary,
    cell_options,
    refuse_given,
    summary_option,
)
from bench.command.progress import progress_bar
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison
    from bench.compare.sampling import Plan


@click.command(
    short_help="Time two commits in turns: is anything slower?",
    epilog="""\b
Examples:
  python -m bench compare
  python -m bench compare --base main --head HEAD -p digits -k fused-cpu
  python -m bench compare --base v1.0 --cells benchmarks/cells.py --build \\
      "python setup.py build_ext --inplace"
  python -m bench compare --base old-results --head results
  python -m bench compare --self-test

Exit codes: 0 nothing is slower, 1 a cell is SLOWER or FAILED (of a self-test: a rate is not met),
2 bad input, 3 saved results of another machine. docs/ci.md says what the verdicts mean and how CI
uses them.
""",
)
@click.option("--base", help="A commit, or a results folder. [default: where head left main]")
@click.option("--head", help="A commit, or a results folder. [default: the working tree]")
@cell_options(runs=False, holds="comparison.json, tables and plots")
@click.option("--cells", "file", help="A Python file of your own cells, in the repository.")
@click.option("--build", help="A shell command to run in each worktree first.")
@click.option(
    "--threshold",
    type=click.FloatRange(min=0.001, max=1),
    default=0.05,
    show_default=True,
    help="The smallest slow-down that matters.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="After so many minutes of timing no other cell is begun; what is open is INCONCLUSIVE.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of each library, pinned to as many processors.",
)
@summary_option
@click.option("--all", "every", is_flag=True, help="Print also the cells that are the same.")
@click.option("--other-machine", is_flag=True, help="Compare saved results of two machines.")
@click.option("--self-test", is_flag=True, help="Measure false alarms and detection.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Of --self-test: comparisons of a commit with itself.",
)
@click.option(
    "--load",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of --self-test: processes that load a core each; only false alarms are measured then.",
)
def compare(
    selection: Selection,
    folder: Path,
    base: str | None,
    head: str | None,
    file: str | None,
    build: str | None,
    threshold: float,
    minutes: float,
    threads: int,
    summary: Path | None,
    every: bool,
    other_machine: bool,
    self_test: bool,
    repeats: int,
    load: int,
) -> int:
    """Time two commits in turns, and say of each cell: FASTER, SLOWER, SAME or INCONCLUSIVE.

    Both are checked out into worktrees of their own; processes of both take turns on the same
    processor, session by session, until each cell is decided or the time is spent.
    """
    from bench.compare.sampling import Plan
    from bench.compare.saved import OtherMachine, compare_saved, is_saved

    if self_test:
        mode = _Mode.SELF_TEST
    elif is_saved(base) and is_saved(head):
        mode = _Mode.SAVED
    elif is_saved(base) or is_saved(head):
        raise InputError(
            "one side is a results folder and the other is not: name two folders, or two commits"
        )
    else:
        mode = _Mode.OWN_CELLS if file else _Mode.COMMITS
    refuse_given(_UNUSED[mode], mode.value)
    plan = Plan(threshold=threshold, minutes=minutes, threads=threads)
    if mode is _Mode.SELF_TEST:
        return _self_test(selection, plan, repeats, load, folder, summary)
    if mode is _Mode.SAVED:
        try:
            found = compare_saved(
                Path(str(base)), Path(str(head)), threshold=threshold, any_machine=other_machine
            )
        except OtherMachine as error:
            click.echo(f"error: {error}", err=True)
            return EXIT_OTHER_MACHINE
    else:
        found = _compare_commits(selection, base, head, file, build, plan, folder)
    return _conclude(found, folder, summary, every)


class _Mode(Enum):
    """What is compared, in words that follow "--minutes does nothing"."""

    SELF_TEST = "in a self-test, which compares the working tree with itself"
    SAVED = "in a comparison of two results folders"
    OWN_CELLS = "in a comparison of your own cells (--cells)"
    COMMITS = "in a comparison of two commits"


_OF_SELF_TEST = ("--repeats", "--load")
_UNUSED: Mapping[_Mode, tuple[str, ...]] = {
    _Mode.SELF_TEST: ("--base", "--head", "--cells", "--build", "--all", "--other-machine"),
    _Mode.SAVED: ("--cells", "--build", "--minutes", "--threads", *CELL_OPTIONS, *_OF_SELF_TEST),
    _Mode.OWN_CELLS: ("--other-machine", *CELL_OPTIONS, *_OF_SELF_TEST),
    _Mode.COMMITS: ("--other-machine", *_OF_SELF_TEST),
}
"""Options that would do nothing."""


def _self_test(
    selection: Selection, plan: Plan, repeats: int, load: int, folder: Path, summary: Path | None
) -> int:
    from bench.cells.definitions import chosen_suite
    from bench.compare.selftest import self_test

    kept, begun = folder / "compare_selftest.csv", time.time()

    def words() -> str:
        # It is written after each comparison; an earlier self-test's may lie there.
        any_ended = kept.exists() and kept.stat().st_mtime >= begun
        ended = f"comparisons that ended are in {kept}" if any_ended else "no comparison has ended"
        return f"{ended}; the same command starts anew"

    with if_interrupted(words), progress_bar() as show:
        tested = self_test(
            chosen_suite(selection.suite, selection.replaced), plan, repeats, load, folder, show
        )
    click.echo(tested.words)
    append_summary(summary, f"## Compare: self-test\n\n{tested.words}\n")
    return 0 if tested.passed else EXIT_FAILED


def _compare_commits(
    selection: Selection,
    base: str | None,
    head: str | None,
    file: str | None,
    build: str | None,
    plan: Plan,
    folder: Path,
) -> Comparison:
    from bench.cells.definitions import chosen_suite
    from bench.compare.cells import suite_cells
    from bench.compare.compare_commits import Commits, compare_commits
    from bench.compare.worktrees import WORKING_TREE

    sessions = 0

    def keep(so_far: Comparison) -> None:
        nonlocal sessions
        _keep(so_far, folder)
        sessions = so_far.sessions

    def words() -> str:
        kept = (
            f"sessions kept in {_samples(folder)}: {sessions}"
            if sessions
            else "no session has ended"
        )
        return f"{kept}; the same command starts anew"

    with if_interrupted(words), progress_bar() as show:
        return compare_commits(
            Commits(base, head or WORKING_TREE, file=file, build=build),
            () if file else suite_cells(chosen_suite(selection.suite, selection.replaced)),
            plan,
            on_progress=show,
            on_session=keep,
        )


def _keep(so_far: Comparison, folder: Path) -> None:
    """After each session: the samples, so that an interrupted comparison is not lost; and a line
    in a CI job's log."""
    from bench.compare.comparison import as_json
    from bench.files.whole import write_whole

    if not sys.stderr.isatty():
        decided = sum(result.verdict != "INCONCLUSIVE" for result in so_far.cells)
        counted = f"{decided} of {len(so_far.cells)} cells decided"
        click.echo(f"session {so_far.sessions}: {counted} in {so_far.seconds:.0f} s", err=True)
    write_whole(_samples(folder), as_json(so_far).encode())


def _samples(folder: Path) -> Path:
    return folder / "comparison.json"


def _conclude(found: Comparison, folder: Path, summary: Path | None, every: bool) -> int:
    """Keep what was found, say it, and return the exit code."""
    from bench.compare.report import markdown, write_comparison

    written = write_comparison(found, folder)
    append_summary(summary, markdown(found))
    found.require_timed()
    _print(found, written, every)
    return EXIT_FAILED if found.regressions else 0


def _print(found: Comparison, written: Sequence[Path], every: bool) -> None:
    from bench.compare.report import describe_sides, headline, notable, readable

    click.echo(headline(found) + "\n")
    click.echo(describe_sides(found) + "\n")
    shown = list(found.cells) if every else notable(found)
    if shown:
        frame = readable(shown)
        click.echo(frame.to_markdown(index=False, disable_numparse=True) + "\n")
    click.echo(f"Written: {', '.join(map(str, written))}")
