"""`python -m bench report`: results in, tables, plots and one page out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.command.line import EXIT_FAILED, cells_are_kept, if_interrupted
from bench.command.options import Selection, cell_options
from bench.command.progress import announce, progress_bar
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.cells.definitions import Suite
    from bench.records import Record
    from bench.records.results import Results
    from bench.report.write import Report


@click.command(
    short_help="Write tables, plots and a page, and print the answer.",
    epilog="""\b
Examples:
  python -m bench.report
  python -m bench.report --suite notebook
  python -m bench.report -p breast_cancer -p file:path=my.csv -o lbfgs -o adam:lr=0.01
  python -m bench.report --results results/reference/some-machine --no-run
""",
)
@cell_options
@click.option(
    "--no-run", is_flag=True, help="Run nothing: report on the records in the results folder."
)
def report(selection: Selection, folder: Path, no_run: bool) -> int:
    """Write tables, plots and a page from the results, and print the answer.

    Without options it reports on all results of this machine. It first finishes the suite that
    was begun last, or runs the quick suite where there are no results yet. With options that name
    cells, such as a problem, it reports on these cells alone. Those without a record are run first.
    """
    if selection.suite == "notebook":
        if selection.replaced or no_run:
            raise InputError("the notebook suite is fixed: leave out the other options")
        announce("importing torch, then the notebook's experiments")
        return _notebook(folder)
    if selection:
        if no_run:
            raise InputError("--no-run runs nothing: leave out the options that name cells")
        announce(f"importing torch, then looking for what is missing in {folder}")
        from bench.cells.definitions import chosen_suite

        return _report(_run(chosen_suite(selection.suite, selection.replaced), folder), folder)
    return _report_on_all(folder, no_run)


def _report_on_all(folder: Path, no_run: bool) -> int:
    """Report on all records of one machine. If nothing has changed, print the last answer again."""
    from bench.measure.environment import machine
    from bench.records import RecordStore
    from bench.report.unchanged import last_written, state_of

    state, last = state_of(folder, no_run), last_written(folder)
    unchanged = last is not None and last.state == state
    if last is not None and unchanged and last.files_are_there(folder):
        announce(f"nothing has changed since the report in {folder} was written")
        if not no_run:
            _say_what_is_older(_here(RecordStore(folder).read()))
        click.echo(last.printed, nl=False)
        return last.exit_code
    records = RecordStore(folder).read()
    if no_run and not records:
        raise InputError(f"no records in {folder}: leave out --no-run to run the quick suite")
    if no_run or unchanged:
        announce(f"{len(records)} records in {folder}: writing the report")
        if not no_run:
            _say_what_is_older(_here(records))
        results = _of_machine(records[-1].machine if no_run else machine(), records)
    else:
        what = "importing torch, then looking for what is to be run"
        announce(f"{len(records)} records in {folder}: {what}")
        results = _everything_here(folder)
        state = state_of(folder, no_run)
    return _report(results, folder, state)


def _everything_here(folder: Path) -> Results:
    """All records of this machine, once the suite that was last begun on it is complete."""
    from bench.cells.kept import unfinished_suite
    from bench.measure.environment import machine
    from bench.records import RecordStore

    store = RecordStore(folder)
    here = _here(store.read())
    if (suite := unfinished_suite(here)) is not None:
        _run(suite, folder)
    else:
        _say_what_is_older(here)
    return _of_machine(machine(), store.read())


def _here(records: list[Record]) -> list[Record]:
    from bench.measure.environment import machine

    return [record for record in records if record.machine == machine()]


def _say_what_is_older(records: list[Record]) -> None:
    from bench.cells.kept import older_records

    if older := older_records(records):
        click.echo(older, err=True)


def _run(suite: Suite, folder: Path) -> Results:
    from bench.cells.run import run_suite

    with if_interrupted(cells_are_kept), progress_bar() as show:
        return run_suite(suite, folder, on_progress=show)


def _of_machine(machine: str, records: list[Record]) -> Results:
    """The latest records of one machine. No table mixes the times of two machines."""
    from bench.records import latest
    from bench.records.results import Results

    return Results(tuple(latest([record for record in records if record.machine == machine])))


def _report(results: Results, folder: Path, state: str | None = None) -> int:
    """Write the report, and print its answer. A later call compares its state with `state`."""
    from bench.report.unchanged import keep
    from bench.report.write import write_report

    written = write_report(results, folder)
    printed = _answer(written, results)
    click.echo(printed, nl=False)
    failed = any(record.status == "failed" for record in results.records)
    exit_code = EXIT_FAILED if failed else 0
    if state is not None:
        keep(folder, state, printed, exit_code, written.files)
    return exit_code


def _answer(written: Report, results: Results) -> str:
    from bench.command import text

    runs = len({(r.seed, r.repetition) for r in results.records if r.kind == "convergence"})
    folder = written.page.parent
    lines = [
        f"Fastest to a relative gap, median of {runs} runs [{text.INTERVAL}]; {written.where}",
        "",
        *(f"  {answer.sentence}" for answer in written.answers),
        *(f"\nNot run, or failed: {reason}" for reason in written.not_run),
        "",
        f"Page:   {written.page}",
        f"Tables: {folder / 'tables'} ({len(written.tables)} files)",
        f"Plots:  {folder / 'plots'} ({len(written.plots)} files)",
    ]
    return "\n".join(lines) + "\n"


def _notebook(folder: Path) -> int:
    """Run the notebook's experiments, and print and write its numbers beside ours."""
    from bench.notebook.experiments import run_notebook
    from bench.notebook.report import summary, write_notebook

    result = run_notebook()
    written = write_notebook(result, folder)
    click.echo("\n".join(summary(result)))
    click.echo(f"\nTables: {', '.join(str(path) for path in written)}")
    return 0 if result.agrees else EXIT_FAILED
