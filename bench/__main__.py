"""`python -m bench`: run cells, list what there is, and check the harness itself."""

from __future__ import annotations

from pathlib import Path

import click

from bench.command_line import (
    EXIT_FAILED,
    cells_are_kept,
    if_interrupted,
    main,
    progress_bar,
)
from bench.command_options import Selection, cell_options
from bench.compare import compare
from bench.counters import counters
from bench.history import history
from bench.roofline import roofline
from bench.selfcheck import selfcheck


@click.group(
    epilog="""\b
Examples:
  python -m bench list
  python -m bench run -p iris -o lbfgs -o adam:lr=0.1
  python -m bench.report
"""
)
def bench() -> None:
    """Which optimizer fits a logistic regression fastest, measured against a proved optimum.

    The main job is `python -m bench.report`.
    """


@bench.command(
    epilog="""\b
Examples:
  python -m bench run -p iris -o lbfgs -o adam:lr=0.1
  python -m bench run -p synthetic:n=1e5,d=50,cond=1e4 -o sgd:lr=0.5,batch_size=256 --seeds 5
  python -m bench run --suite full --dtype float32
"""
)
@cell_options()
@click.option("--passes", type=click.FloatRange(min=0, min_open=True), help="Budget of a run.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Budget of a run.")
@click.option("--rerun", is_flag=True, help="Run also what has a record.")
def run(
    selection: Selection, folder: Path, passes: float | None, seconds: float | None, rerun: bool
) -> int:
    """Run what is missing of a suite, and print a line for each optimizer."""
    from dataclasses import replace

    from bench.report.answer import answers
    from bench.report.tables import readable_times, times_to_target
    from bench.suites.run import run_suite

    if selection.suite == "notebook":
        raise click.UsageError(
            "the notebook's numbers are a report: python -m bench.report --suite notebook"
        )
    chosen = selection.chosen_suite()
    if passes or seconds:
        budget = replace(
            chosen.budget,
            passes=passes or chosen.budget.passes,
            seconds=seconds or chosen.budget.seconds,
        )
        chosen = replace(chosen, name="custom", budget=budget)
    with if_interrupted(cells_are_kept), progress_bar() as show:
        results = run_suite(chosen, folder, rerun=rerun, on_progress=show)
    times = times_to_target(results)
    if len(times):
        shown = readable_times(times)
        click.echo(shown.to_markdown(index=False, disable_numparse=True) + "\n")
    for answer in answers(results):
        click.echo(answer.sentence)
    bad = [r for r in results.records if r.status in ("failed", "unavailable")]
    for line in dict.fromkeys(f"{r.status}: {r.kernel} {r.optimizer}: {r.message}" for r in bad):
        click.echo(line, err=True)
    return EXIT_FAILED if any(record.status == "failed" for record in bad) else 0


@bench.command(name="list", epilog="\b\nExample:\n  python -m bench list")
def list_() -> None:
    """What can be named: problems, optimizers with their parameters, kernels and suites."""
    from bench.optimizers import OPTIMIZERS
    from bench.problems import PROBLEMS
    from bench.specs import signature_text
    from bench.suites.definitions import SUITES
    from bench.suites.plan import devices_here
    from logreg_kernels import KERNELS

    for title, registry in (("Problems", PROBLEMS), ("Optimizers", OPTIMIZERS)):
        click.echo(f"{title}, with the defaults of their parameters")
        for name, factory in registry.items():
            first_line = (factory.__doc__ or "").strip().splitlines()[0]
            click.echo(f"  {signature_text(name, factory)}\n      {first_line}")
        click.echo()
    click.echo("Kernels")
    for name, kernel in KERNELS.items():
        where = [f"{device}: {kernel.unavailable(device) or 'ready'}" for device in devices_here()]
        click.echo(f"  {name:<16} {'; '.join(where)}")
    click.echo("\nSuites")
    for suite in SUITES.values():
        counted = f"{len(suite.problems)} problems x {len(suite.optimizers)} optimizers"
        runs = f"{suite.seeds} seeds x {suite.repetitions} repetitions"
        click.echo(f"  {suite.name:<16} {counted}, {runs}")
    click.echo(f"  {'notebook':<16} the notebook's experiments beside its printed numbers")


bench.add_command(compare)
bench.add_command(counters)
bench.add_command(history)
bench.add_command(roofline)
bench.add_command(selfcheck)


if __name__ == "__main__":
    main(bench, "python -m bench")
