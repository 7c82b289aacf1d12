"""A device that finishes its work late, to see who charges the time to the right step.

A GPU returns from a call long before the work is done. This one does the same without a GPU: its
results are there at once, but its clock says when each piece of work would have been done.
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

# Milliseconds of work that a step asks for, over and over; the host needs well below 0.2.
_WORK_MS = (1.0, 6.0, 2.0, 4.0, 1.0, 8.0, 3.0)
_STEPS = 28
# What an interval may be off by: the host may be interrupted between work and stamp.
_TOLERANCE = 0.05


class LateDevice:
    """Works through what it is asked for, one piece after the other, behind the host's back."""

    def __init__(self) -> None:
        self._free_at_s = time.perf_counter()
        self.done_at_s: list[float] = []

    def ask(self, seconds: float) -> None:
        """Queue a piece of work, and return at once."""
        self._free_at_s = self.reached_s() + seconds
        self.done_at_s.append(self._free_at_s)

    def reached_s(self) -> float:
        """When the device will have done all that it was asked for so far."""
        return max(time.perf_counter(), self._free_at_s)

    def synchronize(self) -> None:
        """Wait until that is so."""
        while (left := self._free_at_s - time.perf_counter()) > 0:
            time.sleep(left)


class LateEvent:
    """A mark in a late device's queue, with the members of torch.cuda.Event."""

    def __init__(self, device: LateDevice) -> None:
        self._device = device
        self._at_s = 0.0

    def record(self) -> None:
        """Queue the mark behind the work asked for so far."""
        self._at_s = self._device.reached_s()

    def elapsed_time(self, end: LateEvent) -> float:
        """Milliseconds between two marks.

        Raises:
            RuntimeError: the device has not reached the second one: nobody waited for it.
        """
        if end._at_s > time.perf_counter():
            raise RuntimeError("an event was read before the device had reached it")
        return 1e3 * (end._at_s - self._at_s)


class LateObjective:
    """An objective whose every call asks a late device for a given time of work."""

    def __init__(self, objective: Objective, device: LateDevice, work_ms: Iterator[float]) -> None:
        self._objective = objective
        self._device = device
        self._work_ms = work_ms

    def value_and_grad(self, w: Any, rows: Any = None) -> tuple[Any, Any]:
        """The objective's own; the device is busy with it for a while."""
        self._device.ask(1e-3 * next(self._work_ms))
        return self._objective.value_and_grad(w, rows)

    def synchronize(self) -> None:
        """Wait for the device."""
        self._device.synchronize()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)


@dataclass(frozen=True)
class TimingCheck:
    """What a clock charged to each step, beside what the device took for it.

    Args:
        true_ms, charged_ms: one entry a step.
    """

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
    """Record a run of gradient descent on a late device.

    The run and the recorder are those of every cell; the clock is the one of CUDA runs, with this
    device's events for CUDA's.

    Args:
        bare: record with time.perf_counter instead, as on a CPU.
    """
    problem = load_problem("iris")
    optimizer, plain = make_reporting_optimizer("sgd:lr=0.01"), bind("numpy", problem.X, problem.y)
    warm_up(plain, optimizer)  # first calls take longer than a step of the device
    device = LateDevice()
    objective = LateObjective(plain, device, cycle(_WORK_MS))
    events = EventClock(lambda: LateEvent(device), device.synchronize)
    clock: Clock = HostClock() if bare else events
    budget = Budget(passes=_STEPS, seconds=60.0)
    late: Any = objective
    trace = run_optimizer(late, optimizer, np.random.default_rng(0), budget, clock=clock)
    device.synchronize()
    # The first step begins when the run does; all others when the one before is done.
    true = np.diff(device.done_at_s)
    charged = np.diff(trace.elapsed_s)[1:]
    return TimingCheck(tuple(1e3 * true), tuple(1e3 * charged))
