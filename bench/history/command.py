"""`python -m bench history`: what each commit measured, its change points, and exports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.command.options import output_option, refuse_given, results_option
from bench.command.progress import announce
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.history.append import Appended
    from bench.history.entries import Entry
    from bench.history.series import Series

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

    It appends what is new of the results folder to history/<machine>.jsonl there, plots each cell
    over commits, and lists change points, machine by machine. A step is told from noise once three
    commits are at the new level; one or two commits that are off are no step.
    """
    if format_:
        return _export(folder, repository, format_, output, commit)
    refuse_given(("--commit", "--output"), "without an export, such as --export csv")
    announce(f"entering new records of {folder} into the history")

    from bench.history.append import append_records
    from bench.history.commits import HERE, in_order
    from bench.history.series import (
        change_table,
        machine_line,
        readable_changes,
        series_of,
        verdict,
    )

    appended = append_records(folder, repository or HERE)
    _print_appended(appended)
    kept = _kept(folder)
    if not kept:
        raise InputError(
            f"no history in {folder}: run python -m bench run --rerun on a committed tree first"
        )
    order = in_order({entry.commit: entry.commit_date for entry in kept}, repository or HERE)
    series = series_of(kept, order)
    table = change_table(series, order)
    for line in dict.fromkeys(map(machine_line, series)):
        click.echo(line)
    shown = readable_changes(table)
    if len(shown):
        click.echo(f"\n{shown.to_markdown(index=False, disable_numparse=True)}\n")
    else:
        click.echo("no change points")
    click.echo(verdict(series))
    _write(series, table, shown, folder / "history")
    return 0


def _print_appended(appended: Appended) -> None:
    commits = len({entry.commit for entry in appended.entries})
    if appended.entries:
        files = ", ".join(map(str, appended.files))
        click.echo(f"{len(appended.entries)} new entries of {commits} commits in {files}")
    else:
        click.echo("nothing new")
    if appended.uncommitted:
        click.echo(
            f"left out: {appended.uncommitted} records of uncommitted changes, as they belong to "
            "no commit: commit, then run again"
        )
    if appended.without_commit:
        click.echo(
            f"left out: {appended.without_commit} records without a commit: run from a git checkout"
        )


def _kept(folder: Path) -> list[Entry]:
    from bench.history.entries import HistoryStore

    return HistoryStore(folder).read()


def _write(series: Sequence[Series], table: Any, shown: Any, folder: Path) -> None:
    """Tables and plots of a history, beside its files."""
    from bench.command.figures import save_figure
    from bench.command.tables import write_table
    from bench.history.plots import history_figures

    write_table(table, shown if len(shown) else None, folder / "tables" / "change_points")
    figures = list(history_figures(series))
    for name, figure in figures:
        save_figure(figure, folder / "plots" / name)
    click.echo(f"Plots: {folder / 'plots'} ({len(figures)} figures), table: {folder / 'tables'}")


def _export(
    folder: Path, repository: Path | None, format_: str, output: Path, commit: str | None
) -> int:
    from bench.files.whole import write_whole
    from bench.history.append import of_commit
    from bench.history.commits import HERE
    from bench.history.exports import EXPORTS

    entries, environment = of_commit(folder, commit, repository or HERE)
    export = EXPORTS[format_](entries, environment)
    for line in export.left_out:
        click.echo(f"left out: {line}", err=True)
    if str(output) == "-":
        click.echo(export.text, nl=False)
    else:
        write_whole(output, export.text.encode())
    return 0
