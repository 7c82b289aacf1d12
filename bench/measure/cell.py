"""Run one cell: one problem, kernel, optimizer, device, dtype and seed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from bench.measure.budget import Budget
from bench.measure.clock import Clock, clock_for, no_garbage_collection
from bench.measure.recorder import BudgetSpent, CountingObjective, Recorder, Trace
from bench.measure.verify import verify
from bench.optimizers import Shuffler, Stop, SupportsRun
from bench.problems import Problem
from bench.records.score import SetupTimes
from logreg_kernels import Objective, bind

_WARM_UP = Budget(passes=3.0, seconds=1.0)


@dataclass(frozen=True)
class Bound:
    """A kernel that is bound to a problem and matches the reference, and its set-up times."""

    objective: Objective
    setup: SetupTimes


def bind_and_verify(problem: Problem, kernel: str, device: str, dtype: str) -> Bound:
    """Bind a kernel to a problem's training rows and check it against the reference.

    Raises:
        ValueError: the kernel can't run on that device.
        KernelMismatch: it does not compute the objective.
    """
    start = time.perf_counter()
    objective = bind(kernel, problem.X, problem.y, l2=problem.l2, device=device, dtype=dtype)
    objective.synchronize()
    total = time.perf_counter() - start
    verify(objective, problem)
    spent = objective.bind_times
    setup = SetupTimes(
        setup_s=max(0.0, total - spent.transfer_s - spent.compile_s),
        transfer_s=spent.transfer_s,
        compile_s=spent.compile_s,
    )
    return Bound(objective, setup)


def warm_up(objective: Objective, optimizer: SupportsRun) -> None:
    """A few passes that are not recorded. First calls load code, and fill caches and allocators."""
    run_optimizer(objective, optimizer, np.random.default_rng(0), _WARM_UP)


def run_optimizer(
    objective: Objective,
    optimizer: SupportsRun,
    rng: Shuffler,
    budget: Budget,
    w0: Any = None,
    clock: Clock | None = None,
) -> Trace:
    """One timed run from `w0` (default: zeros). An optimizer that raises leaves a trace, too.

    Python's garbage collector is off while the clock runs.

    Args:
        clock: default: the one for the objective's device.
    """
    start = np.zeros(objective.coefficient_shape) if w0 is None else w0
    w = objective.as_coefficients(start)
    counting = CountingObjective(objective)
    recorder = Recorder(counting, clock or clock_for(objective.device), budget)
    objective.synchronize()
    with no_garbage_collection():
        recorder.start(w)
        try:
            stop = optimizer.run(cast(Objective, counting), w, rng, recorder.on_step)
            return recorder.finish(Stop(stop).value)
        except BudgetSpent:
            return recorder.finish(Stop.BUDGET.value)
        except Exception as error:  # any error is this cell's result
            return recorder.finish("failed", one_line(error))


def one_line(error: BaseException) -> str:
    """An error's type and message in one line, as a record keeps it."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
