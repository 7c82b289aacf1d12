"""Over all problems: runtime distributions, and the performance profile."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from bench.command.figures import Styles, legend, legend_height, time_axis
from bench.report.tables import WAY
from bench.report.tables_summary import times_of
from bench.statistics.profiles import Steps, ecdf_steps, performance_ratios

_TARGET = "1e-6"


def best_ways(scored: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """The scored runs of each optimizer, on its best kernel, device and dtype alone.

    These are the ones that ran on most problems, and of them the one that solved most. They
    depend on no other optimizer.
    """
    if summary.empty:
        return scored
    # The summary is sorted by the fraction solved, and this sort is stable.
    ways = summary.sort_values("problems", ascending=False, kind="stable")
    best = ways.drop_duplicates("optimizer")
    return scored.merge(best[["optimizer", *WAY]], on=["optimizer", *WAY])


def ecdf_figure(runs: pd.DataFrame, styles: Styles) -> Figure:
    """The fraction of all problems x targets x runs that each optimizer has solved by a time."""
    figure = Figure(figsize=(9.5, max(5.2, legend_height(runs["optimizer"].nunique()))))
    panel = figure.subplots()
    by_name = {str(name): rows for name, rows in runs.groupby("optimizer", sort=False)}
    times = {name: times_of(rows) for name, rows in by_name.items()}
    end = float(runs["run_s"].max())  # which passes over runs that failed before they began
    n_problems = runs["problem"].nunique()
    names = sorted(times, key=lambda name: -float(np.isfinite(times[name]).mean()))
    labels = []
    for name in names:
        on = by_name[name]["problem"].nunique()
        labels.append(name if on == n_problems else f"{name} ({on} of {n_problems} problems)")
        colour, line = styles[name]
        _draw(panel, ecdf_steps(times[name]), end, colour, line)
    panel.set(xscale="log", xlabel="time", ylim=(0, 1.02))
    panel.set_ylabel("fraction of problems × targets × runs solved")
    time_axis(panel)
    legend(figure, panel, labels, {k: styles[n] for k, n in zip(labels, names, strict=True)})
    return figure


def profile_figure(runs: pd.DataFrame, styles: Styles) -> Figure:
    """Dolan and More's profile of the median times to 1e-6."""
    # A miss counts as later than every hit: the median is one where most runs missed.
    later = runs.assign(time=runs[f"time_to_{_TARGET}_s"].fillna(np.inf))
    medians = later.pivot_table(
        index="problem", columns="optimizer", values="time", aggfunc="median", sort=False
    ).replace(np.inf, np.nan)
    ratios = performance_ratios(medians.to_numpy())
    figure = Figure(figsize=(9.5, max(5.2, legend_height(len(medians.columns)))))
    panel = figure.subplots()
    end = 2.0 * max(2.0, float(np.nanmax(ratios, initial=1.0)))
    for name, column in zip(medians.columns, ratios.T, strict=True):
        colour, line = styles[name]
        _draw(panel, ecdf_steps(column), end, colour, line)
    panel.set(xscale="log", xlim=(1, end), ylim=(0, 1.02))
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if end < 300 else (1.0,)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}x"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set(xlabel="time over that of the fastest optimizer shown here")
    panel.set_ylabel(f"fraction of problems solved to {_TARGET}")
    panel.set_title("Moves with who else ran: compare curves, not reports", fontsize=10)
    drawn = [name for name in medians.columns if medians[name].notna().any()]
    legend(figure, panel, drawn, styles)
    return figure


def _draw(panel: Axes, steps: Steps, end: float, colour: str, line: str) -> None:
    if not len(steps.at):
        return  # nothing was solved: there is no curve
    at = np.concatenate([steps.at[:1], steps.at, [end]])
    height = np.concatenate([[0.0], steps.height, steps.height[-1:]])
    panel.step(at, height, where="post", color=colour, ls=line, lw=1.6)
