"""The report's plots, drawn from data frames; nothing here measures anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.command.figures import (
    COLOURS,
    Styles,
    file_names,
    legend,
    legend_height,
    plain,
    plain_ticks,
    styles_of,
    time_axis,
)
from bench.report.frames import Frames
from bench.report.plots_profiles import best_ways, ecdf_figure, profile_figure
from bench.report.tables import SHOWN_TARGETS, WAY

_FLOOR = 1e-13  # below, a relative gap in float64 is rounding
_MARKERS = "osD"
_OWN_LOSS = "a loss of their own, refitted"


@dataclass(frozen=True)
class Plot:
    """A plot that is not drawn yet, with the name of its files and its caption on the page."""

    name: str
    caption: str
    draw: Callable[[], Figure]


def plots(frames: Frames) -> list[Plot]:
    """Every plot that there are data for."""
    curves = frames.curves[frames.curves["gap"].notna()]
    names = file_names(list(map(str, curves["problem"].unique())))
    styles = styles_of(frames.scores["optimizer"].unique())
    found = [
        Plot(
            f"gap_vs_{against}_{names[str(problem)]}",
            f"{problem}: relative gap against {caption}",
            partial(_gap_figure, str(problem), rows, styles, x, label),
        )
        for problem, rows in curves.groupby("problem", sort=False)
        for against, caption, x, label in (
            ("time", "time, a line a run; down and left is better", "elapsed_s", "time"),
            ("passes", "passes over the rows", "passes", "passes over the data"),
        )
    ]
    if not curves.empty:
        times = frames.times[frames.times["problem"].isin(curves["problem"])]
        runs = best_ways(frames.scored, frames.summary)
        found += [
            Plot(
                "time_to_target",
                "Time to a relative gap, each optimizer on its fastest kernel: median and interval",
                partial(_target_figure, times, styles),
            ),
            Plot(
                "ecdf",
                "Runtime distributions: the fraction of problems, targets (1e-1 to 1e-10) and runs "
                "solved by a time; up and left is better. No curve depends on another",
                partial(ecdf_figure, runs, styles),
            ),
            Plot(
                "performance_profile",
                "Performance profile (Dolan and Moré): time relative to the fastest on each "
                "problem. It moves with who else ran",
                partial(profile_figure, runs, styles),
            ),
        ]
    if not frames.kernel_samples.empty:
        found.append(
            Plot(
                "kernel_time",
                "Time per call of value_and_grad: every sample, and the median",
                partial(_kernel_figure, frames.kernel_samples),
            )
        )
    return found


def _gap_figure(problem: str, rows: pd.DataFrame, styles: Styles, x: str, label: str) -> Figure:
    """A panel for each kernel, device and dtype, and one for all refits, with the same axes."""
    refits = rows["sampling"] == "refits"
    panel_of = rows["kernel"].mask(refits, _OWN_LOSS)
    ways = list(rows.groupby([panel_of, "device", "dtype"], sort=False))
    figure = Figure(figsize=(4.2 * len(ways) + 2.6, legend_height(rows["optimizer"].nunique())))
    panels = figure.subplots(1, len(ways), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (way, runs) in zip(panels, ways, strict=True):
        panel.set(xscale="log", yscale="log", xlabel=label, title=", ".join(map(str, way)))
        for optimizer, of_it in runs.groupby("optimizer", sort=False):
            colour, line = styles[str(optimizer)]
            curves = _relative_curves(of_it, x)
            panel.add_collection(
                LineCollection(curves, colors=colour, linestyles=line, lw=1.2, alpha=0.75)
            )
        panel.autoscale_view()
        panel.set_ylim(_FLOOR, 30)
        if x == "elapsed_s":
            time_axis(panel)
        else:
            plain_ticks(panel.xaxis)
        plain_ticks(panel.yaxis)
        for target in SHOWN_TARGETS:
            panel.axhline(float(target), color="0.5", lw=0.7, ls=(0, (2, 3)))
    panels[0].set_ylabel("(f(w) - f*) / (f(w0) - f*)")
    drawn = rows.loc[rows[x] > 0, "optimizer"].unique()  # some solvers count no passes
    legend(figure, panels[-1], list(drawn), styles)
    figure.suptitle(plain(problem), fontsize=11, fontweight="bold")
    return figure


def _relative_curves(rows: pd.DataFrame, x: str) -> list[NDArray[np.float64]]:
    """The runs of one optimizer as (x, relative gap), without x = 0: the axis is logarithmic."""
    curves = []
    for _, run in rows.groupby(["kernel", "seed", "repetition"], sort=False):
        at, gap = run[x].to_numpy(), run["gap"].to_numpy()
        relative = np.clip(gap / gap[0], _FLOOR, None)
        curves.append(np.column_stack([at, relative])[at > 0])
    return curves


def _target_figure(times: pd.DataFrame, styles: Styles) -> Figure:
    """A panel a problem, a row an optimizer, a mark for each target that was met."""
    problems = list(times.groupby("problem", sort=False))
    figure, panels = _grid(len(problems), 6.8, 0.33 * times["optimizer"].nunique() + 1.3)
    for panel, (problem, rows) in zip(panels, problems, strict=True):
        best = rows.drop_duplicates("optimizer").iloc[::-1]  # fastest first, so it is on top
        colours = [styles[name][0] for name in best["optimizer"]]
        heights = range(len(best))
        for marker, target in zip(_MARKERS, SHOWN_TARGETS, strict=True):
            columns = (f"time_to_{target}{end}_s" for end in ("", "_low", "_high"))
            median, low, high = (best[name].to_numpy() for name in columns)  # NaN is not drawn
            panel.hlines(heights, low, high, colors=colours, lw=2.5, alpha=0.5)
            panel.scatter(median, heights, c=colours, marker=marker, s=36, zorder=3)
        unmet = best[f"time_to_{SHOWN_TARGETS[-1]}_s"].isna() & best["relative_gap"].notna()
        for height_at in np.flatnonzero(unmet):
            panel.annotate(
                f"ends at a gap of {best['relative_gap'].iloc[height_at]:.0e}",
                (1.0, height_at),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="center",
                fontsize=8,
                color="0.4",
            )
        names = zip(best["optimizer"], best["kernel"], strict=True)
        labels = [plain(f"{optimizer}  ({kernel})") for optimizer, kernel in names]
        panel.set_yticks(heights, labels, fontsize=8)
        panel.set_ylim(-0.7, len(best) - 0.3)
        panel.set(xscale="log", title=plain(str(problem)), xlabel="time")
        low_end, high_end = panel.get_xlim()
        panel.set_xlim(low_end, high_end * (high_end / low_end) ** 0.55)  # room for the notes
        time_axis(panel)
        panel.grid(axis="y", visible=False)
    for marker, target in zip(_MARKERS, SHOWN_TARGETS, strict=True):
        panels[0].plot([], [], marker, color="0.3", label=f"relative gap {target}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _kernel_figure(kernels: pd.DataFrame) -> Figure:
    """A panel a problem, a row a kernel: the samples as dots, the median as a bar."""
    problems = list(kernels.groupby("problem", sort=False))
    rows_each = max(rows.groupby([*WAY, "timed_beside"]).ngroups for _, rows in problems)
    figure, panels = _grid(len(problems), 6.0, 0.4 * rows_each + 1.2)
    rng = np.random.default_rng(0)
    for panel, (problem, rows) in zip(panels, problems, strict=True):
        ways = list(rows.groupby([*WAY, "timed_beside"], sort=False))
        for height_at, (_, samples) in enumerate(ways):
            x = samples["seconds_per_call"].to_numpy()
            jitter = height_at + rng.uniform(-0.16, 0.16, len(x))
            colour = COLOURS[height_at % len(COLOURS)]
            panel.plot(x, jitter, ".", color=colour, alpha=0.55, ms=5)
            panel.plot([np.median(x)] * 2, [height_at - 0.3, height_at + 0.3], color=colour, lw=2)
        labels = [
            f"{kernel}, {device}, {dtype}{' (alone)' if beside == kernel else ''}"
            for (kernel, device, dtype, beside), _ in ways
        ]
        panel.set_yticks(range(len(ways)), labels, fontsize=8.5)
        panel.set_ylim(-0.6, len(ways) - 0.4)
        panel.set(xscale="log", title=plain(str(problem)), xlabel="time per call")
        time_axis(panel)
        panel.grid(axis="y", visible=False)
    return figure


def _grid(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, two a line, each of `width` x `height` inches."""
    columns = min(2, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * lines))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    return figure, list(panels[:count])
