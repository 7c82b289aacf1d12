"""Series over commits: their names, medians and change points, and what is off its level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.history.measurements import pooled
from bench.history.store import Measurement
from bench.statistics.change_points import (
    BOUND,
    FEWEST,
    SMALLEST_NOISE,
    ChangePoint,
    change_points,
    noise_of,
)
from bench.statistics.intervals import Interval, Values, median_interval

MOST_COMMITS = 400
"""Commits of a series that are shown and judged, the newest; its file keeps all."""

SHORT = 9
"""Letters of a commit that are shown."""

# Of the intervals in a plot; the default of 2000 would take minutes for a long history.
_RESAMPLES = 400


@dataclass(frozen=True)
class Series:
    """One measure of one cell over commits, all on one machine.

    Args:
        cell: what readers call it; no other series of the machine and measure has this name.
        points: a measurement for each commit, the oldest first, with all runs of that commit.
    """

    cell: str
    points: tuple[Measurement, ...]

    @property
    def last(self) -> Measurement:
        """The measurement at its newest commit, for whatever is the same at all of them."""
        return self.points[-1]

    @cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """The median over the runs of each commit, with its interval; a miss is after every hit."""
        times = ([math.nan if s is None else s for s in point.samples] for point in self.points)
        return tuple(median_interval(of_commit, resamples=_RESAMPLES) for of_commit in times)

    @cached_property
    def medians(self) -> Values:
        """One a commit; NaN where the median run missed."""
        found = [interval.median for interval in self.intervals]
        return np.array([math.nan if m is None else m for m in found])

    @cached_property
    def changes(self) -> tuple[ChangePoint, ...]:
        """Its change points, the oldest first."""
        return tuple(change_points(self.medians))

    @cached_property
    def off_level(self) -> NDArray[np.bool_]:
        """Which medians are too far from their level to be noise; no miss is one of them."""
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
    def is_long_enough(self) -> bool:
        """Whether it has enough commits to tell a step from noise."""
        return len(self.points) >= FEWEST


def series_of(measurements: Iterable[Measurement], order: Sequence[str]) -> list[Series]:
    """The series of a history, machine by machine, then by measure and problem.

    Args:
        measurements: in any order; those of one commit are pooled.
        order: all their commits, the oldest first.
    """
    position = {commit: index for index, commit in enumerate(order)}
    by_key: dict[tuple[str, ...], list[Measurement]] = {}
    for one in pooled(sorted(measurements, key=lambda one: position[one.commit])):
        by_key.setdefault(one.series_key, []).append(one)
    names = cell_names(points[-1] for points in by_key.values())
    found = [Series(names[key], tuple(points[-MOST_COMMITS:])) for key, points in by_key.items()]
    return sorted(found, key=lambda s: (s.last.machine, s.last.measure, s.last.problem, s.cell))


def machine_line(one: Series) -> str:
    """The machine of a series in words."""
    facts: Mapping[str, Any] = one.last.configuration
    parts = [f"{facts['cpu']}, {facts['cores']} cores", *facts.get("gpus", ())]
    return f"{one.last.machine}: {', '.join(map(str, parts))}"


def cell_names(
    measurements: Iterable[Measurement], *, always_timing: bool = False
) -> dict[tuple[str, ...], str]:
    """A name for each series of the measurements; two of one machine and measure never share one.

    It is "iris · lbfgs · numpy cpu float64", without the optimizer for a kernel's own time. What
    series of one name differ in follows in brackets.

    Args:
        always_timing: whether the name of a kernel always says how it was timed, so that it stays
            the same when another series comes. Otherwise it says only what tells it from others.
    """
    alike: dict[tuple[str, ...], dict[tuple[str, ...], Measurement]] = {}
    for one in measurements:
        objective = f"{one.kernel} {one.device} {one.dtype}"
        name = " · ".join(filter(None, [one.problem, one.optimizer, objective]))
        alike.setdefault((one.machine, one.measure, name), {})[one.series_key] = one
    names = {}
    for (_, _, name), group in alike.items():
        notes = {key: _notes(one) for key, one in group.items()}
        columns = list(zip(*notes.values(), strict=True))
        told = {k for k, column in enumerate(columns) if len(set(column)) > 1}
        for key, note in notes.items():
            always = {0, 1} if always_timing and not group[key].optimizer else set()
            more = ", ".join(note[k] for k in sorted(told | always))
            names[key] = f"{name} ({more})" if more else name
    return names


def _notes(one: Measurement) -> tuple[str, ...]:
    """What two series of one name can differ in."""
    return (
        "alone" if one.timed_beside == one.kernel else f"beside {one.timed_beside}",
        f"by {one.timed_by}",
        f"{one.configuration.get('threads')} threads",
        f"data {one.data}",
        f"at most {one.budget}",
    )
