"""`pytest --benchmark-only`: whole runs of the optimizers, with their quality in `extra_info`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cells.cell import RunCell
from bench.cells.definitions import SUITES
from bench.cells.plan import devices_here
from bench.cells.session import Session
from bench.measure.cell import run_optimizer, warm_up
from bench.measure.recorder import Budget, Trace
from bench.optimizers import make_reporting_optimizer
from bench.problems import load_problem
from bench.records import Record

ROUNDS = 3
KERNEL, DTYPE = "torch-autograd", "float64"
# Passes end a run, not seconds, so that each round does the same work.
BUDGET = Budget(passes=100, seconds=60.0)


@pytest.mark.bench_cell(kernel=KERNEL, dtype=DTYPE)
@pytest.mark.parametrize("device", devices_here())
@pytest.mark.parametrize("optimizer", SUITES["quick"].optimizers)
@pytest.mark.parametrize("problem", SUITES["quick"].problems)
def test_convergence(
    problem: str,
    optimizer: str,
    device: str,
    benchmark: BenchmarkFixture,
    session: Session,
    keep: Callable[[Iterable[Record]], None],
) -> None:
    """A run of at most 100 passes on torch-autograd for each seed; each leaves a record."""
    data, algorithm = load_problem(problem), make_reporting_optimizer(optimizer)
    bound = session.bound(data, KERNEL, device, DTYPE)
    traces: list[Trace] = []

    def run(seed: int) -> None:
        rng = np.random.default_rng(seed)
        traces.append(run_optimizer(bound.objective, algorithm, rng, BUDGET))

    warm_up(bound.objective, algorithm)
    benchmark.group = f"{problem} convergence"
    benchmark.pedantic(run, setup=lambda: ((len(traces),), {}), rounds=ROUNDS)
    records = []
    for seed, trace in enumerate(traces):
        cell = RunCell(data, KERNEL, optimizer, algorithm, device, DTYPE, seed, 0, BUDGET, None)
        records.append(session.scored(cell, bound, trace))
    benchmark.extra_info.update(
        problem=problem,
        optimizer=optimizer,
        kernel=KERNEL,
        device=device,
        status=[record.status for record in records],
        relative_gap=[record.score["relative_gap"] for record in records],
        **{
            name: [record.score[name] for record in records]
            for name in ("time_to_1e-3_s", "time_to_1e-6_s", "passes_to_1e-3", "passes_to_1e-6")
        },
    )
    assert all(record.status != "failed" for record in records), records[0].message
    if benchmark.stats is not None:
        keep(records)
