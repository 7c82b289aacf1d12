"""pytest-benchmark's JSON, as `pytest --benchmark-json` writes it."""

from __future__ import annotations

import json
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from bench.history.cell_names import cell_names
from bench.history.entries import Entry

NOT_A_TIME = "pytest-benchmark knows seconds only"
_VERSION = "5.3.1"  # whose format this is


def as_pytest_benchmark(entries: Sequence[Entry], environment: Mapping[str, Any]) -> str:
    """The JSON of a session whose benchmarks are these entries, raw samples included.

    What `pytest --benchmark-only` timed carries the name of its test, so that
    `--benchmark-compare=FILE` compares the same test with it. All else was timed in another way
    (kernels in turns, in blocks of calls; whole runs to a target) and has names of its own, which
    no test has: times of different ways must not be compared.

    Args:
        entries: of one commit and machine, in seconds and without misses.
        environment: of the machine, see `bench.measure.environment`; may be empty.
    Source: pytest-benchmark 5.3.1, plugin.py (`pytest_benchmark_generate_json`) and stats.py.
    """
    newest = max((entry.created for entry in entries), default="")
    commit = entries[0].commit if entries else "unversioned"
    names = cell_names(entries, always_how=True)
    document = {
        "machine_info": _machine_info(entries, environment),
        "commit_info": {
            "id": commit.rstrip("+"),
            "time": entries[0].commit_date if entries else None,
            "author_time": None,
            "dirty": commit.endswith("+"),
            "project": "logreg-bench",
            "branch": "(unknown)",
        },
        "benchmarks": [_benchmark(entry, names[entry.series]) for entry in entries],
        "datetime": newest,
        "version": _VERSION,
    }
    return json.dumps(document, indent=4) + "\n"


def stats_of(data: Sequence[float]) -> dict[str, Any]:
    """The statistics that pytest-benchmark keeps of samples; quartiles are those of its stats.py:
    medians of the halves of an even number of samples, and method 3 of
    en.wikipedia.org/wiki/Quartile of an odd one.

    Args:
        data: at least one, in seconds.
    """
    ordered = sorted(data)
    mean, q1, q3 = statistics.mean(data), *_quartiles(ordered)
    deviation = statistics.stdev(data) if len(data) > 1 else 0.0
    fence = 1.5 * (q3 - q1)
    far = sum(not mean - deviation <= x <= mean + deviation for x in data)
    outside = sum(not q1 - fence <= x <= q3 + fence for x in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": len(data),
        "median": statistics.median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": far,
        "outliers": f"{far};{outside}",
        "ld15iqr": ordered[bisect_left(ordered, q1 - fence)],
        "hd15iqr": ordered[bisect_right(ordered, q3 + fence) - 1],
        "ops": len(data) / sum(data),
        "total": sum(data),
        "data": list(data),
        "iterations": 1,
    }


def _benchmark(entry: Entry, name: str) -> dict[str, Any]:
    params = {key: getattr(entry, key) for key in ("problem", "kernel", "device", "dtype")}
    param = "-".join(params.values())
    if entry.timed_by == "pytest-benchmark":
        group, test = f"{entry.problem} {entry.dtype}", f"test_value_and_grad[{param}]"
        fullname = f"bench/suites/bench_kernels.py::{test}"
    else:
        group, test = f"{entry.problem} {entry.measure}", f"{entry.measure}[{name}]"
        fullname = f"bench::{test}"
    return {
        "group": group,
        "name": test,
        "fullname": fullname,
        "params": params | ({"optimizer": entry.optimizer} if entry.optimizer else {}),
        "param": param,
        "extra_info": {
            "measure": entry.measure,
            "optimizer": entry.optimizer,
            "timed_beside": entry.timed_beside,
            "timed_by": entry.timed_by,
            "samples": entry.runs,
        },
        "options": {"disable_gc": True, "timer": "perf_counter", "min_rounds": entry.runs}
        | {"max_time": 0.0, "min_time": 0.0, "warmup": True},
        "stats": stats_of([sample for sample in entry.samples if sample is not None]),
    }


def _machine_info(entries: Sequence[Entry], environment: Mapping[str, Any]) -> dict[str, Any]:
    """What is on record of the fields that pytest-benchmark fills itself."""
    cpu = entries[0].configuration.get("cpu") if entries else None
    system, _, release = str(environment.get("os", "")).partition(" ")
    return {
        "node": entries[0].machine if entries else "",
        "machine": environment.get("architecture", ""),
        "python_version": environment.get("python", ""),
        "system": system,
        "release": release,
        "cpu": {"brand_raw": cpu, "count": environment.get("logical_cores")},
        "environment": dict(environment),
    }


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    n, rest = divmod(len(ordered), 4)
    if len(ordered) == 1:
        return ordered[0], ordered[0]
    if rest == 1:
        low = 0.25 * ordered[n - 1] + 0.75 * ordered[n]
        return low, 0.75 * ordered[3 * n] + 0.25 * ordered[3 * n + 1]
    if rest == 3:
        low = 0.75 * ordered[n] + 0.25 * ordered[n + 1]
        return low, 0.25 * ordered[3 * n + 1] + 0.75 * ordered[3 * n + 2]
    half = len(ordered) // 2
    return statistics.median(ordered[:half]), statistics.median(ordered[half:])
