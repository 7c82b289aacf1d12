"""A commit's measurements in the formats of other tools."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import pandas as pd

from bench.history.cell_names import cell_names
from bench.history.export_pytest import NOT_A_TIME, as_pytest_benchmark
from bench.history.store import Measurement
from bench.statistics.intervals import Interval, median_interval


@dataclass(frozen=True)
class Export:
    """What goes into the file; and what could not, a line each with the reason."""

    text: str
    left_out: tuple[str, ...]


Exporter: TypeAlias = Callable[[Sequence[Measurement], Mapping[str, Any]], Export]

# Units that spare the chart powers of ten. Each measure has one, so that a chart over commits never
# changes its unit.
_ACTION_UNITS: Mapping[str, tuple[str, float]] = {
    "seconds_per_call": ("us/iter", 1e6),
    "seconds_per_pass": ("us/iter", 1e6),
    "time_to_1e-6_s": ("ms", 1e3),
    "passes_to_1e-6": ("passes", 1.0),
}

# "latency" is built into Bencher, in nanoseconds. It makes the others when it first sees them.
_BENCHER_MEASURES: Mapping[str, tuple[str, float]] = {
    "seconds_per_call": ("latency", 1e9),
    "seconds_per_pass": ("nanoseconds-per-pass", 1e9),
    "time_to_1e-6_s": ("nanoseconds-to-1e-6", 1e9),
    "passes_to_1e-6": ("passes-to-1e-6", 1.0),
}


def pytest_benchmark(measurements: Sequence[Measurement], environment: Mapping[str, Any]) -> Export:
    """The JSON of `pytest --benchmark-json`, raw samples included; see `as_pytest_benchmark`.

    It has no place for passes, which are no time, and for runs that missed: they are left out.
    """
    kept = [e for e in measurements if e.unit == "s" and not e.misses]
    names = cell_names(measurements, always_timing=True)
    left_out = [
        f"{names[e.series_key]}, {e.measure}: {NOT_A_TIME if e.unit != 's' else _missed(e)}"
        for e in measurements
        if e not in kept
    ]
    return Export(as_pytest_benchmark(kept, environment), tuple(left_out))


def github_action_benchmark(
    measurements: Sequence[Measurement], environment: Mapping[str, Any]
) -> Export:
    """An array of {name, value, unit, range, extra} for the tool `customSmallerIsBetter`.

    `value` is the median over runs. `range` is the larger half of its 95% interval, as "± 1.2". A
    cell whose median run missed has no number and is left out.

    Source: benchmark-action/github-action-benchmark, src/extract.ts (`BenchmarkResult`: name,
        value and unit, and optionally range and extra) and src/extractRangeInfo.ts, at c38cce9.
    """

    def row_of(one: Measurement, name: str, middle: Interval, median: float) -> dict[str, Any]:
        unit, scale = _ACTION_UNITS[one.measure]
        found = {"name": f"{name}, {one.measure}", "unit": unit, "value": median * scale}
        if middle.low is not None and middle.high is not None:
            half = max(median - middle.low, middle.high - median) * scale
            found["range"] = f"± {half:.6g}"
        return found | {"extra": f"{_counted(one)}\nmachine {one.machine}"}

    rows, left_out = _with_medians(measurements, row_of)
    return Export(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", left_out)


def bencher(measurements: Sequence[Measurement], environment: Mapping[str, Any]) -> Export:
    """Bencher Metric Format: {benchmark: {measure: {value, lower_value, upper_value}}}.

    A value is the median over runs, with its 95% interval. Times are in nanoseconds, the unit of
    the built-in measure `latency`. An upper end that missed is left out, and so is a cell whose
    median run missed.

    Source: bencher.dev/docs/reference/bencher-metric-format and its schema, bencher.dev/bmf.json.
    """

    def row_of(one: Measurement, name: str, middle: Interval, median: float) -> dict[str, Any]:
        measure, scale = _BENCHER_MEASURES[one.measure]
        ends = (("value", median), ("lower_value", middle.low), ("upper_value", middle.high))
        values = {key: end * scale for key, end in ends if end is not None}
        return {"name": name, "measure": measure, "values": values}

    rows, left_out = _with_medians(measurements, row_of)
    document: dict[str, dict[str, Any]] = {}
    for row in rows:
        document.setdefault(row["name"], {})[row["measure"]] = row["values"]
    return Export(json.dumps(document, indent=1, ensure_ascii=False) + "\n", left_out)


def csv(measurements: Sequence[Measurement], environment: Mapping[str, Any]) -> Export:
    """Tidy CSV: one row a sample, a column for each name. The value of a miss is empty.

    Numbers have as many digits as tell them apart, so that pandas.read_csv gives the same ones
    (before pandas 3 with float_precision="round_trip").
    """
    names = (
        *("commit", "commit_date", "created", "machine", "problem", "kernel", "optimizer"),
        *("device", "dtype", "timed_beside", "timed_by", "data", "budget", "measure", "unit"),
    )
    rows = [
        {name: getattr(one, name) for name in names} | {"sample": k, "value": sample}
        for one in measurements
        for k, sample in enumerate(one.samples)
    ]
    buffer = io.StringIO()
    pd.DataFrame(rows, columns=[*names, "sample", "value"]).to_csv(buffer, index=False)
    return Export(buffer.getvalue(), ())


EXPORTS: Mapping[str, Exporter] = MappingProxyType(
    {
        "pytest-benchmark": pytest_benchmark,
        "github-action-benchmark": github_action_benchmark,
        "bencher": bencher,
        "csv": csv,
    }
)
"""The exporters, by their names on the command line."""


def _with_medians(
    measurements: Sequence[Measurement],
    row_of: Callable[[Measurement, str, Interval, float], dict[str, Any]],
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """A row for each measurement that has a median, and a line for each that has none."""
    names = cell_names(measurements, always_timing=True)
    rows, left_out = [], []
    for one in measurements:
        name = names[one.series_key]
        middle = median_interval([math.nan if s is None else s for s in one.samples])
        if middle.median is None:
            left_out.append(f"{name}, {one.measure}: {_missed(one)}")
        else:
            rows.append(row_of(one, name, middle, middle.median))
    return rows, tuple(left_out)


def _counted(one: Measurement) -> str:
    return f"{one.runs} samples" + (f", {one.misses} missed" if one.misses else "")


def _missed(one: Measurement) -> str:
    return f"{one.misses} of {one.runs} runs missed, and a miss has no number"
