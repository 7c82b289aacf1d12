"""`pytest --benchmark-only`: time per call of each kernel, and the time to read its X.

There is one benchmark a kernel and one for reading X, grouped by data. `extra_info` has the bytes
of the traffic model and the GB/s that follow. Each is timed alone here. For fractions of the read
speed use `python -m bench roofline`, which times them in turns.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cells.plan import devices_here, why_skipped
from bench.cells.session import Session
from bench.measure.bandwidth import reader
from bench.measure.kernel_time import value_and_grad_call
from bench.problems import load_problem
from bench.roofline.samples import READ
from logreg_kernels import KERNELS

# The first shows the cost of a call with hardly any data. The X of the second has 2 MB, which fit
# most last-level caches.
PROBLEMS = ("synthetic:n=100,d=4", "synthetic:n=10000,d=54")
DTYPE = "float32"


@pytest.mark.bench_cell(dtype=DTYPE)
@pytest.mark.parametrize("device", devices_here())
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_roofline(
    problem: str, kernel: str, device: str, benchmark: BenchmarkFixture, session: Session
) -> None:
    """One call of value and gradient in float32."""
    reason = why_skipped(kernel, device, DTYPE)
    if reason:
        pytest.skip(f"{kernel} on {device}: {reason}")
    objective = session.bound(load_problem(problem), kernel, device, DTYPE).objective
    traffic = objective.traffic_bytes
    call = value_and_grad_call(objective)

    def ended() -> None:
        call()
        objective.synchronize()

    benchmark.group = f"roofline {problem} {DTYPE}"
    benchmark(ended)
    _add_bytes(benchmark, traffic)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_read(problem: str, benchmark: BenchmarkFixture) -> None:
    """Reading X once on all threads: no kernel can be faster."""
    X = load_problem(problem).X.astype(DTYPE)
    benchmark.group = f"roofline {problem} {DTYPE}"
    benchmark.extra_info["entry"] = READ
    benchmark(reader([X]))
    _add_bytes(benchmark, X.nbytes)


def _add_bytes(benchmark: BenchmarkFixture, traffic_bytes: int | None) -> None:
    benchmark.extra_info["traffic_bytes"] = traffic_bytes
    if benchmark.stats is not None and traffic_bytes is not None:
        median = benchmark.stats.stats.median
        benchmark.extra_info["gb_per_s"] = traffic_bytes / median / 1e9
