"""`python -m bench compare`: did a change make anything slower?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bench.command_line import (
    EXIT_FAILED,
    EXIT_OTHER_MACHINE,
    Selection,
    cell_options,
    progress_bar,
)
from bench.errors import InputError


@click.command(
    epilog="""\b
Examples:
  python -m bench compare
  python -m bench compare --base main --head HEAD -p digits -k fused-cpu
  python -m bench compare --base v1.0 --cells benchmarks/cells.py --build "pip install -t . ."
  python -m bench compare --base old-results --head results
  python -m bench compare --self-test

Exit codes: 0 nothing is slower, 1 a cell is SLOWER or FAILED, 2 bad input, 3 saved results of
another machine. docs/ci.md says what the verdicts mean and how CI uses them.
"""
)
@click.option("--base", help="A commit, or a results folder. [default: where head left main]")
@click.option("--head", help="A commit, or a results folder. [default: the working tree]")
@cell_options(runs=False)
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
    help="No session starts after that; what is open then is INCONCLUSIVE.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of each library, pinned to as many processors.",
)
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append Markdown to this file: $GITHUB_STEP_SUMMARY.",
)
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
    from bench.comparisons import NEW, NOT_TIMED
    from bench.report.comparison import markdown, write_comparison
    from bench.track.cells import suite_cells
    from bench.track.compare import Commits, compare_commits
    from bench.track.sampling import Plan
    from bench.track.saved import OtherMachine, compare_saved, is_saved
    from bench.track.selftest import self_test as run_self_test
    from bench.track.worktrees import WORKING_TREE

    plan = Plan(threshold=threshold, minutes=minutes, threads=threads)
    if self_test:
        with progress_bar() as show:
            tested = run_self_test(selection.chosen_suite(), plan, repeats, load, folder, show)
        click.echo(tested.words)
        return 0 if tested.passed else EXIT_FAILED
    if is_saved(base) or is_saved(head):
        if not (is_saved(base) and is_saved(head)):
            raise InputError(
                "one side is a results folder and the other is not: name two folders, or two "
                "commits"
            )
        try:
            found = compare_saved(
                Path(str(base)), Path(str(head)), threshold=threshold, any_machine=other_machine
            )
        except OtherMachine as error:
            click.echo(f"error: {error}", err=True)
            return EXIT_OTHER_MACHINE
        write_comparison(found, folder)
    else:
        commits = Commits(base, head or WORKING_TREE, file=file, build=build)
        with progress_bar() as show:
            found = compare_commits(
                commits,
                () if file else suite_cells(selection.chosen_suite()),
                plan,
                on_progress=show,
                on_session=lambda so_far: _keep(so_far, folder),
            )
        write_comparison(found, folder)
    if summary:
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(markdown(found))
    _print(found, folder, every)
    if all(cell.verdict in (NEW, NOT_TIMED) for cell in found.cells):
        reason = found.cells[0].reason
        raise InputError(f"no cell could be timed on both sides, the first because: {reason}")
    return EXIT_FAILED if found.regressions else 0


def _keep(so_far: Any, folder: Path) -> None:
    """After each session: the samples, so that an interrupted comparison is not lost; and a line
    in a CI job's log."""
    from bench.comparisons import as_json
    from bench.report.write import write_whole

    if not sys.stderr.isatty():
        decided = sum(result.verdict != "INCONCLUSIVE" for result in so_far.cells)
        counted = f"{decided} of {len(so_far.cells)} cells decided"
        click.echo(f"session {so_far.sessions}: {counted} in {so_far.seconds:.0f} s", err=True)
    write_whole(folder / "comparison.json", as_json(so_far).encode())


def _print(found: Any, folder: Path, every: bool) -> None:
    from bench.report.comparison import describe_sides, headline, notable, readable

    click.echo(headline(found) + "\n")
    click.echo(describe_sides(found) + "\n")
    shown = list(found.cells) if every else notable(found)
    if shown:
        frame = readable(shown)
        click.echo(frame.to_markdown(index=False, disable_numparse=True) + "\n")
    where = [folder / "comparison.json", folder / "tables", folder / "plots" / "comparison.png"]
    click.echo(f"All cells, samples and plot: {', '.join(map(str, where))}")
