"""A fake asynchronous device: does a clock charge each step its own time?

A GPU returns from a call long before the work is done. This device does the same without a GPU: its
results are there at once, and its clock says when each piece of work would have been done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from bench.measure.cell import run_optimizer, warm_up
from bench.measure.clock import Clock, EventClock, HostClock
from bench.measure.recorder import Budget
from bench.optimizers import make_reporting_optimizer
from bench.problems import load_problem
from logreg_kernels import Objective, bind

# Milliseconds of work of the steps, repeated in this order; the host needs well below 0.2.
_WORK_MS = (1.0, 6.0, 2.0, 4.0, 1.0, 8.0, 3.0)
_STEPS = 28
# The allowed relative error of a step: the host may be interrupted between work and time stamp.
_TOLERANCE = 0.05


class FakeAsyncDevice:
    """A queue of work that is done one piece after the other, while the host goes on."""

    def __init__(self) -> None:
        self._free_at_s = time.perf_counter()
        self.done_at_s: list[float] = []

    def enqueue(self, seconds: float) -> None:
        """Queue a piece of work, and return at once."""
        self._free_at_s = self.reached_s() + seconds
        self.done_at_s.append(self._free_at_s)

    def reached_s(self) -> float:
        """When the device will have done all work that is queued so far."""
        return max(time.perf_counter(), self._free_at_s)

    def synchronize(self) -> None:
        """Wait until all queued work is done."""
        while (left := self._free_at_s - time.perf_counter()) > 0:
            time.sleep(left)


@dataclass
class FakeEvent:
    """A mark in the queue of a fake device, with the members of torch.cuda.Event."""

    device: FakeAsyncDevice
    at_s: float = 0.0

    def record(self) -> None:
        """Queue the mark behind the work that is queued so far."""
        self.at_s = self.device.reached_s()

    def elapsed_time(self, end: FakeEvent) -> float:
        """Milliseconds between two marks.

        Raises:
            RuntimeError: the device has not reached the second one, since nobody waited for it.
        """
        if end.at_s > time.perf_counter():
            raise RuntimeError("an event was read before the device had reached it")
        return 1e3 * (end.at_s - self.at_s)


@dataclass
class AsyncObjective:
    """An objective each call of which queues work of a given duration on a fake device."""

    objective: Objective
    fake_device: FakeAsyncDevice
    work_ms: Iterator[float]

    def value_and_grad(self, w: Any, rows: Any = None) -> tuple[Any, Any]:
        """Those of the objective; the device is busy for a while."""
        self.fake_device.enqueue(1e-3 * next(self.work_ms))
        return self.objective.value_and_grad(w, rows)

    def synchronize(self) -> None:
        """Wait for the device."""
        self.fake_device.synchronize()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objective, name)


@dataclass(frozen=True)
class TimingCheck:
    """What the device took for each step, and what a clock charged to it."""

    true_ms: tuple[float, ...]
    charged_ms: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest |charged - true| / true of all steps."""
        true, charged = np.array(self.true_ms), np.array(self.charged_ms)
        return float((np.abs(charged - true) / true).max())

    @property
    def passed(self) -> bool:
        """Every step was charged its own time, to 5%."""
        return self.worst <= _TOLERANCE


def check_timing(*, bare: bool) -> TimingCheck:
    """Record a run of gradient descent on a fake asynchronous device.

    The run and the recorder are those of every cell. The clock is that of CUDA runs, with the
    events of this device in place of those of CUDA.

    Args:
        bare: record with time.perf_counter instead, as on a CPU.
    """
    problem = load_problem("iris")
    optimizer, plain = make_reporting_optimizer("sgd:lr=0.01"), bind("numpy", problem.X, problem.y)
    warm_up(plain, optimizer)  # first calls take longer than a step of the device
    device = FakeAsyncDevice()
    objective = AsyncObjective(plain, device, cycle(_WORK_MS))
    events = EventClock(lambda: FakeEvent(device), device.synchronize)
    clock: Clock = HostClock() if bare else events
    budget = Budget(passes=_STEPS, seconds=60.0)
    on_device: Any = objective
    trace = run_optimizer(on_device, optimizer, np.random.default_rng(0), budget, clock=clock)
    device.synchronize()
    # The first step begins with the run, and each later one when the step before it is done.
    true = np.diff(device.done_at_s)
    charged = np.diff(trace.elapsed_s)[1:]
    return TimingCheck(tuple(1e3 * true), tuple(1e3 * charged))
