"""What is on the clock: counting, copies of w, time stamps, and the end of a run."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.cell import bind_and_verify, run_optimizer
from bench.measure.clock import EventClock, HostClock
from bench.measure.recorder import Budget, BudgetSpent, CountingObjective, Recorder
from bench.measure.verify import KernelMismatch, verify
from bench.optimizers import Stop, make_optimizer
from bench.problems import load_problem
from bench.selfcheck.fake_async_device import FakeAsyncDevice, FakeEvent, check_timing
from logreg_kernels import bind

PLENTY = Budget(passes=1e9, seconds=60.0)


class CountedClock:
    """A clock that advances by one second a stamp, and notes when it was finished."""

    def __init__(self) -> None:
        self.stamps = 0
        self.finished = False

    def stamp(self) -> int:
        self.stamps += 1
        return self.stamps

    def finish(self) -> None:
        self.finished = True

    def seconds(self, stamps: Sequence[int]) -> list[float]:
        assert self.finished, "times were read before the device was done"
        return [float(stamp - stamps[0]) for stamp in stamps]


class Steps:
    """An optimizer that moves w by one in place, a number of times, with one call a step."""

    def __init__(self, steps: int, rows: int | None = None, error: Exception | None = None) -> None:
        self.steps, self.rows, self.error = steps, rows, error

    def run(self, objective: Any, w0: Any, rng: Any, on_step: Any) -> Stop:
        w = w0.copy()
        for _ in range(self.steps):
            objective.value_and_grad(w, None if self.rows is None else np.arange(self.rows))
            w += 1.0
            on_step(w)
        if self.error:
            raise self.error
        return Stop.CONVERGED


@pytest.fixture
def objective():
    problem = load_problem("iris")
    return bind("numpy", problem.X, problem.y)


def test_snapshots_are_copies_with_the_counts_at_their_time(objective) -> None:
    trace = run_optimizer(objective, Steps(5), np.random.default_rng(0), PLENTY)
    assert trace.step.tolist() == [0, 1, 2, 3, 4, 5]
    assert trace.w[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert trace.oracle_calls.tolist() == [0, 1, 2, 3, 4, 5]
    assert trace.rows_read.tolist() == [0, 100, 200, 300, 400, 500]
    assert (np.diff(trace.elapsed_s) > 0).all()
    assert trace.elapsed_s[0] == 0.0
    assert trace.run_s >= trace.elapsed_s[-1]
    assert trace.stop == "converged"


def test_mini_batches_count_the_rows_they_read(objective) -> None:
    trace = run_optimizer(objective, Steps(3, rows=7), np.random.default_rng(0), PLENTY)
    assert trace.rows_read.tolist() == [0, 7, 14, 21]


@given(steps=st.integers(1, 3_000))
def test_the_schedule_keeps_the_first_steps_the_last_one_and_6_percent_between(steps: int) -> None:
    counting = CountingObjective(bind("numpy", [[0.0], [1.0]], [0, 1]))
    recorder = Recorder(counting, CountedClock(), PLENTY)
    w = np.zeros(1)
    recorder.start(w)
    for _ in range(steps):
        recorder.on_step(w)
    kept = recorder.finish("budget").step
    assert kept[0] == 0
    assert kept[-1] == steps
    early = min(steps, 32)
    assert kept[: early + 1].tolist() == list(range(early + 1))
    assert (kept[1:] <= np.maximum(kept[:-1] + 1, kept[:-1] * 17 // 16)).all()


def test_the_budget_of_passes_ends_a_run_at_the_same_step_every_time(objective) -> None:
    budget = Budget(passes=10, seconds=60.0)
    traces = [
        run_optimizer(objective, Steps(10**9, rows=33), np.random.default_rng(0), budget)
        for _ in range(2)
    ]
    assert [trace.stop for trace in traces] == ["budget", "budget"]
    assert traces[0].step[-1] == traces[1].step[-1] == -(-10 * 100 // 33)


def test_the_budget_of_seconds_ends_a_run(objective) -> None:
    trace = run_optimizer(
        objective, Steps(10**9), np.random.default_rng(0), Budget(passes=1e12, seconds=0.02)
    )
    assert trace.stop == "budget"
    assert trace.run_s >= 0.02


def test_an_optimizer_that_raises_leaves_its_trace_and_its_message(objective) -> None:
    failing = Steps(3, error=RuntimeError("line search failed"))
    trace = run_optimizer(objective, failing, np.random.default_rng(0), PLENTY)
    assert trace.stop == "failed"
    assert trace.message == "RuntimeError: line search failed"
    assert trace.step.tolist() == [0, 1, 2, 3]


def test_nothing_but_stamps_and_copies_happens_on_the_clock(objective) -> None:
    """The recorder itself never calls the objective, and reads the clock once a snapshot."""
    clock = CountedClock()
    counting = CountingObjective(objective)
    recorder = Recorder(counting, clock, PLENTY)
    w = np.zeros(4)
    recorder.start(w)
    for _ in range(10):
        recorder.on_step(w)
    assert counting.oracle_calls == 0
    assert clock.stamps == 11
    assert not clock.finished
    trace = recorder.finish("budget")
    assert trace.elapsed_s.tolist() == [float(i) for i in range(11)]
    assert trace.run_s == 11.0


def test_the_garbage_collector_is_back_on_after_a_run(objective) -> None:
    seen = []

    class Looks(Steps):
        def run(self, *arguments: Any) -> Stop:
            seen.append(gc.isenabled())
            return super().run(*arguments)

    run_optimizer(objective, Looks(1), np.random.default_rng(0), PLENTY)
    run_optimizer(objective, Looks(1, error=ValueError()), np.random.default_rng(0), PLENTY)
    assert seen == [False, False]
    assert gc.isenabled()


def test_budget_spent_passes_through_torch_optim(objective) -> None:
    trace = run_optimizer(
        objective, make_optimizer("lbfgs"), np.random.default_rng(0), Budget(5, 60.0)
    )
    assert trace.stop == "budget"
    assert trace.oracle_calls[-1] == 5
    assert not issubclass(BudgetSpent, ValueError)


def test_the_host_clock_measures_seconds() -> None:
    clock = HostClock()
    first = clock.stamp()
    assert clock.seconds([first, first + 1_500_000_000]) == [0.0, 1.5]


class Wrong:
    """A kernel's objective with something added to its value or gradient."""

    def __init__(self, objective: Any, value: float = 0.0, grad: float = 0.0) -> None:
        self._objective, self._value, self._grad = objective, value, grad

    def value_and_grad(self, w: Any, rows: Any = None) -> tuple[Any, Any]:
        value, grad = self._objective.value_and_grad(w, rows)
        return value + self._value, grad + self._grad

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", ["numpy", "torch-autograd"])
def test_a_kernel_that_does_not_match_is_not_timed(kernel: str, dtype: str) -> None:
    problem = load_problem("digits")
    objective = bind_and_verify(problem, kernel, "cpu", dtype).objective
    verify(objective, problem)
    small = 1e-3 if dtype == "float32" else 1e-9
    with pytest.raises(KernelMismatch, match="value is off by"):
        verify(Wrong(objective, value=small), problem)
    with pytest.raises(KernelMismatch, match=r"gradient\[\d+\] is off by"):
        verify(Wrong(objective, grad=small), problem)
    with pytest.raises(KernelMismatch, match="not timed"):
        verify(Wrong(objective, grad=float("nan")), problem)


