"""`python -m bench run`: run cells, and print their times to target."""

from __future__ import annotations

from pathlib import Path

import click

from bench.command.line import EXIT_FAILED, cells_are_kept, if_interrupted
from bench.command.options import Selection, cell_options
from bench.command.progress import announce, progress_bar


@click.command(
    short_help="Run the missing cells of a suite, and print a table.",
    epilog="""\b
Examples:
  python -m bench run -p iris -o lbfgs -o adam:lr=0.1
  python -m bench run -p synthetic:n=1e5,d=50,cond=1e4 -o sgd:lr=0.5,batch_size=256 --seeds 5
  python -m bench run --suite full --dtype float32
""",
)
@cell_options
@click.option(
    "--passes", type=click.FloatRange(min=0, min_open=True), help="Budget of a run, in passes."
)
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="Budget of a run, in seconds."
)
@click.option("--rerun", is_flag=True, help="Run cells that have a record again.")
def run(
    selection: Selection, folder: Path, passes: float | None, seconds: float | None, rerun: bool
) -> int:
    """Run the cells of a suite that have no record, and print a table of times to target."""
    if selection.suite == "notebook":
        raise click.UsageError(
            "the notebook suite is a report: use python -m bench.report --suite notebook"
        )
    announce("importing torch, then looking for what is missing")

    from dataclasses import replace

    from bench.cells.definitions import chosen_suite
    from bench.cells.run import run_suite
    from bench.report.answer import answers
    from bench.report.frames import frames_of
    from bench.report.tables import readable_times

    chosen = chosen_suite(selection.suite, selection.replaced)
    if passes or seconds:
        budget = replace(
            chosen.budget,
            passes=passes or chosen.budget.passes,
            seconds=seconds or chosen.budget.seconds,
        )
        chosen = replace(chosen, name="custom", budget=budget)
    with if_interrupted(cells_are_kept), progress_bar() as show:
        results = run_suite(chosen, folder, rerun=rerun, on_progress=show)
    frames = frames_of(results)
    if len(frames.times):
        shown = readable_times(frames.times)
        click.echo(shown.to_markdown(index=False, disable_numparse=True) + "\n")
    for answer in answers(frames):
        click.echo(answer.sentence)
    bad = [r for r in results.records if r.status in ("failed", "unavailable")]
    for line in dict.fromkeys(f"{r.status}: {r.kernel} {r.optimizer}: {r.message}" for r in bad):
        click.echo(line, err=True)
    return EXIT_FAILED if any(record.status == "failed" for record in bad) else 0
