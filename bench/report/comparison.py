"""A comparison for people: one sentence, a table, Markdown for a job's summary, and a plot."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bench.comparisons import (
    FAILED,
    NEW,
    NOT_TIMED,
    CellResult,
    Comparison,
    Side,
    as_json,
)
from bench.report import text
from bench.report.plot_style import plain, plot_style
from bench.report.write import describe, write_table, write_whole

_ORDER = (FAILED, "SLOWER", "FASTER", "INCONCLUSIVE", NEW, NOT_TIMED, "SAME")
_COLOURS = {"SLOWER": "#D55E00", "FASTER": "#009E73", "SAME": "#56B4E9", "INCONCLUSIVE": "#8C8C8C"}


def headline(comparison: Comparison) -> str:
    """The answer in one sentence: what fails, or that nothing does."""
    counted = Counter(cell.verdict for cell in comparison.cells)
    total = len(comparison.cells)
    worst = _sorted(comparison.regressions)
    if not worst:
        measured = sum(cell.ratio is not None for cell in comparison.cells)
        found = "No slow-down found" if measured else "Nothing was decided"
        start = f"{found}: none of {_cells(total)} is SLOWER"
    else:
        bad = [f"{counted[name]} {name}" for name in (FAILED, "SLOWER") if counted[name]]
        start = f"{text.listing(bad)} of {_cells(total)}: {_worst(worst[0])}"
    rest = [
        f"{counted[name]} {words}"
        for name, words in (
            ("FASTER", "FASTER"),
            ("SAME", f"the same within {_percent(comparison.threshold)}"),
            ("INCONCLUSIVE", "inconclusive"),
            (NEW, "new"),
            (NOT_TIMED, "not timed"),
        )
        if counted[name]
    ]
    return f"{start}; {text.listing(rest)}." if rest else f"{start}."


def table(comparison: Comparison) -> pd.DataFrame:
    """One row a cell, full numbers, what fails first."""
    return pd.DataFrame(
        [
            {
                "verdict": result.verdict,
                "cell": str(result.cell),
                "problem": result.cell.problem,
                "optimizer": result.cell.optimizer,
                "kernel": result.cell.kernel,
                "device": result.cell.device,
                "dtype": result.cell.dtype,
                "ratio": result.ratio,
                "low": result.low,
                "high": result.high,
                "base_s": _median(result.base_s),
                "head_s": _median(result.head_s),
                "sessions": len(result.log_ratios),
                "passes": result.work.get("passes"),
                "reason": result.reason,
            }
            for result in _sorted(comparison.cells)
        ]
    )


def readable(results: Iterable[CellResult]) -> pd.DataFrame:
    """The same for people: what fails first, times in units that fit, ratios with intervals."""
    return pd.DataFrame(
        [
            {
                "verdict": result.verdict,
                "cell": str(result.cell),
                "head / base": _ratio(result),
                "base": _seconds(result.base_s),
                "head": _seconds(result.head_s),
                "": result.reason,
            }
            for result in _sorted(results)
        ],
        columns=["verdict", "cell", "head / base", "base", "head", ""],
    )


def notable(comparison: Comparison) -> list[CellResult]:
    """Every cell that is not simply the same."""
    return [cell for cell in comparison.cells if cell.verdict != "SAME"]


def describe_sides(comparison: Comparison) -> str:
    """What was compared with what, how, and where: some lines of plain text."""
    sides = [
        f"{role}: {_side(side)}"
        for role, side in (("base", comparison.base), ("head", comparison.head))
    ]
    if comparison.paired:
        how = (
            f"{comparison.sessions} sessions of two new processes in {comparison.seconds:.0f} s, "
            "base and head in turns"
        )
    else:
        how = "two saved sets, which did not take turns"
    confidence = f"all intervals together hold with {comparison.confidence:.0%} confidence"
    lines = [*sides, f"{how}; {confidence}", describe(comparison.environment)]
    return "\n".join([*lines, *(f"note: {note}" for note in comparison.notes)])


def markdown(comparison: Comparison) -> str:
    """A section for a CI job's summary: the sentence, what is notable, and the rest folded."""
    few, every = notable(comparison), list(comparison.cells)
    parts = [
        f"## Compare: {headline(comparison)}",
        describe_sides(comparison).replace("\n", "  \n"),
    ]
    if few:
        parts.append(_markdown_table(few))
    parts.append(
        f"<details><summary>All {_cells(len(every))}</summary>\n\n{_markdown_table(every)}\n\n"
        "</details>"
    )
    parts.append(_HOW_TO_READ.format(percent=_percent(comparison.threshold)))
    return "\n\n".join(parts) + "\n"


