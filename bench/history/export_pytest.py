"""pytest-benchmark's JSON, as `pytest --benchmark-json` writes it."""

from __future__ import annotations

import json
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.history.series import cell_names
from bench.history.store import Measurement


def as_pytest_benchmark(measurements: Sequence[Measurement], environment: Mapping[str, Any]) -> str:
    """The JSON of a session whose benchmarks are these measurements, raw samples included.

    What `pytest --benchmark-only` timed has the name of its test, so that
    `--benchmark-compare=FILE` compares the same test with it. Everything else was timed
    differently: kernels in turns and in blocks of calls, whole runs to a target. It has names that
    no test has, since such times must not be compared with a test's.

    Args:
        measurements: of one commit and machine, in seconds and without misses.
        environment: of the machine, see `bench.measure.environment`; may be empty.
    Source: pytest-benchmark 5.3.1, plugin.py (`pytest_benchmark_generate_json`) and stats.py.
    """
    first = measurements[0] if measurements else None
    commit = first.commit if first else "unversioned"
    names = cell_names(measurements, always_timing=True)
    system, _, release = str(environment.get("os", "")).partition(" ")
    document = {
        "machine_info": {
            "node": first.machine if first else "",
            "machine": environment.get("architecture", ""),
            "python_version": environment.get("python", ""),
            "system": system,
            "release": release,
            "cpu": {
                "brand_raw": first.configuration.get("cpu") if first else None,
                "count": environment.get("logical_cores"),
            },
            "environment": dict(environment),
        },
        "commit_info": {
            "id": commit.rstrip("+"),
            "time": first.commit_date if first else None,
            "author_time": None,
            "dirty": commit.endswith("+"),
            "project": "logreg-bench",
            "branch": "(unknown)",
        },
        "benchmarks": [_benchmark(one, names[one.series_key]) for one in measurements],
        "datetime": max((one.created for one in measurements), default=""),
        "version": "5.3.1",
    }
    return json.dumps(document, indent=4) + "\n"


def stats_of(data: Sequence[float]) -> dict[str, Any]:
    """The statistics that pytest-benchmark keeps of samples.

    Its quartiles are medians of the halves of an even number of samples, and method 3 of
    en.wikipedia.org/wiki/Quartile of an odd one. Both are Hazen's, at rank n/4 + 1/2.

    Args:
        data: at least one, in seconds.
    """
    ordered = sorted(data)
    mean = statistics.mean(data)
    q1, q3 = np.quantile(ordered, (0.25, 0.75), method="hazen").tolist()
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


def _benchmark(one: Measurement, name: str) -> dict[str, Any]:
    params = {key: getattr(one, key) for key in ("problem", "kernel", "device", "dtype")}
    param = "-".join(params.values())
    if one.timed_by == "pytest-benchmark":
        group, test = f"{one.problem} {one.dtype}", f"test_value_and_grad[{param}]"
        fullname = f"bench/suites/bench_kernels.py::{test}"
    else:
        group, test = f"{one.problem} {one.measure}", f"{one.measure}[{name}]"
        fullname = f"bench::{test}"
    return {
        "group": group,
        "name": test,
        "fullname": fullname,
        "params": params | ({"optimizer": one.optimizer} if one.optimizer else {}),
        "param": param,
        "extra_info": {
            "measure": one.measure,
            "optimizer": one.optimizer,
            "timed_beside": one.timed_beside,
            "timed_by": one.timed_by,
            "samples": one.runs,
        },
        "options": {"disable_gc": True, "timer": "perf_counter", "min_rounds": one.runs}
        | {"max_time": 0.0, "min_time": 0.0, "warmup": True},
        "stats": stats_of([sample for sample in one.samples if sample is not None]),
    }
