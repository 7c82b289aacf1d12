"""Each cell over commits, one panel a cell; one figure a machine, measure and problem."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from bench.command import text
from bench.command.figures import COLOURS, file_names, plain, plot_style
from bench.history.series import SHORT, Series, machine_line
from bench.statistics.change_points import MIN_SIZE
from bench.statistics.intervals import Values

_BLUE, _WORSE, _BETTER = COLOURS[0], COLOURS[1], COLOURS[2]
_COLUMNS = 3
_PANELS = 24  # of a figure; more panels are on further figures
_CAPTION = (
    f"dot: median of a commit's runs, band: its {text.INTERVAL}; vertical line: change point\n"
    "hollow: too new, or too few, to be judged; triangle: off the axis; cross: most runs missed"
)
_WORDS = {
    "seconds_per_call": "time per call of value and gradient",
    "seconds_per_pass": "time per pass over the data",
    "time_to_1e-6_s": "time to a relative gap of 1e-6",
    "passes_to_1e-6": "passes to a relative gap of 1e-6",
}


def history_figures(series: Iterable[Series]) -> Iterator[tuple[str, Figure]]:
    """(file name without suffix, figure) for every machine, measure and problem.

    Two machines never share a figure: their absolute times are not comparable.
    """
    series = list(series)
    problems = file_names(list(dict.fromkeys(one.last.problem for one in series)))
    with plot_style():
        key = attrgetter("last.machine", "last.measure", "last.problem")
        for (machine, measure, problem), group in groupby(series, key):
            found = list(group)
            for page, start in enumerate(range(0, len(found), _PANELS), 1):
                name = f"{machine}_{measure}_{problems[problem]}"
                suffix = f"_{page}" if len(found) > _PANELS else ""
                yield name + suffix, _figure(found[start : start + _PANELS])


def _figure(series: Sequence[Series]) -> Figure:
    columns = min(_COLUMNS, len(series))
    lines = math.ceil(len(series) / columns)
    figure = Figure(figsize=(max(4.4 * columns, 6.5), 2.3 * lines + 1.3))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(series) :]:
        panel.remove()
    for panel, one in zip(panels, series, strict=False):
        _panel(panel, one)
    last = series[0].last
    figure.suptitle(
        plain(f"{last.problem}: {_WORDS[last.measure]}, commit by commit\n")
        + plain(machine_line(series[0])),
        fontsize=10.5,
        fontweight="bold",
    )
    figure.supxlabel(_CAPTION, fontsize=8)
    return figure


def _panel(panel: Axes, one: Series) -> None:
    """Medians with their intervals; a line and its ratio at each change point."""
    n = len(one.points)
    x, medians = np.arange(n), one.medians
    lows, highs = _band(one)
    on = ~one.off_level
    panel.fill_between(x[on], lows[on], highs[on], color=_BLUE, alpha=0.2, lw=0)
    panel.plot(x[on], medians[on], color=_BLUE, lw=1.0)
    judged = max(n - (MIN_SIZE - 1), 0) if one.is_long_enough else 0
    panel.plot(x[:judged], medians[:judged], "o", color=_BLUE, ms=2.8)
    panel.plot(x[judged:], medians[judged:], "o", color=_BLUE, ms=2.8, mfc="white")
    _limit(panel, one, lows, highs)
    missed = np.isnan(medians)
    at = panel.get_xaxis_transform()
    panel.plot(x[missed], np.full(missed.sum(), 0.84), "x", color=_WORSE, ms=4, transform=at)
    for change in one.changes:
        colour = _WORSE if change.ratio > 1 else _BETTER
        panel.axvline(change.index - 0.5, color=colour, lw=1.3)
        right = change.index > 0.62 * n
        panel.annotate(
            f"{one.points[change.index].commit[:SHORT]} {_ratio(change.ratio)}",
            (change.index - 0.5, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if right else 3, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize=7.5,
            color=colour,
        )
    panel.set_xlim(-0.7, n - 0.3)
    ends = [0, n - 1] if n > 1 else [0]
    panel.set_xticks(ends, [one.points[i].commit[:SHORT] for i in ends], fontsize=7.5)
    labels = panel.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    if n > 1:
        labels[-1].set_horizontalalignment("right")
    panel.yaxis.set_major_locator(MaxNLocator(4))
    panel.yaxis.set_major_formatter(EngFormatter(unit="s" if one.last.unit == "s" else ""))
    panel.tick_params(axis="y", labelsize=8)
    panel.grid(axis="x", visible=False)
    about = one.cell.removeprefix(f"{one.last.problem} · ")
    panel.set_title(plain(about), fontsize=8.5, loc="left")
    if missed.all():
        panel.text(0.5, 0.5, "missed by every commit", transform=panel.transAxes, ha="center")
        panel.set_yticks([])


def _limit(panel: Axes, one: Series, lows: Values, highs: Values) -> None:
    """Let the levels fill the axis, and draw what is off them as a triangle at its edge.

    Beside a spike a step of 5% would be lost.
    """
    off = one.off_level
    inside = ~np.isnan(one.medians) & ~off
    if not inside.any():
        return
    # A wide band is cut off, too: the quarter of commits with the widest ends sets no limit.
    low = min(one.medians[inside].min(), np.quantile(lows[inside], 0.25))
    high = max(one.medians[inside].max(), np.quantile(highs[inside], 0.75))
    margin = max(0.15 * (high - low), 0.02 * low)
    panel.set_ylim(max(low - margin, 0.0), high + 2.2 * margin)  # room for the commits' names
    at = panel.get_xaxis_transform()
    for side, marker, height in ((1, "^", 0.84), (-1, "v", 0.04)):
        beyond = (side * one.medians > side * panel.get_ylim()[side > 0]) & off
        x = np.flatnonzero(beyond)
        panel.plot(x, np.full(len(x), height), marker, color="0.35", ms=4, transform=at)


def _band(one: Series) -> tuple[Values, Values]:
    """The ends of each median's interval; the median itself for an end that missed."""
    ends = zip(one.intervals, one.medians, strict=True)
    both = [[m if i.low is None else i.low, m if i.high is None else i.high] for i, m in ends]
    lows, highs = np.array(both).T
    return lows, highs


def _ratio(ratio: float) -> str:
    return "misses" if math.isinf(ratio) else "hits again" if ratio == 0 else f"{ratio:.2f}x"
