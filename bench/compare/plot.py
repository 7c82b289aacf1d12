"""The plot of a comparison: each cell's ratio with its interval."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bench.command import text
from bench.command.figures import plain, plot_style
from bench.compare.comparison import CellResult, Comparison

_COLOURS = {"SLOWER": "#D55E00", "FASTER": "#009E73", "SAME": "#56B4E9", "INCONCLUSIVE": "#8C8C8C"}


def plot(comparison: Comparison) -> Figure:
    """Each cell's ratio with its interval, the slowest on top; a band shows what counts as SAME.

    The axis is logarithmic: twice as slow and twice as fast are equally far from 1.
    """
    cells = [cell for cell in comparison.cells if cell.ratio is not None]
    cells.sort(key=lambda cell: cell.ratio or 0.0)
    limit = 1 + comparison.threshold
    widest = max([limit**2, *(_within(cell) for cell in cells)])
    with plot_style():
        figure, panel = plt.subplots(figsize=(9.5, 1.6 + 0.17 * len(cells)))
        panel.axvspan(1 / limit, limit, color="#56B4E9", alpha=0.15, lw=0)
        panel.axvline(1, color="black", lw=0.8)
        for at, cell in enumerate(cells):
            colour = _COLOURS[cell.verdict]
            low = max(cell.low or 0.0, 1 / widest**1.05)
            high = min(math.inf if cell.high is None else cell.high, widest**1.05)
            panel.plot([low, high], [at, at], color=colour, lw=1.4)
            panel.plot(cell.ratio or 0.0, at, "o", color=colour, ms=4)
        panel.set_yticks(range(len(cells)), [plain(str(c.cell)) for c in cells], fontsize=7)
        panel.set_xscale("log")
        panel.set_xlim(1 / widest**1.05, widest**1.05)
        ticks = _ticks(widest**1.05)
        panel.set_xticks(ticks, [f"{t:.{2 + (t > 1)}g}x" for t in ticks])
        panel.minorticks_off()
        panel.set_ylim(-0.8, len(cells) - 0.2)
        panel.grid(visible=False, axis="y")
        for name, colour in _COLOURS.items():
            if any(cell.verdict == name for cell in cells):
                panel.plot([], [], "o-", color=colour, label=name)
        figure.legend(loc="outside upper right", ncols=4, frameon=False, fontsize=8.5)
        panel.set_xlabel(
            "time of head / time of base: slower to the right\n"
            f"(the band: the same within {text.percent(comparison.threshold)})"
        )
    return figure


_SLOWER_TICKS = (1e3, 100.0, 10.0, 2.0, 1.5, 1.25, 1.1, 1.05, 5.0)  # in order of preference


def _ticks(widest: float) -> list[float]:
    """Ratios from 1 / widest to widest, symmetric about 1, whose labels do not touch."""
    chosen = [1.0]
    for tick in _SLOWER_TICKS:
        apart = min(abs(math.log(tick / other)) for other in chosen)
        if tick <= widest and apart > 0.16 * math.log(widest):
            chosen.append(tick)
    return sorted({*chosen, *(1 / tick for tick in chosen)})


def _within(cell: CellResult) -> float:
    """How far from 1 the axis must reach for a cell: to its ratio, and to most of its interval."""
    ratio = max(cell.ratio or 1.0, 1 / (cell.ratio or 1.0))
    return min(max(cell.high or ratio, 1 / (cell.low or 1 / ratio)), ratio * 1.25)
