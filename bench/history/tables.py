"""The table of change points, and what a history says of itself in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from bench.command import text
from bench.history.series import SHORT, Series
from bench.history.store import Measurement
from bench.statistics.change_points import FEWEST, MIN_SIZE, ChangePoint

_CELL = ("machine", "measure", "problem", "kernel", "optimizer", "device", "dtype")
_COLUMNS = (
    *(*_CELL, "cell", "commit", "commit_date", "previous_commit"),
    *("ratio", "ratio_low", "ratio_high", "direction"),
    *("commits_before", "commits_after", "also_changed"),
)


def change_table(series: Iterable[Series], order: Sequence[str]) -> pd.DataFrame:
    """One row a change point, the newest first.

    Columns: `machine, measure, problem, kernel, optimizer, device, dtype, cell`; `commit`, the
    first one at the new level, `commit_date`, and `previous_commit`, the last one at the old level;
    `ratio` of the new level to the old one with `ratio_low` and `ratio_high`; `direction`;
    `commits_before` and `commits_after`; `also_changed`: versions that are others than before.

    Args:
        order: all commits of the series, the oldest first.
    """
    position = {commit: index for index, commit in enumerate(order)}
    rows = [_row(one, change) for one in series for change in one.changes]
    rows.sort(key=lambda row: (-position[row["commit"]], -row["ratio"]))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(one: Series, change: ChangePoint) -> dict[str, Any]:
    previous, first = one.points[change.index - 1 : change.index + 1]
    return {
        **{name: getattr(one.last, name) for name in _CELL},
        "cell": one.cell,
        "commit": first.commit,
        "commit_date": first.commit_date,
        "previous_commit": previous.commit,
        "ratio": change.ratio,
        "ratio_low": change.low,
        "ratio_high": change.high,
        "direction": _direction(change.ratio, one.last.unit),
        "commits_before": change.before,
        "commits_after": change.after,
        "also_changed": _also_changed(previous, first),
    }


def readable_changes(table: pd.DataFrame) -> pd.DataFrame:
    """`change_table` as people read it."""
    rows = []
    for row in table.to_dict("records"):
        shown = {
            "commit": row["commit"][:SHORT],
            "after": row["previous_commit"][:SHORT],
            "date": row["commit_date"][:10],
            "cell": row["cell"],
            "measure": row["measure"],
            "is": row["direction"],
            "by [95% interval]": _ratio_text(row["ratio"], row["ratio_low"], row["ratio_high"]),
            "commits": f"{row['commits_before']} + {row['commits_after']}",
            "machine": row["machine"],
        }
        if table["also_changed"].any():
            shown["also changed"] = row["also_changed"]
        rows.append(shown)
    return pd.DataFrame(rows)


def verdict(series: Sequence[Series]) -> str:
    """How many series were judged, and why others can't be."""
    judged = sum(one.is_long_enough for one in series)
    shorter = len(series) - judged
    why = f" ({shorter} have fewer than {FEWEST} commits)" if shorter else ""
    return (
        f"{judged} of {len(series)} series judged{why}; a step is told from noise once {MIN_SIZE} "
        f"commits are at the new level, so the newest {MIN_SIZE - 1} are not judged yet."
    )


def _ratio_text(ratio: float, low: float, high: float) -> str:
    """ "1.053x [1.041-1.066]": a step of 5% needs three decimals. Misses have no ratio."""
    if ratio in (0, math.inf):
        return "-"

    def number(value: float) -> str:
        if math.isinf(value):
            return text.MISSED
        return f"{value:.3f}" if value < 10 else f"{value:.3g}"

    return f"{number(ratio)}x [{number(low)}-{number(high)}]"


def _direction(ratio: float, unit: str) -> str:
    if math.isinf(ratio):
        return "missing its target"
    if ratio == 0:
        return "no longer missing it"
    if unit == "s":
        return "slower" if ratio > 1 else "faster"
    return f"{'more' if ratio > 1 else 'fewer'} {unit}"


def _also_changed(before: Measurement, after: Measurement) -> str:
    changed = []
    for name in ("torch", "numpy"):
        was, now = before.configuration.get(name), after.configuration.get(name)
        if was != now:
            changed.append(f"{name} {was} -> {now}")
    return ", ".join(changed)
