"""What the recorder costs: the same runs with it and without it, in turns."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np

from bench.measure.cell import bind_and_verify
from bench.measure.clock import clock_for, no_garbage_collection
from bench.measure.recorder import Budget, BudgetSpent, CountingObjective, Recorder
from bench.optimizers import Optimizer
from bench.problems import Problem
from bench.statistics.intervals import ratio_interval
from logreg_kernels import Objective


@dataclass(frozen=True)
class RecorderCost:
    """What the recorder did in each run, and what it cost.

    Args:
        steps: of each run.
        snapshots: copies of w that the recorder kept in a run.
        ratio: seconds with the recorder over seconds without it, the median of the rounds.
        low, high: 95% bootstrap interval of the median ratio: see `bench.statistics.intervals`.
        inside_fraction: seconds inside the recorder's own calls over those of a run without it,
            both medians. This is free of the runs' own noise.
    """

    steps: int
    snapshots: int
    ratio: float
    low: float
    high: float
    inside_fraction: float


def recorder_cost(
    problem: Problem, kernel: str, optimizer: Optimizer, *, passes: float, rounds: int
) -> RecorderCost:
    """Run an optimizer for `passes` passes, with and without the recorder, `rounds` times each.

    The order of the two alternates from round to round (ABBA). A run without the recorder counts
    its steps, to end at the same one. The time inside the recorder is that of a third run.
    """
    objective = bind_and_verify(problem, kernel, "cpu", "float64").objective
    budget = Budget(passes=passes, seconds=3600.0)
    steps, snapshots, *_ = _recorded(objective, optimizer, budget)
    recorded, bare, inside = [], [], []
    for round_number in range(rounds):
        recorder_first = round_number % 2 == 0
        for with_recorder in (recorder_first, not recorder_first):
            if with_recorder:
                recorded.append(_recorded(objective, optimizer, budget)[2])
            else:
                bare.append(_bare(objective, optimizer, steps))
        inside.append(_recorded(objective, optimizer, budget, stopwatch=True)[3])
    interval = ratio_interval(bare, recorded)
    return RecorderCost(
        steps,
        snapshots,
        ratio=float(np.sort(np.divide(recorded, bare))[rounds // 2]),
        low=interval.low,
        high=interval.high,
        inside_fraction=float(np.median(inside) / np.median(bare)),
    )


def _recorded(
    objective: Objective, optimizer: Optimizer, budget: Budget, *, stopwatch: bool = False
) -> tuple[int, int, float, float]:
    """(steps, snapshots, seconds, seconds inside the recorder) of a run as every cell is run."""
    w = objective.as_coefficients(np.zeros(objective.coefficient_shape))
    counting = CountingObjective(objective)
    recorder = Recorder(counting, clock_for("cpu"), budget)
    inside_s = 0.0

    def timed_on_step(w: object) -> None:
        nonlocal inside_s
        start = time.perf_counter()
        try:
            recorder.on_step(w)
        finally:
            inside_s += time.perf_counter() - start

    on_step = timed_on_step if stopwatch else recorder.on_step
    with no_garbage_collection():
        start = time.perf_counter()
        recorder.start(w)
        with suppress(BudgetSpent):
            optimizer.run(cast(Objective, counting), w, np.random.default_rng(0), on_step)
        elapsed = time.perf_counter() - start
    trace = recorder.finish("budget")
    return int(trace.step[-1]), len(trace.step), elapsed, inside_s


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
