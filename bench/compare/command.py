"""`python -m bench compare`, and `selfcheck compare`: how often its verdicts are wrong here."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.command.line import EXIT_FAILED, if_interrupted
from bench.command.options import append_summary, refuse_given, results_option, summary_option
from bench.command.progress import announce, progress_bar

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison


def suite_options(command: Callable[..., int]) -> Callable[..., int]:
    """`problems`, `optimizers` and `kernels`: what replaces those of the quick suite."""
    for option in (
        click.option("-k", "--kernel", "kernels", multiple=True, help="Such as fused-cpu."),
        click.option("-o", "--optimizer", "optimizers", multiple=True, help="Such as lbfgs."),
        click.option(
            "-p",
            "--problem",
            "problems",
            multiple=True,
            help="Such as iris. [default of -p, -o and -k: those of the quick suite]",
        ),
    ):
        command = option(command)
    return command


minutes_option = click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Time limit of a comparison. Cells without a verdict by then are INCONCLUSIVE.",
)


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
    from bench.compare.compare_commits import Commits, compare_commits
    from bench.compare.report import (
        describe_sides,
        headline,
        notable,
        readable_table,
        write_comparison,
    )
    from bench.compare.sampling import Plan
    from bench.compare.worktrees import WORKING_TREE

    commits = Commits(base, head or WORKING_TREE, file=file)
    cells = [] if file else suite_cells(problems, optimizers, kernels)
    plan = Plan(threshold=threshold, minutes=minutes)
    samples, sessions = folder / "comparison.json", 0

    def on_session(so_far: Comparison) -> None:
        nonlocal sessions
        keep(so_far, samples)
        sessions = so_far.sessions

    def words() -> str:
        kept = f"sessions kept in {samples}: {sessions}" if sessions else "no session has ended"
        return f"{kept}; the same command starts anew"

    with if_interrupted(words), progress_bar() as show:
        found = compare_commits(commits, cells, plan, on_progress=show, on_session=on_session)
    written = write_comparison(found, folder)
    found.require_timed()
    click.echo(f"{headline(found)}\n\n{describe_sides(found)}\n")
    if notable(found):
        click.echo(f"{readable_table(notable(found))}\n")
    click.echo(f"Written: {', '.join(map(str, written))}")
    return EXIT_FAILED if found.regressions else 0


def keep(so_far: Comparison, path: Path) -> None:
    """Write the samples after a session. Without a terminal, also write a line to stderr."""
    from bench.compare.comparison import as_json
    from bench.files.whole import write_whole

    if not sys.stderr.isatty():
        decided = sum(result.verdict != "INCONCLUSIVE" for result in so_far.cells)
        counted = f"{decided} of {len(so_far.cells)} cells decided"
        click.echo(f"session {so_far.sessions}: {counted} in {so_far.seconds:.0f} s", err=True)
    write_whole(path, as_json(so_far).encode())


@click.command(
    "compare",
    short_help="How often is a verdict of compare wrong on this machine?",
    epilog="""\b
Examples:
  python -m bench selfcheck compare
  python -m bench selfcheck compare -p iris -k numpy --repeats 10
  python -m bench selfcheck compare --load 1

Exit codes: 0 all rates are met, 1 one is not, 2 bad input.
""",
)
@suite_options
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Comparisons of the working tree with itself.",
)
@click.option(
    "--load",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes that each keep a core busy. Above 0, only false alarms are measured.",
)
@minutes_option
@results_option("compare_selfcheck.csv and its table")
@summary_option
def selfcheck_compare(
    problems: tuple[str, ...],
    optimizers: tuple[str, ...],
    kernels: tuple[str, ...],
    repeats: int,
    load: int,
    minutes: float,
    folder: Path,
    summary: Path | None,
) -> int:
    """Measure how often `compare` raises false alarms and finds slow-downs on this machine.

    The working tree is compared with itself. Then slow-downs of 5% and of 10% are injected
    into head, as further reads of X. The report says how many of them were found.
    """
    announce("loading the cells, then comparing the working tree with itself")

    from bench.compare.cells import suite_cells
    from bench.compare.error_rates import measure_error_rates
    from bench.compare.sampling import Plan

    kept, begun = folder / "compare_selfcheck.csv", time.time()

    def words() -> str:
        # It is written after each comparison. An earlier run may have left one.
        any_ended = kept.exists() and kept.stat().st_mtime >= begun
        ended = f"comparisons that ended are in {kept}" if any_ended else "no comparison has ended"
        return f"{ended}; the same command starts anew"

    with if_interrupted(words), progress_bar() as show:
        rates = measure_error_rates(
            suite_cells(problems, optimizers, kernels),
            Plan(minutes=minutes),
            repeats,
            load,
            folder,
            show,
        )
    click.echo(rates.words)
    append_summary(summary, f"## Selfcheck: compare\n\n{rates.words}\n")
    return 0 if rates.passed else EXIT_FAILED
