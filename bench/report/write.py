"""Write a report: tables, plots and one page, each file whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape

from bench.command import text
from bench.command.figures import save_figure
from bench.command.tables import rows_of, write_table
from bench.files.whole import write_whole
from bench.records.results import Results
from bench.report import tables
from bench.report.answer import Answer, answers
from bench.report.plots import figures
from bench.report.tables_kernels import kernel_times, readable_kernel_times
from bench.report.tables_summary import (
    quality,
    readable_quality,
    readable_summary,
    summary,
)


@dataclass(frozen=True)
class Report:
    """What was written, and the answer in words."""

    answers: tuple[Answer, ...]
    where: str
    not_run: tuple[str, ...]
    page: Path
    tables: tuple[Path, ...]
    plots: tuple[Path, ...]


def write_report(results: Results, folder: Path) -> Report:
    """Write `tables/`, `plots/` and `index.html` into a results folder.

    Args:
        results: records of one machine; there must be at least one.
        folder: the results folder.
    Raises:
        ValueError: there is no record to report on.
    """
    if not results.records:
        raise ValueError("there are no records to report on")
    environment = results.records[-1].environment
    table_files = _write_tables(results, folder / "tables")
    plot_files, captions = [], []
    for name, caption, figure in figures(results):
        captions.append((name, caption))
        plot_files += save_figure(figure, folder / "plots" / name)
    not_run = rows_of(tables.not_run(results))
    found = tuple(answers(results))
    where = text.machine_line(environment)
    template = Environment(
        loader=PackageLoader("bench.report", "."), autoescape=select_autoescape(["j2"])
    ).get_template("page.html.j2")
    kernels = kernel_times(results)
    page = template.render(
        answers=found,
        where=where,
        not_run=not_run,
        plots=captions,
        summary=_html(readable_summary(summary(results))),
        times=_html(tables.readable_times(tables.times_to_target(results))),
        quality=_html(readable_quality(quality(results))),
        kernels=_html(readable_kernel_times(kernels)) if len(kernels) else "",
        problems=_html(tables.readable_problems(tables.problems(results))),
        tables=[path.name for path in table_files],
        environment=environment,
    )
    return Report(
        answers=found,
        where=where,
        not_run=tuple(_not_run_line(row) for row in not_run),
        page=write_whole(folder / "index.html", page.encode()),
        tables=tuple(table_files),
        plots=tuple(plot_files),
    )


def _not_run_line(row: Mapping[str, Any]) -> str:
    about = row["what"] or f"{row['kernel']} on {row['device']}"
    return f"{about}: {row['message']}"


def _write_tables(results: Results, folder: Path) -> list[Path]:
    times = tables.times_to_target(results)
    problems = tables.problems(results)
    over_all, qualities = summary(results), quality(results)
    kernels = kernel_times(results)
    written = write_table(times, tables.readable_times(times), folder / "times_to_target")
    written += write_table(over_all, readable_summary(over_all), folder / "summary")
    written += write_table(qualities, readable_quality(qualities), folder / "quality")
    written += write_table(problems, tables.readable_problems(problems), folder / "problems")
    if len(kernels):
        shown = readable_kernel_times(kernels)
        written += write_table(kernels, shown, folder / "kernel_times")
    return written + write_table(results.scores(), None, folder / "scores")


def _html(frame: pd.DataFrame) -> str:
    """An HTML table whose missed targets stand back."""
    table = str(frame.to_html(index=False, border=0, justify="left"))
    return table.replace("<td>missed</td>", '<td class="missed">missed</td>')
