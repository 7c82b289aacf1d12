"""`python -m bench compare`: did a change make anything slower?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.command.line import EXIT_FAILED, if_interrupted
from bench.command.options import refuse_given, results_option
from bench.command.progress import announce, progress_bar
from bench.compare.options import minutes_option, suite_options

if TYPE_CHECKING:
    from bench.compare.compare_commits import Commits
    from bench.compare.comparison import Cell, Comparison
    from bench.compare.sampling import Plan


@click.command(
    short_help="Time two commits in turns: is anything slower?",
    epilog="""\b
Examples:
  python -m bench compare
  python -m bench compare --base main --head HEAD -p digits -k fused-cpu
  python -m bench compare --base HEAD~1 --cells examples/own_kernels/cells.py

The report, with every cell, is comparison.md in the results folder. Exit codes: 0 nothing is
slower, 1 a cell is SLOWER or FAILED, 2 bad input. docs/compare.md says what the verdicts mean, and
how to use them in CI. `python -m bench selfcheck compare` measures how often a verdict is wrong.
""",
)
@click.option("--base", help="A commit. [default: the one at which head left the main branch]")
@click.option("--head", help="A commit. [default: the working tree]")
@suite_options
@click.option("--cells", "file", help="A Python file of your own cells, in the repository.")
@click.option(
    "--threshold",
    type=click.FloatRange(min=0.001, max=1),
    default=0.05,
    show_default=True,
    help="The smallest slow-down that matters.",
)
@minutes_option
@results_option("comparison.json, comparison.md, tables and plots")
def compare(
    base: str | None,
    head: str | None,
    problems: tuple[str, ...],
    optimizers: tuple[str, ...],
    kernels: tuple[str, ...],
    file: str | None,
    threshold: float,
    minutes: float,
    folder: Path,
) -> int:
    """Time two commits in turns, and say of each cell: FASTER, SLOWER, SAME or INCONCLUSIVE.

    Each commit is checked out into a worktree of its own. A process of each commit takes turns
    with the other on one processor, with one thread. This goes on until each cell has a verdict
    or the time limit is reached.
    """
    if file:
        refuse_given(
            ("--problem", "--optimizer", "--kernel"), "in a comparison of your own cells (--cells)"
        )
    announce("loading the cells, then checking out both commits")

    from bench.compare.cells import suite_cells
    from bench.compare.compare_commits import Commits
    from bench.compare.options import quick_suite
    from bench.compare.sampling import Plan
    from bench.compare.worktrees import WORKING_TREE

    found = _compare(
        Commits(base, head or WORKING_TREE, file=file),
        [] if file else suite_cells(quick_suite(problems, optimizers, kernels)),
        Plan(threshold=threshold, minutes=minutes),
        folder,
    )
    return _report(found, folder)


def _compare(commits: Commits, cells: list[Cell], plan: Plan, folder: Path) -> Comparison:
    from bench.compare.compare_commits import compare_commits

    sessions = 0

    def keep(so_far: Comparison) -> None:
        nonlocal sessions
        _keep(so_far, folder)
        sessions = so_far.sessions

    def words() -> str:
        kept = f"sessions kept in {_samples(folder)}: {sessions}"
        return f"{kept if sessions else 'no session has ended'}; the same command starts anew"

    with if_interrupted(words), progress_bar() as show:
        return compare_commits(commits, cells, plan, on_progress=show, on_session=keep)


def _keep(so_far: Comparison, folder: Path) -> None:
    """Write the samples after each session, and a line in the log of a CI job."""
    from bench.compare.comparison import as_json
    from bench.files.whole import write_whole

    if not sys.stderr.isatty():
        decided = sum(result.verdict != "INCONCLUSIVE" for result in so_far.cells)
        counted = f"{decided} of {len(so_far.cells)} cells decided"
        click.echo(f"session {so_far.sessions}: {counted} in {so_far.seconds:.0f} s", err=True)
    write_whole(_samples(folder), as_json(so_far).encode())


def _samples(folder: Path) -> Path:
    return folder / "comparison.json"


def _report(found: Comparison, folder: Path) -> int:
    """Write and print the report; returns the exit code."""
    from bench.compare.report import (
        describe_sides,
        headline,
        notable,
        readable,
        write_comparison,
    )

    written = write_comparison(found, folder)
    found.require_timed()
    click.echo(f"{headline(found)}\n\n{describe_sides(found)}\n")
    if notable(found):
        frame = readable(notable(found))
        click.echo(frame.to_markdown(index=False, disable_numparse=True) + "\n")
    click.echo(f"Written: {', '.join(map(str, written))}")
    return EXIT_FAILED if found.regressions else 0
