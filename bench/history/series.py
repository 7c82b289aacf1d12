"""Series over commits, and the table of their change points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.command import text
from bench.history.cell_names import cell_names
from bench.history.entries import Entry
from bench.statistics.change_points import (
    BOUND,
    FEWEST,
    MIN_SIZE,
    SMALLEST_NOISE,
    ChangePoint,
    change_points,
    noise_of,
)
from bench.statistics.intervals import Interval, Values, median_interval

MOST_COMMITS = 400
"""Of a series that are shown and judged, the newest; its file keeps all."""

SHORT = 9
"""Letters of a commit that are shown."""

# Of a band in a plot; the default of 2000 would take minutes for a long history.
_RESAMPLES = 400


@dataclass(frozen=True)
class Point:
    """One commit of a series: all its runs pooled."""

    commit: str
    date: str
    samples: tuple[float | None, ...]
    versions: Mapping[str, str]

    @cached_property
    def interval(self) -> Interval:
        """The median of its runs, a miss counting as later than every hit, with its interval."""
        times = [math.nan if sample is None else sample for sample in self.samples]
        return median_interval(times, resamples=_RESAMPLES)


@dataclass(frozen=True)
class Series:
    """One measure of one cell over commits, the oldest first; all of one machine.

    Args:
        last: the entry of its newest commit: whatever is the same for all.
        cell: what a reader calls it, told apart from all others of the machine and measure.
    """

    last: Entry
    cell: str
    points: tuple[Point, ...]

    @cached_property
    def medians(self) -> Values:
        """One a commit; NaN where the median run missed."""
        found = [point.interval.median for point in self.points]
        return np.array([math.nan if m is None else m for m in found])

    @cached_property
    def changes(self) -> tuple[ChangePoint, ...]:
        """Its change points, the oldest first."""
        return tuple(change_points(self.medians))

    @cached_property
    def off_level(self) -> NDArray[np.bool_]:
        """Which medians are too far from their level to be its noise; none is that missed."""
        ends = [0, *(change.index for change in self.changes), len(self.points)]
        logs = np.log(self.medians)
        far = 2 * BOUND * max(noise_of(logs[~np.isnan(logs)]), SMALLEST_NOISE)
        off = np.zeros(len(logs), dtype=bool)
        for start, end in pairwise(ends):
            level = logs[start:end]
            if not np.isnan(level).all():
                off[start:end] = np.abs(level - np.nanmedian(level)) > far
        return off

    @property
    def is_judged(self) -> bool:
        """Whether there are enough commits to tell a step from noise."""
        return len(self.points) >= FEWEST


def series_of(entries: Iterable[Entry], order: Sequence[str]) -> list[Series]:
    """The series of a history, machine by machine, then by measure and problem.

    Args:
        entries: in any order; several of one commit are pooled.
        order: all their commits, the oldest first.
    """
    place = {commit: index for index, commit in enumerate(order)}
    grouped: dict[tuple[str, ...], dict[str, list[Entry]]] = {}
    for entry in sorted(entries, key=lambda entry: place[entry.commit]):
        grouped.setdefault(entry.series, {}).setdefault(entry.commit, []).append(entry)
    lasts = [list(commits.values())[-1][-1] for commits in grouped.values()]
    names = cell_names(lasts)
    found = [
        Series(last, names[key], tuple(map(_point, list(commits.values())[-MOST_COMMITS:])))
        for (key, commits), last in zip(grouped.items(), lasts, strict=True)
    ]
    return sorted(found, key=lambda s: (s.last.machine, s.last.measure, s.last.problem, s.cell))


def change_table(series: Iterable[Series], order: Sequence[str]) -> pd.DataFrame:
    """One row a change point, the newest first.

    Columns: `machine, measure, problem, kernel, optimizer, device, dtype, cell`; `commit`, the
    first one at the new level, `commit_date`, and `previous_commit`, the last one at the old level;
    `ratio` of the new level to the old one with `ratio_low` and `ratio_high`; `direction`;
    `commits_before` and `commits_after`; `also_changed`: versions that are others than before.
    """
    place = {commit: index for index, commit in enumerate(order)}
    names = ("machine", "measure", "problem", "kernel", "optimizer", "device", "dtype")
    rows = [
        {name: getattr(one.last, name) for name in names}
        | {
            "cell": one.cell,
            "commit": one.points[change.index].commit,
            "commit_date": one.points[change.index].date,
            "previous_commit": one.points[change.index - 1].commit,
            "ratio": change.ratio,
            "ratio_low": change.low,
            "ratio_high": change.high,
            "direction": _direction(change, one.last.unit),
            "commits_before": change.before,
            "commits_after": change.after,
            "also_changed": _also_changed(one.points[change.index - 1], one.points[change.index]),
        }
        for one in series
        for change in one.changes
    ]
    rows.sort(key=lambda row: (-place[str(row["commit"])], -float(str(row["ratio"]))))
    columns = [*names, "cell", "commit", "commit_date", "previous_commit"]
    columns += ["ratio", "ratio_low", "ratio_high", "direction"]
    columns += ["commits_before", "commits_after", "also_changed"]
    return pd.DataFrame(rows, columns=columns)


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
            "by [95% interval]": ratio_text(row["ratio"], row["ratio_low"], row["ratio_high"]),
            "commits": f"{row['commits_before']} + {row['commits_after']}",
            "machine": row["machine"],
        }
        if table["also_changed"].any():
            shown["also changed"] = row["also_changed"]
        rows.append(shown)
    return pd.DataFrame(rows)


def verdict(series: Sequence[Series]) -> str:
    """How much was judged, and what can't be."""
    judged = sum(one.is_judged for one in series)
    shorter = len(series) - judged
    lines = [f"{judged} of {len(series)} series judged"]
    if shorter:
        lines[0] += f" ({shorter} have fewer than {FEWEST} commits)"
    lines.append(
        f"a step is told from noise once {MIN_SIZE} commits are at the new level, so the newest "
        f"{MIN_SIZE - 1} are not judged yet"
    )
    return "; ".join(lines) + "."


