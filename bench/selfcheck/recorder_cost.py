"""What the recorder costs: the same runs with it and without it, in turns."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bench.measure.cell import bind_and_verify
from bench.measure.clock import clock_for, no_garbage_collection
from bench.measure.recorder import Budget, BudgetSpent, CountingObjective, Recorder
from bench.optimizers import Optimizer
from bench.problems import Problem
from bench.statistics.intervals import ratio_interval
from logreg_kernels import Objective


@dataclass(frozen=True)
class RecorderCost:
    """Seconds of each round with and without the recorder, and what it did.

    Args:
        recorded_s, bare_s: one entry a round; the two runs of a round follow each other.
        inside_s: seconds inside the recorder's own calls, in a further run each round.
        steps: of each run.
        snapshots: copies of w that the recorder kept in a run.
    """

    recorded_s: tuple[float, ...]
    bare_s: tuple[float, ...]
    inside_s: tuple[float, ...]
    steps: int
    snapshots: int

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Recorded over bare, round by round."""
        return np.divide(self.recorded_s, self.bare_s)

    @property
    def ratio_interval(self) -> tuple[float, float]:
        """95% bootstrap interval of the median ratio: see `bench.statistics.intervals`."""
        interval = ratio_interval(self.bare_s, self.recorded_s)
        return interval.low, interval.high

    @property
    def inside_fraction(self) -> float:
        """Time inside the recorder over the median bare run: free of the runs' own noise."""
        return float(np.median(self.inside_s) / np.median(self.bare_s))


def recorder_cost(
    problem: Problem, kernel: str, optimizer: Optimizer, *, passes: float, rounds: int
) -> RecorderCost:
    """Run an optimizer for `passes` passes, with and without the recorder, `rounds` times each.

    The order of the two alternates from round to round (ABBA). A run without the recorder counts
    its steps, to end at the same one.
    """
    objective = bind_and_verify(problem, kernel, "cpu", "float64").objective
    budget = Budget(passes=passes, seconds=3600.0)
    steps, snapshots, *_ = _recorded(objective, optimizer, budget)
    recorded, bare, inside = [], [], []
    for round_number in range(rounds):
        order = (True, False) if round_number % 2 == 0 else (False, True)
        for with_recorder in order:
            if with_recorder:
                recorded.append(_recorded(objective, optimizer, budget)[2])
            else:
                bare.append(_bare(objective, optimizer, steps))
        inside.append(_recorded(objective, optimizer, budget, stopwatch=True)[3])
    return RecorderCost(tuple(recorded), tuple(bare), tuple(inside), steps, snapshots)


class _Stopwatch:
    """A recorder with a stopwatch around its calls; what the stopwatch costs is not counted."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.inside_s = 0.0

    def on_step(self, w: object) -> None:
        start = time.perf_counter()
        try:
            self._recorder.on_step(w)
        finally:
            self.inside_s += time.perf_counter() - start


def _recorded(
    objective: Objective, optimizer: Optimizer, budget: Budget, *, stopwatch: bool = False
) -> tuple[int, int, float, float]:
    """(steps, snapshots, seconds, seconds inside the recorder) of a run as every cell is run."""
    w = objective.as_coefficients(np.zeros(objective.coefficient_shape))
    counting = CountingObjective(objective)
    recorder = Recorder(counting, clock_for("cpu"), budget)
    watch = _Stopwatch(recorder)
    on_step = watch.on_step if stopwatch else recorder.on_step
    with no_garbage_collection():
        start = time.perf_counter()
        recorder.start(w)
        with suppress(BudgetSpent):
            optimizer.run(cast(Objective, counting), w, np.random.default_rng(0), on_step)
        elapsed = time.perf_counter() - start
    trace = recorder.finish("budget")
    return int(trace.step[-1]), len(trace.step), elapsed, watch.inside_s


def _bare(objective: Objective, optimizer: Optimizer, steps: int) -> float:
    """Seconds of the same steps without the recorder; only the steps are counted."""
    w = objective.as_coefficients(np.zeros(objective.coefficient_shape))
    left = steps

    def on_step(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise BudgetSpent

    with no_garbage_collection():
        start = time.perf_counter()
        with suppress(BudgetSpent):
            optimizer.run(objective, w, np.random.default_rng(0), on_step)
        return time.perf_counter() - start
