"""A commit's measurements in the formats of other tools."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

from bench.errors import InputError
from bench.history.commits import HERE
from bench.history.export_pytest import as_pytest_benchmark
from bench.history.measurements import commit_of, measurements_of, pooled, thin_out
from bench.history.series import cell_names
from bench.history.store import HistoryStore, Measurement
from bench.records import RecordStore, latest
from bench.statistics.intervals import median_interval


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


def measured_at(
    folder: Path, commit: str | None, repository: Path = HERE
) -> tuple[list[Measurement], dict[str, Any]]:
    """What a commit measured, with all samples, and the environment that it was measured in.

    These are the latest records of each cell in the results folder. If none is of this commit, they
    are the measurements in its history, pooled and thinned out. The environment is then empty.

    Args:
        commit: at least the first four letters; None for that of the newest record. Only the
            machine that measured it last is taken.
    Raises:
        InputError: there is no such commit, or several begin like this.
    """
    records = RecordStore(folder).read()
    kept = HistoryStore(folder).read() if commit else []
    if commit is None:
        if not records:
            raise InputError(f"no records in {folder}: run python -m bench run first")
        whole = commit_of(records[-1])
    else:
        whole = _whole(commit, [*map(commit_of, records), *(one.commit for one in kept)])
    found = [record for record in records if commit_of(record) == whole]
    if found:
        newest = latest(record for record in found if record.machine == found[-1].machine)
        return measurements_of(newest, repository=repository), dict(found[-1].environment)
    of_history = [one for one in kept if one.commit == whole]
    one_machine = pooled(one for one in of_history if one.machine == of_history[-1].machine)
    return [replace(one, samples=thin_out(one.samples, None)) for one in one_machine], {}


def _whole(prefix: str, commits: Iterable[str]) -> str:
    """The one commit that begins like this; a prefix that is a whole name is that commit."""
    there = list(dict.fromkeys(filter(None, commits)))
    if prefix in there:
        return prefix
    found = [commit for commit in there if commit.startswith(prefix)]
    if len(found) == 1 and len(prefix) >= 4:
        return found[0]
    if found:
        raise InputError(
            f"{len(found)} commits begin with {prefix!r}: name at least 4 letters, or more"
        )
    measured = ", ".join(commit[:12] for commit in there[-5:]) or "none"
    raise InputError(
        f"there is no result of {prefix!r}: name one of those measured, the last being {measured}"
    )


def pytest_benchmark(measurements: Sequence[Measurement], environment: Mapping[str, Any]) -> Export:
    """The JSON of `pytest --benchmark-json`, raw samples included; see `as_pytest_benchmark`.

    It has no place for passes, which are no time, and for runs that missed: they are left out.
    """
    kept, left_out = [], []
    names = cell_names(measurements, always_timing=True)
    for one in measurements:
        if one.unit == "s" and not one.misses:
            kept.append(one)
        else:
            reason = _missed(one) if one.unit == "s" else "pytest-benchmark knows seconds only"
            left_out.append(f"{names[one.series_key]}, {one.measure}: {reason}")
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
    medians, left_out = _medians(measurements)
    rows = []
    for one, name, median, low, high in medians:
        unit, scale = _ACTION_UNITS[one.measure]
        row = {"name": f"{name}, {one.measure}", "unit": unit, "value": median * scale}
        if low is not None and high is not None:
            row["range"] = f"± {max(median - low, high - median) * scale:.6g}"
        missed = f", {one.misses} missed" if one.misses else ""
        row["extra"] = f"{one.runs} samples{missed}\nmachine {one.machine}"
        rows.append(row)
    return Export(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", left_out)


def bencher(measurements: Sequence[Measurement], environment: Mapping[str, Any]) -> Export:
    """Bencher Metric Format: {benchmark: {measure: {value, lower_value, upper_value}}}.

    A value is the median over runs, with its 95% interval. Times are in nanoseconds, the unit of
    the built-in measure `latency`. An upper end that missed is left out, and so is a cell whose
    median run missed.

    Source: bencher.dev/docs/reference/bencher-metric-format and its schema, bencher.dev/bmf.json.
    """
    medians, left_out = _medians(measurements)
    document: dict[str, dict[str, Any]] = {}
    for one, name, *values in medians:
        measure, scale = _BENCHER_MEASURES[one.measure]
        ends = zip(("value", "lower_value", "upper_value"), values, strict=True)
        scaled = {key: end * scale for key, end in ends if end is not None}
        document.setdefault(name, {})[measure] = scaled
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


EXPORTS: Mapping[str, Exporter] = {
    "pytest-benchmark": pytest_benchmark,
    "github-action-benchmark": github_action_benchmark,
    "bencher": bencher,
    "csv": csv,
}
"""The exporters, by their names on the command line."""


class _Median(NamedTuple):
    measurement: Measurement
    name: str
    median: float
    low: float | None
    high: float | None


def _medians(measurements: Sequence[Measurement]) -> tuple[list[_Median], tuple[str, ...]]:
    """Each median with its 95% interval, and a line for each measurement that has none."""
    names = cell_names(measurements, always_timing=True)
    found, left_out = [], []
    for one in measurements:
        name = names[one.series_key]
        middle = median_interval([math.nan if s is None else s for s in one.samples])
        if middle.median is None:
            left_out.append(f"{name}, {one.measure}: {_missed(one)}")
        else:
            found.append(_Median(one, name, middle.median, middle.low, middle.high))
    return found, tuple(left_out)


def _missed(one: Measurement) -> str:
    return f"{one.misses} of {one.runs} runs missed, and a miss has no number"
