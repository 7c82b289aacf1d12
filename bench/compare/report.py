"""A comparison for people: one sentence, a table, and a report in Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from bench.command import text
from bench.command.figures import figure_files, save_figure
from bench.command.tables import write_table
from bench.compare.comparison import (
    FAILED,
    GONE,
    NEW,
    NOT_TIMED,
    CellResult,
    Comparison,
    Side,
    as_json,
)
from bench.compare.plot import plot
from bench.files.whole import write_whole
from bench.statistics.verdicts import LOOKS

_ORDER = (FAILED, "SLOWER", "FASTER", "INCONCLUSIVE", NEW, GONE, NOT_TIMED, "SAME")


def headline(comparison: Comparison) -> str:
    """The answer in a sentence: what fails, or that nothing does."""
    counted = Counter(cell.verdict for cell in comparison.cells)
    total = _cells(len(comparison.cells))
    if comparison.regressions:
        bad = [f"{counted[name]} {name}" for name in (FAILED, "SLOWER") if counted[name]]
        worst = _sorted(comparison.regressions)[0]
        how = f"takes {_ratio(worst)} of base's time" if worst.ratio else f"({worst.reason})"
        start = f"{text.listing(bad)} of {total}: {worst.cell} {how}"
    else:
        decided = counted["SAME"] + counted["FASTER"]
        found = "No slow-down found" if decided else "Nothing was decided"
        start = f"{found}: none of {total} is SLOWER"
    words = {
        "FASTER": "FASTER",
        "SAME": f"the same within {text.percent(comparison.threshold)}",
        "INCONCLUSIVE": "inconclusive",
        NEW: "new",
        GONE: "gone",
        NOT_TIMED: "not timed",
    }
    rest = [f"{counted[name]} {words[name]}" for name in words if counted[name]]
    return f"{start}; {text.listing(rest)}." if rest else f"{start}."


def table(results: Iterable[CellResult]) -> pd.DataFrame:
    """One row a cell with full numbers."""
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
                "base_s": median(result.base_s) if result.base_s else None,
                "head_s": median(result.head_s) if result.head_s else None,
                "sessions": len(result.log_ratios),
                "passes": result.work.get("passes"),
                "reason": result.reason,
            }
            for result in results
        ]
    )


def readable(results: Iterable[CellResult], as_text: Callable[[str], str] = str) -> pd.DataFrame:
    """The same for people: times in units that fit, and ratios with intervals.

    Fields suit a Markdown table: each is one line, and its bars are escaped.

    Args:
        as_text: also escapes what Markdown would take for markup, where it is to be rendered.
    """
    columns = ["verdict", "cell", "head / base", "base", "head", "reason"]
    rows = [
        (
            result.verdict,
            text.in_a_table(as_text(str(result.cell))),
            _ratio(result),
            _median(result.base_s),
            _median(result.head_s),
            text.in_a_table(as_text(result.reason)),
        )
        for result in _sorted(results)
    ]
    frame = pd.DataFrame(rows, columns=columns)
    return frame if frame["reason"].any() else frame.drop(columns="reason")


def readable_table(results: Iterable[CellResult], as_text: Callable[[str], str] = str) -> str:
    """`readable` as a Markdown table."""
    frame: Any = readable(results, as_text)
    return str(frame.to_markdown(index=False, disable_numparse=True))


def notable(comparison: Comparison) -> list[CellResult]:
    """The cells with any verdict but SAME."""
    return [cell for cell in comparison.cells if cell.verdict != "SAME"]


def describe_sides(comparison: Comparison) -> str:
    """What was compared with what, how, and where: some lines of plain text."""
    sessions = "1 session" if comparison.sessions == 1 else f"{comparison.sessions} sessions"
    how = (
        f"{sessions} of new processes on both sides in {comparison.seconds:.0f} s, base and "
        "head in turns"
    )
    if any(cell.ratio is not None for cell in comparison.cells):
        how += f"; all intervals together hold with {comparison.confidence:.0%} confidence"
    notes = [*comparison.notes, *filter(None, [_what_helps(comparison)])]
    lines = [
        f"base: {_side(comparison.base)}",
        f"head: {_side(comparison.head)}",
        how,
        text.machine_line(comparison.environment),
        *(f"note: {note}" for note in notes),
    ]
    return "\n".join(lines)


def _what_helps(comparison: Comparison) -> str:
    """What would give a verdict to the cells that are INCONCLUSIVE."""
    count = sum(cell.verdict == "INCONCLUSIVE" for cell in comparison.cells)
    if not count:
        return ""
    cells = f"{_cells(count)} INCONCLUSIVE"
    noise = "a quieter machine, cells that do more work a call, or a larger --threshold"
    if comparison.sessions >= LOOKS[-1]:
        return f"{cells} after {LOOKS[-1]} sessions, the most there are: {noise} helps, not time"
    return f"{cells}: more --minutes help, or fewer cells, {noise}"


def markdown(comparison: Comparison) -> str:
    """The report: the sentence, the cells that are not SAME, and all cells folded away."""
    few, every = notable(comparison), list(comparison.cells)
    parts = [
        f"## Compare: {_as_text(headline(comparison))}",
        _as_text(describe_sides(comparison)).replace("\n", "  \n"),
    ]
    if few:
        parts.append(readable_table(few, _as_text))
    if len(few) < len(every):
        parts.append(
            f"<details><summary>All {_cells(len(every))}</summary>\n\n"
            f"{readable_table(every, _as_text)}\n\n</details>"
        )
    parts.append(_HOW_TO_READ.format(percent=text.percent(comparison.threshold)))
    return "\n\n".join(parts) + "\n"


_HOW_TO_READ = (
    "head / base is the ratio of times with its interval: 1.10x is 10% slower. SAME: the interval "
    "is within {percent} of 1. SLOWER: it is above 1, and the ratio is nearer to the threshold "
    "than to 1. INCONCLUSIVE: neither could be told. base and head are the medians of each side "
    "by itself, which move with the machine. The ratio is taken within each session and moves "
    "less, so it may differ from the ratio of the two medians."
)


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """The samples as JSON, the report in Markdown, a table as CSV, and the plot.

    Where no cell has a ratio there is no plot, and that of an earlier comparison is removed.
    """
    written = [
        write_whole(folder / "comparison.json", as_json(comparison).encode()),
        write_whole(folder / "comparison.md", markdown(comparison).encode()),
        *write_table(table(_sorted(comparison.cells)), None, folder / "tables" / "comparison"),
    ]
    picture = folder / "plots" / "comparison"
    if any(cell.ratio is not None for cell in comparison.cells):
        figure = plot(comparison)
        written += save_figure(figure, picture)
        plt.close(figure)
    else:
        for old in figure_files(picture):
            old.unlink(missing_ok=True)
    return written


def _sorted(results: Iterable[CellResult]) -> list[CellResult]:
    return sorted(results, key=lambda r: (_ORDER.index(r.verdict), -(r.ratio or 0.0)))


def _ratio(result: CellResult) -> str:
    """Two decimals: what matters here is a few percent."""
    if result.ratio is None:
        return "-"
    end = "beyond" if result.high is None or result.high >= 1e3 else f"{result.high:.2f}"
    return f"{result.ratio:.2f}x [{result.low or 0.0:.2f}-{end}]"


def _median(samples_s: Sequence[float]) -> str:
    return text.seconds(median(samples_s)) if samples_s else "-"


def _side(side: Side) -> str:
    commit = side.commit[:10]
    name = "" if side.name.startswith(commit) or side.commit == side.name else f"{side.name}, "
    subject = f" ({side.subject})" if side.subject else ""
    return f"{name}{commit}{subject}"


def _as_text(words: str) -> str:
    """Words with those characters escaped that Markdown takes for emphasis, code or a tag."""
    return re.sub(r"[\\*`<&~\[]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", words)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
