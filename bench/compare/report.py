"""A comparison for people: one sentence, a table, and Markdown for a job's summary."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from bench.command import text
from bench.command.figures import save_figure
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
    """The answer in a sentence: what fails, or that nothing does; and whether runs are single."""
    counted = Counter(cell.verdict for cell in comparison.cells)
    total = len(comparison.cells)
    worst = _sorted(comparison.regressions)
    if not worst:
        decided = counted["SAME"] + counted["FASTER"]
        found = "No slow-down found" if decided else "Nothing was decided"
        start = f"{found}: none of {_cells(total)} is SLOWER"
    else:
        bad = [f"{counted[name]} {name}" for name in (FAILED, "SLOWER") if counted[name]]
        start = f"{text.listing(bad)} of {_cells(total)}: {_worst(worst[0])}"
    rest = [
        f"{counted[name]} {words}"
        for name, words in (
            ("FASTER", "FASTER"),
            ("SAME", f"the same within {text.percent(comparison.threshold)}"),
            ("INCONCLUSIVE", "inconclusive"),
            (NEW, "new"),
            (GONE, "gone"),
            (NOT_TIMED, "not timed"),
        )
        if counted[name]
    ]
    sentence = f"{start}; {text.listing(rest)}." if rest else f"{start}."
    return f"{sentence} {_ONE_RUN}" if _single_runs(comparison) else sentence


_ONE_RUN = (
    "Saved sets of one run a side: how much two runs of the same code differ wasn't measured."
)


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
                "base_s": _middle_s(result, result.base_s),
                "head_s": _middle_s(result, result.head_s),
                "sessions": len(result.log_ratios),
                "passes": result.work.get("passes"),
                "reason": result.reason,
            }
            for result in _sorted(comparison.cells)
        ]
    )


def readable(results: Iterable[CellResult]) -> pd.DataFrame:
    """The same for people: what fails first, times in units that fit, ratios with intervals.

    For a Markdown table: each field is one line, in which a bar does not end the column.
    """
    return _readable(results, str)


def _readable(results: Iterable[CellResult], as_text: Callable[[str], str]) -> pd.DataFrame:
    rows = [
        {
            "verdict": result.verdict,
            "cell": text.in_a_table(as_text(str(result.cell))),
            "head / base": _ratio(result),
            "base": _seconds(result, result.base_s),
            "head": _seconds(result, result.head_s),
            "reason": text.in_a_table(as_text(result.reason)),
        }
        for result in _sorted(results)
    ]
    columns = ["verdict", "cell", "head / base", "base", "head"]
    reasons = ["reason"] if any(row["reason"] for row in rows) else []
    return pd.DataFrame(rows, columns=[*columns, *reasons])


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
        sessions = "1 session" if comparison.sessions == 1 else f"{comparison.sessions} sessions"
        how = (
            f"{sessions} of new processes on both sides in {comparison.seconds:.0f} s, base and "
            "head in turns"
        )
        confidence = f"all intervals together hold with {comparison.confidence:.0%} confidence"
    else:
        how = f"two saved sets, which did not take turns, {_runs(comparison)}"
        confidence = (
            f"intervals are made for {comparison.confidence:.0%} confidence over all cells, but "
            "hold only if most cells are unchanged and drift alike from one run to another, which "
            "can't be checked here"
        )
    measured = any(cell.ratio is not None for cell in comparison.cells)
    lines = [
        *sides,
        f"{how}; {confidence}" if measured else how,
        text.machine_line(comparison.environment),
    ]
    notes = [*comparison.notes, *filter(None, [_what_helps(comparison)])]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _what_helps(comparison: Comparison) -> str:
    """What would decide the cells that are not decided."""
    count = sum(cell.verdict == "INCONCLUSIVE" for cell in comparison.cells)
    if not count:
        return ""
    cells = f"{_cells(count)} INCONCLUSIVE"
    noise = "a quieter machine, cells that do more work a call, or a larger --threshold"
    if not comparison.paired:
        return f"{cells}: more runs in both folders help, or {noise}"
    if comparison.sessions >= LOOKS[-1]:
        return f"{cells} after {LOOKS[-1]} sessions, the most there are: {noise} helps, not time"
    return f"{cells}: more --minutes help, or fewer cells, {noise}"


def markdown(comparison: Comparison) -> str:
    """A section for a CI job's summary: the sentence, what is notable, and the rest folded."""
    few, every = notable(comparison), list(comparison.cells)
    parts = [
        f"## Compare: {_as_text(headline(comparison))}",
        _as_text(describe_sides(comparison)).replace("\n", "  \n"),
    ]
    if few:
        parts.append(_markdown_table(few))
    if len(few) < len(every):
        parts.append(
            f"<details><summary>All {_cells(len(every))}</summary>\n\n"
            f"{_markdown_table(every)}\n\n</details>"
        )
    parts.append(_HOW_TO_READ.format(percent=text.percent(comparison.threshold)))
    return "\n\n".join(parts) + "\n"


