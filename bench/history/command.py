"""`python -m bench history`: what each commit measured, its change points, and exports."""

from __future__ import annotations

from pathlib import Path

import click

from bench.command.options import output_option, refuse_given, results_option
from bench.command.progress import announce
from bench.errors import InputError

FORMATS = ("pytest-benchmark", "github-action-benchmark", "bencher", "csv")


@click.command(
    short_help="What each commit measured, and which made something slower.",
    epilog="""\b
Examples:
  python -m bench run --rerun && python -m bench history
  python -m bench history --results /var/lib/bench
  python -m bench history --export bencher --output bmf.json
  python -m bench history --export pytest-benchmark --commit 1a2b3c4 --output old.json
""",
)
@results_option("records; the history is in its history/", written=False)
@click.option(
    "--repository",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Git repository of the commits. [default: that of this code]",
)
@click.option("--export", "format_", type=click.Choice(FORMATS), help="Write this format instead.")
@output_option("the export", printed=True)
@click.option("--commit", help="Commit to export. [default: that of the latest run]")
def history(
    folder: Path, repository: Path | None, format_: str | None, output: Path, commit: str | None
) -> int:
    """Enter new records into the history, and find the commits that made something slower.

    New records of the results folder are appended to history/<machine>.jsonl there. Each cell is
    plotted over commits. Change points are listed, machine by machine. A change point has
    at least three commits at its new level. One or two outliers are taken for noise.
    """
    if format_:
        return _export(folder, repository, format_, output, commit)
    refuse_given(("--commit", "--output"), "without an export, such as --export csv")
    announce(f"entering new records of {folder} into the history")

    from bench.command.figures import save_figure
    from bench.command.tables import write_table
    from bench.history.append import append_records
    from bench.history.commits import HERE, in_order
    from bench.history.plots import history_figures
    from bench.history.series import machine_line, series_of
    from bench.history.store import HistoryStore
    from bench.history.tables import change_table, readable_changes, verdict

    repository = repository or HERE
    for line in append_records(folder, repository).lines:
        click.echo(line)
    store = HistoryStore(folder)
    kept = store.read()
    if not kept:
        raise InputError(
            f"no history in {folder}: run python -m bench run --rerun on a committed tree first"
        )
    order = in_order({one.commit: one.commit_date for one in kept}, repository)
    series = series_of(kept, order)
    changes = change_table(series, order)
    shown = readable_changes(changes)
    for line in dict.fromkeys(map(machine_line, series)):
        click.echo(line)
    if len(shown):
        click.echo(f"\n{shown.to_markdown(index=False, disable_numparse=True)}\n")
    else:
        click.echo("no change points")
    click.echo(verdict(series))
    tables, plots = store.folder / "tables", store.folder / "plots"
    write_table(changes, shown if len(shown) else None, tables / "change_points")
    figures = list(history_figures(series))
    for name, figure in figures:
        save_figure(figure, plots / name)
    click.echo(f"Plots: {plots} ({len(figures)} figures), table: {tables}")
    return 0


def _export(
    folder: Path, repository: Path | None, format_: str, output: Path, commit: str | None
) -> int:
    from bench.files.whole import write_whole
    from bench.history.commits import HERE
    from bench.history.exports import EXPORTS, measured_at

    export = EXPORTS[format_](*measured_at(folder, commit, repository or HERE))
    for line in export.left_out:
        click.echo(f"left out: {line}", err=True)
    if str(output) == "-":
        click.echo(export.text, nl=False)
    else:
        write_whole(output, export.text.encode())
    return 0
