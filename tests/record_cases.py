"""Made-up records, for all tests of what is kept: a run, a kernel's time, one that could not be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.records import Record

ENVIRONMENT = {
    "machine": "m1",
    "cpu": "Some CPU",
    "logical_cores": 2,
    "usable_cores": 2,
    "architecture": "x86_64",
    "gpus": [],
    "os": "Linux 6.1",
    "python": "3.11.7",
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "torch_threads": 2,
    "commit": "c" * 40,
}

SAMPLES: dict[str, list[Any]] = {
    "step": [0, 1, 2],
    "elapsed_s": [0.0, 1e-3, 2.5e-3],
    "oracle_calls": [0, 1, 3],
    "passes": [0.0, 1.0, 3.0],
    "f": [0.69, 0.5, 0.4],
    "gap": [0.3, 0.1, 1e-9],
}

FACTS = {
    "n_samples": 100,
    "n_features": 4,
    "l2": 0.0,
    "f_star": 0.4,
    "gap_bound": 1e-20,
    "exists": True,
    "reason": "µ ≥ 0",
}

RUN = Record(
    kind="convergence",
    key="0123456789abcdef",
    problem="iris",
    kernel="numpy",
    optimizer="adam:lr=0.1",
    device="cpu",
    dtype="float64",
    seed=0,
    repetition=0,
    sampling="snapshots",
    status="converged",
    message="",
    score={"gap": 1e-9, "run_s": 0.25, "steps": 2, "time_to_1e-1_s": 1e-3, "time_to_1e-6_s": None},
    samples=SAMPLES,
    problem_facts=FACTS,
    environment=ENVIRONMENT,
    suite="quick",
    created="2024-01-01T00:00:00+00:00",
)
TIMING = replace(
    RUN,
    kind="kernel",
    optimizer="",
    status="ok",
    score={"setup_s": 0.1, "timed_beside": "numpy, torch-autograd"},
    samples={"seconds_per_call": [1e-5, 2e-5]},
)
UNAVAILABLE = replace(RUN, status="unavailable", message="no GPU", score={}, samples={})