def ratio_text(ratio: float, low: float, high: float) -> str:
    """ "1.053x [1.041-1.066]": a step of 5% needs three decimals. Of misses there is no ratio."""
    if ratio in (0, math.inf):
        return "-"

    def number(value: float) -> str:
        return (
            text.MISSED if math.isinf(value) else f"{value:.3f}" if value < 10 else f"{value:.3g}"
        )

    return f"{number(ratio)}x [{number(low)}-{number(high)}]"


def _point(runs: Sequence[Entry]) -> Point:
    newest = max(runs, key=lambda entry: entry.created)
    versions = {name: str(newest.configuration.get(name)) for name in ("torch", "numpy")}
    samples = tuple(sample for entry in runs for sample in entry.samples)
    return Point(newest.commit, newest.commit_date, samples, versions)


def _direction(change: ChangePoint, unit: str) -> str:
    if math.isinf(change.ratio):
        return "missing its target"
    if change.ratio == 0:
        return "no longer missing it"
    if unit == "s":
        return "slower" if change.ratio > 1 else "faster"
    return f"{'more' if change.ratio > 1 else 'fewer'} {unit}"


def _also_changed(before: Point, after: Point) -> str:
    return ", ".join(
        f"{name} {before.versions[name]} -> {version}"
        for name, version in after.versions.items()
        if version != before.versions[name]
    )


def machine_line(one: Series) -> str:
    """The machine of a series in words."""
    facts: Mapping[str, Any] = one.last.configuration
    parts = [f"{facts['cpu']}, {facts['cores']} cores", *facts.get("gpus", ())]
    return f"{one.last.machine}: {', '.join(map(str, parts))}"
