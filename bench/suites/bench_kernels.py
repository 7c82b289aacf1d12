"""`pytest --benchmark-only`: time per call of value and gradient, kernel by kernel.

Each kernel is timed alone here, to follow one kernel over time. For ratios between kernels use
`python -m bench report`, which times them in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cells.cell import KernelCell
from bench.cells.definitions import SUITES
from bench.cells.plan import devices_here, why_skipped
from bench.cells.session import Session
from bench.problems import load_problem
from bench.records import Record
from logreg_kernels import KERNELS

# A record keeps at most this many rounds, evenly spaced over the run. A call of 10 microseconds has
# 100,000 rounds in a second.
MOST_SAMPLES = 1_000


@pytest.mark.bench_cell
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("device", devices_here())
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("problem", SUITES["quick"].problems)
def test_value_and_grad(
    problem: str,
    kernel: str,
    device: str,
    dtype: str,
    benchmark: BenchmarkFixture,
    session: Session,
    keep: Callable[[Iterable[Record]], None],
) -> None:
    """One call and a synchronisation; the kernel has matched the reference before it is timed."""
    reason = why_skipped(kernel, device, dtype)
    if reason:
        pytest.skip(f"{kernel} on {device}: {reason}")
    data = load_problem(problem)
    bound = session.bound(data, kernel, device, dtype)
    objective = bound.objective
    rng = np.random.default_rng(0)
    w = objective.as_coefficients(0.1 * rng.standard_normal(objective.coefficient_shape))

    def call() -> None:
        objective.value_and_grad(w)
        objective.synchronize()

    benchmark.group = f"{problem} {dtype}"
    benchmark.extra_info.update(
        problem=problem,
        kernel=kernel,
        device=device,
        dtype=dtype,
        n_samples=data.n_samples,
        n_features=data.n_features,
        matches_reference=True,
    )
    benchmark(call)
    if benchmark.stats is not None:  # None with --benchmark-disable: nothing was timed
        cell = KernelCell(data, (kernel,), device, dtype, samples=0)
        times = benchmark.stats.stats.data
        evenly = times[:: -(-len(times) // MOST_SAMPLES)]
        keep(session.kernel_records(cell, {kernel: list(evenly)}))
