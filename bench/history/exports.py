"""A commit's measurements in the formats of other tools: text in, nothing measured."""

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
from bench.history.entries import Entry
from bench.history.export_pytest import NOT_A_TIME, as_pytest_benchmark
from bench.statistics.intervals import Interval, median_interval


@dataclass(frozen=True)
class Export:
    """What goes into the file, and what could not, a line each with the reason."""

    text: str
    left_out: tuple[str, ...]


Exporter: TypeAlias = Callable[[Sequence[Entry], Mapping[str, Any]], Export]

# In the unit that both the chart's axis and its readers are spared powers of ten by: one for each
# measure, so that a chart over commits never changes it.
_ACTION_UNITS: Mapping[str, tuple[str, float]] = {
    "seconds_per_call": ("us/iter", 1e6),
    "seconds_per_pass": ("us/iter", 1e6),
    "time_to_1e-6_s": ("ms", 1e3),
    "passes_to_1e-6": ("passes", 1.0),
}

# Bencher's "latency" is built in, in nanoseconds; the others are made where they are first seen.
_BENCHER_MEASURES: Mapping[str, tuple[str, float]] = {
    "seconds_per_call": ("latency", 1e9),
    "seconds_per_pass": ("nanoseconds-per-pass", 1e9),
    "time_to_1e-6_s": ("nanoseconds-to-1e-6", 1e9),
    "passes_to_1e-6": ("passes-to-1e-6", 1.0),
}


def pytest_benchmark(entries: Sequence[Entry], environment: Mapping[str, Any]) -> Export:
    """The JSON of `pytest --benchmark-json`, raw samples included; see `as_pytest_benchmark`.

    Left out is what it has no place for: passes, which are no time, and runs that missed.
    """
    kept = [e for e in entries if e.unit == "s" and not e.misses]
    names = cell_names(entries, always_how=True)
    left_out = [
        f"{names[e.series]}, {e.measure}: {NOT_A_TIME if e.unit != 's' else _missed(e)}"
        for e in entries
        if e not in kept
    ]
    return Export(as_pytest_benchmark(kept, environment), tuple(left_out))


def github_action_benchmark(entries: Sequence[Entry], environment: Mapping[str, Any]) -> Export:
    """An array of {name, value, unit, range, extra} for the tool `customSmallerIsBetter`.

    `value` is the median over runs, `range` the larger half of its 95% interval, as "± 1.2". Left
    out is a cell whose median run missed, which has no number.

    Source: benchmark-action/github-action-benchmark, src/extract.ts (`BenchmarkResult`: name,
        value and unit, and optionally range and extra) and src/extractRangeInfo.ts, at c38cce9.
    """

    def one(entry: Entry, name: str, middle: Interval, median: float) -> dict[str, Any]:
        unit, scale = _ACTION_UNITS[entry.measure]
        found = {"name": f"{name}, {entry.measure}", "unit": unit, "value": median * scale}
        if middle.low is not None and middle.high is not None:
            half = max(median - middle.low, middle.high - median) * scale
            found["range"] = f"± {half:.6g}"
        return found | {"extra": f"{_counted(entry)}\nmachine {entry.machine}"}

    rows, left_out = _with_medians(entries, one)
    return Export(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", left_out)


def bencher(entries: Sequence[Entry], environment: Mapping[str, Any]) -> Export:
    """Bencher Metric Format: {benchmark: {measure: {value, lower_value, upper_value}}}.

    A value is the median over runs, with its 95% interval; times are in nanoseconds, the unit of
    the built-in measure `latency`. An upper end beyond what was run is left out, and so is a cell
    whose median run missed.

    Source: bencher.dev/docs/reference/bencher-metric-format and its schema, bencher.dev/bmf.json.
    """

    def one(entry: Entry, name: str, middle: Interval, median: float) -> dict[str, Any]:
        measure, scale = _BENCHER_MEASURES[entry.measure]
        ends = (("value", median), ("lower_value", middle.low), ("upper_value", middle.high))
        values = {key: end * scale for key, end in ends if end is not None}
        return {"name": name, "measure": measure, "values": values}

    rows, left_out = _with_medians(entries, one)
    document: dict[str, dict[str, Any]] = {}
    for row in rows:
        document.setdefault(row["name"], {})[row["measure"]] = row["values"]
    return Export(json.dumps(document, indent=1, ensure_ascii=False) + "\n", left_out)


def csv(entries: Sequence[Entry], environment: Mapping[str, Any]) -> Export:
    """Tidy CSV, one row a sample, every name a column; the value of a miss is empty.

    Numbers are written with as many digits as tell them apart, so that pandas.read_csv gives the
    same ones (before pandas 3 with float_precision="round_trip").
    """
    names = (
        *("commit", "commit_date", "created", "machine", "problem", "kernel", "optimizer"),
        *("device", "dtype", "timed_beside", "timed_by", "data", "budget", "measure", "unit"),
    )
    rows = [
        {name: getattr(entry, name) for name in names} | {"sample": k, "value": sample}
        for entry in entries
        for k, sample in enumerate(entry.samples)
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
"""The exporters, by the names that the command line knows them by."""


def _with_medians(
    entries: Sequence[Entry], one: Callable[[Entry, str, Interval, float], dict[str, Any]]
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """A row for each entry that has a median, and a line for each that has none."""
    names = cell_names(entries, always_how=True)
    rows, left_out = [], []
    for entry in entries:
        name = names[entry.series]
        middle = median_interval([math.nan if s is None else s for s in entry.samples])
        if middle.median is None:
            left_out.append(f"{name}, {entry.measure}: {_missed(entry)}")
        else:
            rows.append(one(entry, name, middle, middle.median))
    return rows, tuple(left_out)


def _counted(entry: Entry) -> str:
    return f"{entry.runs} samples" + (f", {entry.misses} missed" if entry.misses else "")


def _missed(entry: Entry) -> str:
    return f"{entry.misses} of {entry.runs} runs missed, and a miss has no number"
