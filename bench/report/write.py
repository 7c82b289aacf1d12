"""Write a report: tables, plots and one page."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape

from bench.command import text
from bench.command.figures import figure_files, plot_style, save_figure
from bench.command.tables import rows_of, write_table
from bench.files.whole import write_whole
from bench.records.results import Results
from bench.report import tables
from bench.report.answer import Answer, answers
from bench.report.frames import Frames, frames_of
from bench.report.plots import Plot, plots
from bench.report.tables_kernels import kernel_times, readable_kernel_times
from bench.report.tables_summary import quality, readable_quality, readable_summary

_MANY_PLOTS = 10
"""From this number on, a second process saves more than its start costs, which is a second."""


@dataclass(frozen=True)
class Report:
    """What was written, and the answer in words."""

    answers: tuple[Answer, ...]
    where: str
    not_run: tuple[str, ...]
    page: Path
    tables: tuple[Path, ...]
    plots: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that were written."""
        return (self.page, *self.tables, *self.plots)


@dataclass(frozen=True)
class Table:
    """A table with all digits, and as people read it; None where it is for programs alone."""

    name: str
    frame: pd.DataFrame
    readable: pd.DataFrame | None


def write_report(results: Results, folder: Path) -> Report:
    """Write `tables/`, `plots/` and `index.html` into a results folder, from one machine's records.

    Raises:
        ValueError: there are no records.
    """
    if not results.records:
        raise ValueError("there are no records to report on")
    frames = frames_of(results)
    drawn = plots(frames)
    _draw_in_two_processes(drawn, folder / "plots")
    shown = report_tables(frames)
    table_files = [
        path
        for table in shown
        for path in write_table(table.frame, table.readable, folder / "tables" / table.name)
    ]
    environment = results.records[-1].environment
    not_run = rows_of(tables.not_run(frames.scores))
    found = tuple(answers(frames))
    where = text.machine_line(environment)
    template = Environment(
        loader=PackageLoader("bench.report", "."), autoescape=select_autoescape(["j2"])
    ).get_template("page.html.j2")
    page = template.render(
        answers=found,
        where=where,
        not_run=not_run,
        plots=drawn,
        html={table.name: _html(table.readable) for table in shown if table.readable is not None},
        tables=[path.name for path in table_files],
        environment=environment,
    )
    return Report(
        answers=found,
        where=where,
        not_run=tuple(_not_run_line(row) for row in not_run),
        page=write_whole(folder / "index.html", page.encode()),
        tables=tuple(table_files),
        plots=tuple(path for plot in drawn for path in figure_files(folder / "plots" / plot.name)),
    )


def report_tables(frames: Frames) -> list[Table]:
    """All tables of a report."""
    times, summary, problems = frames.times, frames.summary, frames.problems
    qualities = quality(frames.scores)
    kernels = kernel_times(frames.kernel_samples)
    found = [
        Table("times_to_target", times, tables.readable_times(times)),
        Table("summary", summary, readable_summary(summary)),
        Table("quality", qualities, readable_quality(qualities)),
        Table("problems", problems, tables.readable_problems(problems)),
    ]
    if len(kernels):
        found.append(Table("kernel_times", kernels, readable_kernel_times(kernels)))
    return [*found, Table("scores", frames.scores, None)]


def _draw_in_two_processes(plots: Sequence[Plot], folder: Path) -> None:
    if len(plots) < _MANY_PLOTS:
        return _draw(plots, folder)
    half, other_half = plots[::2], plots[1::2]
    # Spawned, as a fork is unsafe beside threads that libraries have started. Ctrl-C is for the
    # first process.
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    ) as second:
        try:
            drawing = second.submit(_draw, half, folder)
            _draw(other_half, folder)
            drawing.result()
        except (BrokenProcessPool, OSError):  # the second process ended early, or never began
            _draw(plots, folder)


def _draw(plots: Sequence[Plot], folder: Path) -> None:
    with plot_style():
        for plot in plots:
            save_figure(plot.draw(), folder / plot.name)


def _not_run_line(row: Mapping[str, Any]) -> str:
    about = row["what"] or f"{row['kernel']} on {row['device']}"
    return f"{about}: {row['message']}"


def _html(frame: pd.DataFrame) -> str:
    """An HTML table whose missed targets have a class of their own."""
    table = str(frame.to_html(index=False, border=0, justify="left"))
    return table.replace("<td>missed</td>", '<td class="missed">missed</td>')
