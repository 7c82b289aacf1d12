"""Made-up histories, for all tests of them: records and measurements over commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import record_cases
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from repositories import git

from bench.__main__ import bench
from bench.errors import InputError
from bench.history.store import Measurement
from bench.records import Record

NOWHERE = Path("/")  # a folder that is no repository

RUN = replace(
    record_cases.RUN,
    optimizer="lbfgs",
    score={
        "run_s": 0.25,
        "passes": 50.0,
        "time_to_1e-6_s": 0.125,
        "passes_to_1e-6": 20.0,
        "budget_passes": 500,
        "budget_s": 0.25,
    },
    samples={},
    problem_facts={**record_cases.FACTS, "fingerprint": "0123456789abcdef" * 4},
)
TIMING = replace(
    RUN,
    kind="kernel",
    optimizer="",
    status="ok",
    score={"timed_beside": "numpy, torch-autograd"},
    samples={"seconds_per_call": [3e-5, 1e-5, 2e-5]},
)
MEASUREMENT = Measurement(
    commit="c" * 40,
    commit_date="2026-01-01T00:00:00+00:00",
    created="2026-01-01T00:00:00+00:00",
    machine="m1",
    configuration={
        "cpu": "Some CPU",
        "cores": 2,
        "gpus": [],
        "torch": "2.13.0",
        "numpy": "2.4.6",
        "threads": 2,
    },
    problem="iris",
    kernel="numpy",
    optimizer="lbfgs",
    device="cpu",
    dtype="float64",
    timed_beside="",
    timed_by="bench",
    data="0123456789ab",
    budget="500 passes, 0.25 s",
    measure="time_to_1e-6_s",
    unit="s",
    samples=(1e-3, 2e-3, 3e-3),
    runs=3,
    misses=0,
    sources=("a", "b", "c"),
)


def at_commit(record: Record, commit: str, **changed: Any) -> Record:
    """The record as that commit's."""
    return replace(record, environment={**record.environment, "commit": commit}, **changed)


def repository(folder: Path, n: int) -> list[str]:
    """A git repository with so many commits in a row, a minute apart; the oldest first."""
    lines = []
    for k in range(n):
        who = f"Somebody <somebody@example.org> {1767225600 + 60 * k} +0000"
        parent = [f"from :{k}"] if k else []
        lines += ["commit refs/heads/main", f"mark :{k + 1}", f"committer {who}", "data 1", "x"]
        lines += [*parent, f"M 100644 inline f\ndata {len(str(k))}\n{k}", ""]
    git(folder, "init", "-q", "-b", "main")
    git(folder, "fast-import", "--quiet", text="\n".join(lines))
    return git(folder, "rev-list", "--reverse", "main").split()


def records_over(commits: Sequence[str], levels: NDArray[np.float64], seed: int) -> list[Record]:
    """A kernel's time at each commit, in 20 samples with noise of 3% around its level."""
    rng = np.random.default_rng(seed)
    return [
        at_commit(
            TIMING,
            commit,
            created=f"2026-01-01T00:{k:02d}:30+00:00",
            samples={"seconds_per_call": (level * np.exp(0.03 * rng.standard_normal(20))).tolist()},
        )
        for k, (commit, level) in enumerate(zip(commits, levels, strict=True))
    ]


def history(*arguments: Any) -> Result:
    """`python -m bench history`; an exception other than bad input escapes."""
    done = CliRunner().invoke(bench, ["history", *map(str, arguments)], standalone_mode=False)
    if done.exception and not isinstance(done.exception, InputError):
        raise done.exception
    return done
