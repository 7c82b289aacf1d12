"""`python -m bench.report`: results in, tables, plots and one page out."""

from __future__ import annotations

from pathlib import Path

import click

from bench.command import text
from bench.command.line import EXIT_FAILED, cells_are_kept, if_interrupted
from bench.command.options import Selection, cell_options
from bench.command.progress import progress_bar
from bench.errors import InputError
from bench.notebook.report import summary, write_notebook
from bench.records import Record, RecordStore, latest
from bench.records.results import Results
from bench.report.write import Report, write_report


@click.command(
    epilog="""\b
Examples:
  python -m bench.report
  python -m bench.report --suite notebook
  python -m bench.report -p breast_cancer -p file:path=my.csv -o lbfgs -o adam:lr=0.01
  python -m bench.report --results results/reference/some-machine --no-run
"""
)
@cell_options()
@click.option("--no-run", is_flag=True, help="Report on the records that are there; run nothing.")
def report(selection: Selection, folder: Path, no_run: bool) -> int:
    """Write tables, plots and a page from the results, and print the answer.

    Without options it reports on all results of this machine, after finishing the suite that
    was last begun, or the quick suite where there are no results yet. With a suite, problems,
    optimizers, kernels, devices, a dtype, seeds or repetitions, it runs what is missing of those
    and reports on them alone.
    """
    if selection.suite == "notebook":
        if selection.replaced or no_run:
            raise InputError("the notebook suite is fixed: leave out the other options")
        return _notebook(folder)
    if no_run:
        if selection:
            raise InputError("--no-run reports on what is there: leave out what should be run")
        records = _of_last_machine(RecordStore(folder).read())
        if not records:
            raise InputError(f"no records in {folder}: leave out --no-run to run the quick suite")
        results = Results(tuple(latest(records)))
    elif selection:
        from bench.cells.definitions import chosen_suite

        results = _run(chosen_suite(selection.suite, selection.replaced), folder)
    else:
        results = _everything_here(folder)
    written = write_report(results, folder)
    _print(written, results)
    return EXIT_FAILED if any(r.status == "failed" for r in results.records) else 0


def _everything_here(folder: Path) -> Results:
    """All records of this machine, once the suite that was last begun on it is complete."""
    from bench.cells.kept import older_records, unfinished_suite
    from bench.measure.environment import environment

    store = RecordStore(folder)
    machine = environment()["machine"]
    here = [record for record in store.read() if record.machine == machine]
    if (suite := unfinished_suite(here)) is not None:
        _run(suite, folder)
    elif older := older_records(here):
        click.echo(older, err=True)
    return Results(tuple(latest(r for r in store.read() if r.machine == machine)))


def _run(suite: object, folder: Path) -> Results:
    from bench.cells.definitions import Suite
    from bench.cells.run import run_suite

    assert isinstance(suite, Suite)
    with if_interrupted(cells_are_kept), progress_bar() as show:
        return run_suite(suite, folder, on_progress=show)


def _of_last_machine(records: list[Record]) -> list[Record]:
    """Times of two machines never stand in one table: the newest record decides."""
    return [record for record in records if record.machine == records[-1].machine]


def _print(written: Report, results: Results) -> None:
    scored = results.scores()
    runs = scored[["seed", "repetition"]].drop_duplicates().shape[0]
    click.echo(
        f"Fastest to a relative gap, median of {runs} runs [{text.INTERVAL}]; {written.where}\n"
    )
    for answer in written.answers:
        click.echo(f"  {answer.sentence}")
    for reason in written.not_run:
        click.echo(f"\nNot run, or failed: {reason}")
    folder = written.page.parent
    click.echo(f"\nPage:   {written.page}")
    click.echo(f"Tables: {folder / 'tables'} ({len(written.tables)} files)")
    click.echo(f"Plots:  {folder / 'plots'} ({len(written.plots)} files)")


def _notebook(folder: Path) -> int:
    """Run the notebook's experiments, and print and write its numbers beside ours."""
    from bench.notebook.experiments import run_notebook

    result = run_notebook()
    written = write_notebook(result, folder)
    click.echo("\n".join(summary(result)))
    click.echo(f"\nTables: {', '.join(str(path) for path in written)}")
    return 0 if result.agrees else EXIT_FAILED