_HOW_TO_READ = (
    "head / base is the ratio of times with its interval: 1.10x is 10% slower. SAME: the interval "
    "is within {percent} of 1. SLOWER: it is above 1, and the ratio is nearer to the threshold "
    "than to 1. INCONCLUSIVE: neither could be told. base and head are medians of each by itself, "
    "which move with the machine; the ratio does so less, and may differ from theirs."
)


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Samples as JSON, the table as CSV and Markdown, and the plot, in a results folder.

    Without a ratio there is nothing to plot; an earlier comparison's plot is not left there.
    """
    written = [write_whole(folder / "comparison.json", as_json(comparison).encode())]
    shown = readable(comparison.cells)
    written += write_table(table(comparison), shown, folder / "tables" / "comparison")
    picture = folder / "plots" / "comparison"
    if not any(cell.ratio is not None for cell in comparison.cells):
        for old in picture.parent.glob("comparison.*"):
            old.unlink()
    else:
        figure = plot(comparison)
        written += save_figure(figure, picture)
        plt.close(figure)
    return written


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
    if math.isinf(high) and not result.low:
        return f"{result.ratio:.2f}x, no interval"
    end = f"{high:.2f}" if high < 1e3 else "beyond"
    return f"{result.ratio:.2f}x [{result.low or 0.0:.2f}-{end}]"


def _seconds(result: CellResult, samples: Sequence[float]) -> str:
    middle = _middle_s(result, samples)
    return "-" if middle is None else text.seconds(middle)


def _middle_s(result: CellResult, samples: Sequence[float]) -> float | None:
    """Median of the sessions; of saved runs the geometric mean, whose quotient the ratio is."""
    if not samples:
        return None
    return median(samples) if result.log_ratios else geometric_mean(samples)


def _side(side: Side) -> str:
    commit = side.commit[:10]
    name = "" if side.name.startswith(commit) or side.commit == side.name else f"{side.name}, "
    subject = f" ({side.subject})" if side.subject else ""
    return f"{name}{commit}{subject}"


def _markdown_table(results: Iterable[CellResult]) -> str:
    frame: Any = _readable(results, _as_text)
    return str(frame.to_markdown(index=False, disable_numparse=True))


def _as_text(words: str) -> str:
    """Names and errors as they are, where Markdown would take them for emphasis, code or a tag."""
    return re.sub(r"[\\*`<&~\[]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", words)


def _single_runs(comparison: Comparison) -> bool:
    """Whether any ratio of saved sets is of a single run on a side."""
    return not comparison.paired and any(
        min(len(cell.base_s), len(cell.head_s)) == 1
        for cell in comparison.cells
        if cell.ratio is not None
    )


def _runs(comparison: Comparison) -> str:
    """How many runs of a cell there are: "1 run of base and 2 to 3 of head"."""
    timed = [cell for cell in comparison.cells if cell.ratio is not None]
    words = []
    for role, counts in (
        ("base", {len(cell.base_s) for cell in timed}),
        ("head", {len(cell.head_s) for cell in timed}),
    ):
        few, many = min(counts, default=0), max(counts, default=0)
        number = str(few) if few == many else f"{few} to {many}"
        words.append(f"{number} {'run' if many == 1 else 'runs'} of {role}")
    return text.listing(words)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
