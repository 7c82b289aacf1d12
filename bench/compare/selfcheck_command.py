"""`python -m bench selfcheck compare`: how often is a verdict of `compare` wrong here?"""

from __future__ import annotations

import time
from pathlib import Path

import click

from bench.command.line import EXIT_FAILED, if_interrupted
from bench.command.options import append_summary, results_option, summary_option
from bench.command.progress import announce, progress_bar
from bench.compare.options import minutes_option, suite_options


@click.command(
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
    help="Processes that keep a core busy each. With any, only false alarms are measured.",
)
@minutes_option
@results_option("compare_selfcheck.csv and its table")
@summary_option
def compare(
    problems: tuple[str, ...],
    optimizers: tuple[str, ...],
    kernels: tuple[str, ...],
    repeats: int,
    load: int,
    minutes: float,
    folder: Path,
    summary: Path | None,
) -> int:
    """Measure the rates of false alarms and of slow-downs found, as `compare` has them here.

    The working tree is compared with itself. Then slow-downs of 5% and of 10% are injected into
    head, as further reads of X, to see how many of them are found.
    """
    announce("loading the cells, then comparing the working tree with itself")

    from bench.compare.error_rates import measure_error_rates
    from bench.compare.options import quick_suite
    from bench.compare.sampling import Plan

    kept, begun = folder / "compare_selfcheck.csv", time.time()

    def words() -> str:
        # The file is written after each comparison. One of an earlier run may lie there.
        any_ended = kept.exists() and kept.stat().st_mtime >= begun
        ended = f"comparisons that ended are in {kept}" if any_ended else "no comparison has ended"
        return f"{ended}; the same command starts anew"

    with if_interrupted(words), progress_bar() as show:
        rates = measure_error_rates(
            quick_suite(problems, optimizers, kernels),
            Plan(minutes=minutes),
            repeats,
            load,
            folder,
            show,
        )
    click.echo(rates.words)
    append_summary(summary, f"## Selfcheck: compare\n\n{rates.words}\n")
    return 0 if rates.passed else EXIT_FAILED