@pytest.mark.parametrize("kernel", ["numpy", "torch-autograd"])
def test_a_kernel_that_leaves_out_one_row_in_a_thousand_is_caught(kernel: str) -> None:
    problem = load_problem("synthetic:n=2000,d=20")
    short = bind(kernel, problem.X[2:], problem.y[2:], l2=problem.l2, dtype="float32")
    with pytest.raises(KernelMismatch):
        verify(short, problem)


def test_steps_of_a_fake_async_device_are_charged_their_own_time() -> None:
    found = check_timing(bare=False)
    assert found.passed
    assert len(found.true_ms) == len(found.charged_ms) == 27
    assert found.true_ms[:6] == pytest.approx([6.0, 2.0, 4.0, 1.0, 8.0, 3.0], abs=0.5)


def test_a_bare_clock_charges_a_fake_async_device_to_nobody() -> None:
    found = check_timing(bare=True)
    assert not found.passed
    # The host is done with all of it long before the device: a step is charged the host's time.
    assert sum(found.charged_ms) < 0.5 * sum(found.true_ms)


def test_an_event_that_nobody_waited_for_can_not_be_read() -> None:
    device = FakeAsyncDevice()
    clock = EventClock(lambda: FakeEvent(device), device.synchronize)
    start = clock.stamp()
    device.enqueue(0.05)
    end = clock.stamp()
    with pytest.raises(RuntimeError, match="before the device had reached it"):
        clock.seconds([start, end])
    clock.finish()
    assert clock.seconds([start, end])[1] == pytest.approx(0.05, abs=0.01)


def test_hessian_products_and_hessians_are_counted_as_calls_over_all_rows() -> None:
    problem = load_problem("iris")
    counting = CountingObjective(bind("numpy", problem.X, problem.y))
    w = np.zeros(4)
    counting.value_and_grad(w, [0, 1])
    counting.hvp(w, w + 1)
    counting.hessian(w)
    assert (counting.oracle_calls, counting.rows_read) == (3, 2 + 100 + 100)
