"""The report's plots, drawn from data frames; nothing here measures anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.command.figures import (
    COLOURS,
    Styles,
    file_names,
    legend,
    legend_height,
    plain,
    plot_style,
    styles_of,
    time_axis,
)
from bench.records.results import Results
from bench.report.plots_profiles import best_ways, ecdf_figure, profile_figure
from bench.report.tables import SHOWN_TARGETS, WAY, times_to_target

_FLOOR = 1e-13  # below, a relative gap in float64 is rounding
_OWN_LOSS = "a loss of their own, refitted"


def figures(results: Results) -> Iterator[tuple[str, str, Figure]]:
    """(file name without suffix, caption, figure) of every plot that there are data for."""
    with plot_style():
        curves = results.curves()
        curves = curves[curves["gap"].notna()]
        names = file_names(list(map(str, curves["problem"].unique())))
        styles = styles_of(results.scores()["optimizer"].unique())
        for problem, rows in curves.groupby("problem", sort=False):
            name = names[str(problem)]
            yield (
                f"gap_vs_time_{name}",
                f"{problem}: relative gap against time, a line a seed; down and left is better",
                _gap_figure(str(problem), rows, styles, "elapsed_s", "time"),
            )
            yield (
                f"gap_vs_passes_{name}",
                f"{problem}: relative gap against passes over the rows",
                _gap_figure(str(problem), rows, styles, "passes", "passes over the data"),
            )
        times = times_to_target(results)
        if not curves.empty:
            yield (
                "time_to_target",
                "Time to a relative gap, each optimizer on its fastest kernel: median and interval",
                _target_figure(times[times["problem"].isin(curves["problem"])], styles),
            )
            runs = best_ways(results)
            yield (
                "ecdf",
                "Runtime distributions: the fraction of problems, targets (1e-1 to 1e-10) and runs "
                "solved by a time; up and left is better. No curve depends on another",
                ecdf_figure(runs, styles),
            )
            yield (
                "performance_profile",
                "Performance profile (Dolan and Moré): time relative to the fastest on each "
                "problem. It moves with who else ran",
                profile_figure(runs, styles),
            )
        kernels = results.kernel_times()
        if not kernels.empty:
            yield (
                "kernel_time",
                "Time per call of value_and_grad: every sample, and the median",
                _kernel_figure(kernels),
            )


def _gap_figure(
    problem: str,
    rows: pd.DataFrame,
    styles: Styles,
    x: str,
    label: str,
) -> Figure:
    """A panel for each way of running, all with the same axes; one for all that are refitted."""
    refits = rows["sampling"] == "refits"
    panel_of = rows["kernel"].mask(refits, _OWN_LOSS)
    ways = list(rows.groupby([panel_of, "device", "dtype"], sort=False))
    figure = Figure(figsize=(4.2 * len(ways) + 2.6, legend_height(rows["optimizer"].nunique())))
    panels = figure.subplots(1, len(ways), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (way, runs) in zip(panels, ways, strict=True):
        cells = ["optimizer", "kernel", "seed", "repetition"]
        for (optimizer, *_), run in runs.groupby(cells, sort=False):
            colour, line = styles[str(optimizer)]
            start = float(run["gap"].iloc[0])
            shown = run[run[x] > 0]
            relative = np.clip(shown["gap"].to_numpy() / start, _FLOOR, None)
            panel.plot(shown[x], relative, color=colour, ls=line, lw=1.2, alpha=0.75)
        panel.set(xscale="log", yscale="log", xlabel=label, title=", ".join(map(str, way)))
        panel.set_ylim(_FLOOR, 30)
        if x == "elapsed_s":
            time_axis(panel)
        for target in SHOWN_TARGETS:
            panel.axhline(float(target), color="0.5", lw=0.7, ls=(0, (2, 3)))
    panels[0].set_ylabel("(f(w) - f*) / (f(w0) - f*)")
    drawn = rows.loc[rows[x] > 0, "optimizer"].unique()  # some solvers count no passes
    legend(figure, panels[-1], list(drawn), styles)
    figure.suptitle(plain(problem), fontsize=11, fontweight="bold")
    return figure


def _target_figure(times: pd.DataFrame, styles: Styles) -> Figure:
    """A panel a problem, a row an optimizer, a mark for each target that was met."""
    problems = list(times.groupby("problem", sort=False))
    columns = min(2, len(problems))
    lines = -(-len(problems) // columns)
    height = 0.33 * times["optimizer"].nunique() + 1.3
    figure = Figure(figsize=(6.8 * columns, height * lines))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(problems) :]:
        panel.remove()
    for panel, (problem, rows) in zip(panels, problems, strict=False):
        best = rows.drop_duplicates("optimizer").iloc[::-1]  # fastest first, so it is on top
        for height_at, (_, row) in enumerate(best.iterrows()):
            colour = styles[row["optimizer"]][0]
            for marker, target in zip("osD", SHOWN_TARGETS, strict=True):
                median = row[f"time_to_{target}_s"]
                if pd.isna(median):
                    continue
                low, high = row[f"time_to_{target}_low_s"], row[f"time_to_{target}_high_s"]
                panel.plot([low, high], [height_at] * 2, color=colour, lw=2.5, alpha=0.5)
                panel.plot(median, height_at, marker, color=colour, ms=6)
            if not pd.isna(row["relative_gap"]) and pd.isna(row[f"time_to_{SHOWN_TARGETS[-1]}_s"]):
                note = f"ends at a gap of {row['relative_gap']:.0e}"
                panel.annotate(
                    note,
                    (1.0, height_at),
                    xycoords=("axes fraction", "data"),
                    ha="right",
                    va="center",
                    fontsize=8,
                    color="0.4",
                )
        labels = [plain(f"{row['optimizer']}  ({row['kernel']})") for _, row in best.iterrows()]
        panel.set_yticks(range(len(best)), labels, fontsize=8)
        panel.set_ylim(-0.7, len(best) - 0.3)
        panel.set(xscale="log", title=plain(str(problem)), xlabel="time")
        low_end, high_end = panel.get_xlim()
        panel.set_xlim(low_end, high_end * (high_end / low_end) ** 0.55)  # room for the notes
        time_axis(panel)
        panel.grid(axis="y", visible=False)
    for marker, target in zip("osD", SHOWN_TARGETS, strict=True):
        panels[0].plot([], [], marker, color="0.3", label=f"relative gap {target}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _kernel_figure(kernels: pd.DataFrame) -> Figure:
    """A panel a problem, a row a kernel: the samples as dots, the median as a bar."""
    problems = list(kernels.groupby("problem", sort=False))
    columns = min(2, len(problems))
    lines = -(-len(problems) // columns)
    rows_each = max(rows.groupby([*WAY, "timed_beside"]).ngroups for _, rows in problems)
    figure = Figure(figsize=(6.0 * columns, (0.4 * rows_each + 1.2) * lines))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(problems) :]:
        panel.remove()
    rng = np.random.default_rng(0)
    for panel, (problem, rows) in zip(panels, problems, strict=False):
        ways = list(rows.groupby([*WAY, "timed_beside"], sort=False))
        for height_at, (_, samples) in enumerate(ways):
            x = samples["seconds_per_call"].to_numpy()
            jitter = height_at + rng.uniform(-0.16, 0.16, len(x))
            colour = COLOURS[height_at % len(COLOURS)]
            panel.plot(x, jitter, ".", color=colour, alpha=0.55, ms=5)
            panel.plot([np.median(x)] * 2, [height_at - 0.3, height_at + 0.3], color=colour, lw=2)
        labels = [_kernel_label(*map(str, way)) for way, _ in ways]
        panel.set_yticks(range(len(ways)), labels, fontsize=8.5)
        panel.set_ylim(-0.6, len(ways) - 0.4)
        panel.set(xscale="log", title=plain(str(problem)), xlabel="time per call")
        time_axis(panel)
        panel.grid(axis="y", visible=False)
    return figure


def _kernel_label(kernel: str, device: str, dtype: str, timed_beside: str) -> str:
    alone = " (alone)" if timed_beside == kernel else ""
    return f"{kernel}, {device}, {dtype}{alone}"