_HOW_TO_READ = (
    "head / base is the ratio of times with its interval: 1.10x is 10% slower. SAME: the interval "
    "is within {percent} of 1. SLOWER: it is above 1, and the ratio is nearer to the threshold "
    "than to 1. INCONCLUSIVE: neither could be told in the time given."
)


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Samples as JSON, the table as CSV and Markdown, and the plot, in a results folder."""
    written = [write_whole(folder / "comparison.json", as_json(comparison).encode())]
    shown = readable(comparison.cells)
    written += write_table(table(comparison), shown, folder / "tables" / "comparison")
    if any(cell.ratio is not None for cell in comparison.cells):
        buffer = io.BytesIO()
        figure = plot(comparison)
        figure.savefig(buffer, format="png", dpi=130)
        plt.close(figure)
        written.append(write_whole(folder / "plots" / "comparison.png", buffer.getvalue()))
    return written


def plot(comparison: Comparison) -> Figure:
    """Each cell's ratio with its interval, the worst on top; the band is what counts as the same.

    The axis is logarithmic: twice as slow and twice as fast are as far from 1.
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
        ticks = [t for t in _TICKS if 1 / widest <= t <= widest]
        panel.set_xticks(ticks, [f"{t:g}x" for t in ticks])
        panel.minorticks_off()
        panel.set_ylim(-0.8, len(cells) - 0.2)
        panel.grid(visible=False, axis="y")
        for name, colour in _COLOURS.items():
            if any(cell.verdict == name for cell in cells):
                panel.plot([], [], "o-", color=colour, label=name)
        figure.legend(loc="outside upper right", ncols=4, frameon=False, fontsize=8.5)
        panel.set_xlabel(
            "time of head / time of base: slower to the right\n"
            f"(the band: the same within {_percent(comparison.threshold)})"
        )
    return figure


_TICKS = (0.25, 0.5, 0.67, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0)


def _within(cell: CellResult) -> float:
    """How far from 1 its ratio is, and its interval where that is not far wider: for the axis."""
    ratio = max(cell.ratio or 1.0, 1 / (cell.ratio or 1.0))
    return min(max(cell.high or ratio, 1 / (cell.low or 1 / ratio)), ratio * 1.25)


def _sorted(results: Iterable[CellResult]) -> list[CellResult]:
    return sorted(results, key=lambda r: (_ORDER.index(r.verdict), -(r.ratio or 0.0)))


def _worst(result: CellResult) -> str:
    if result.ratio is None:
        return f"{result.cell} ({result.reason})"
    return f"{result.cell} takes {_ratio(result)} of base's time"


def _ratio(result: CellResult) -> str:
    """Two decimals: what matters here is a few percent."""
    if result.ratio is None or not math.isfinite(result.ratio):
        return "-"
    high = math.inf if result.high is None else result.high
    end = f"{high:.2f}" if high < 1e3 else "beyond"
    return f"{result.ratio:.2f}x [{result.low or 0.0:.2f}-{end}]"


def _seconds(samples: Sequence[float]) -> str:
    middle = _median(samples)
    return "-" if middle is None else text.seconds(middle)


def _median(samples: Sequence[float]) -> float | None:
    return float(pd.Series(samples, dtype=float).median()) if samples else None


def _side(side: Side) -> str:
    commit = side.commit[:10]
    name = "" if side.name.startswith(commit) or side.commit == side.name else f"{side.name}, "
    subject = f" ({side.subject})" if side.subject else ""
    return f"{name}{commit}{subject}"


def _markdown_table(results: Iterable[CellResult]) -> str:
    frame: Any = readable(results)
    return str(frame.to_markdown(index=False, disable_numparse=True))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}%"


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
