"""What one side of a comparison times, over and over: a call, or a run of an optimizer.

The problem, the kernel and the optimizer are those of the side's worktree. They are imported where
they are needed, since a commit may lack them. This code also runs against older commits, so it asks
with `getattr` for what an older tree may not have.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from .injection import reads_of

Call: TypeAlias = Callable[[], Any]
Timed: TypeAlias = Callable[[], float]
"""Does its work once, and returns the seconds that this took."""

# A run ends by its own stopping test, or after a number of passes: the most of these that take no
# longer than `_RUN_S`, the time of some blocks. With mini-batches that may be part of a pass, since
# a whole one may be hundreds of steps. Solvers of other libraries count iterations.
_PASSES = (100, 50, 20, 10, 5, 2, 1)
_PARTS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_RUN_S = 3e-3
_TICK_S = 1e-9


class NotTimed(Exception):  # noqa: N818 - the name says it
    """A cell can't be timed in this tree.

    Args:
        status: "gone", what is named isn't there; "unavailable", it can't run here; "failed", it
            raised; "ended", its process did, or gave no answer.
        reason: why, in one line.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Workload:
    """What a block repeats.

    Args:
        run: the work; it has been done once when this is made.
        warm_caches: a short call on the same data, with no work left on the device.
        passes: passes of a run, or iterations of another library's solver; 0 for a call.
        reads: for a number of rows, a call that reads so many rows of X; None where there is no X.
    """

    run: Timed
    warm_caches: Call
    passes: float = 0
    reads: Callable[[int], Timed] | None = None


def clocked(call: Call, synchronize: Call = lambda: None) -> Timed:
    """The call with the clock around it."""

    def run() -> float:
        start = time.perf_counter()
        call()
        synchronize()
        # A clock with coarse ticks may see none in a call of some nanoseconds.
        return max(time.perf_counter() - start, _TICK_S)

    return run


def own_workload(cell: Mapping[str, str]) -> Workload:
    """A cell of the user's own: `cells()` in its file has a function by its name, for set-up."""
    found = load_cells(cell["file"])
    if cell["problem"] not in found:
        raise NotTimed("gone", f"{cell['file']} has no cell {cell['problem']!r}")
    call = found[cell["problem"]]()
    call()
    return Workload(clocked(call), call)


@lru_cache(maxsize=1)
def load_cells(file: str) -> dict[str, Callable[[], Call]]:
    """What `cells()` returns in a file of this side's tree."""
    path = Path(os.environ["BENCH_TREE"]) / file
    if not path.is_file():
        raise NotTimed("gone", f"there is no file {file}")
    spec = importlib.util.spec_from_file_location("cells_under_test", path)
    if spec is None or spec.loader is None:
        raise NotTimed("failed", f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "cells"):
        raise NotTimed("failed", f"{file} has no function cells()")
    found = dict(module.cells())
    for name in found:
        if not isinstance(name, str):
            raise NotTimed("failed", f"{file}: a cell's name is to be a string, not {name!r}")
    return found


def suite_workload(cell: Mapping[str, str], passes: float | None) -> Workload:
    """A kernel's value and gradient, or a run of an optimizer, on a problem."""
    import numpy as np

    from bench.optimizers import OPTIMIZERS, make_optimizer
    from bench.problems import PROBLEMS
    from logreg_kernels import KERNELS

    check_known(cell["problem"], PROBLEMS, "problem")
    problem = problem_of(cell["problem"])
    optimizer: Any = None
    if cell["optimizer"]:
        check_known(cell["optimizer"], OPTIMIZERS, "optimizer")
        optimizer = make_optimizer(cell["optimizer"])
        if hasattr(optimizer, "fit"):
            return refit_workload(problem, cell, optimizer, passes)
    check_known(cell["kernel"], KERNELS, "kernel")
    device, dtype = cell["device"], cell["dtype"]
    objective = bound(cell["problem"], cell["kernel"], device, dtype)
    start = np.random.default_rng(0).standard_normal(objective.coefficient_shape) * 0.1
    w = objective.as_coefficients(start)

    def reads(rows: int) -> Timed:
        return clocked(reads_of(problem.X, rows, device, dtype), objective.synchronize)

    one_call = clocked(lambda: objective.value_and_grad(w), objective.synchronize)
    if optimizer is None:
        return Workload(one_call, one_call, reads=reads)
    runs = optimizer_runs(objective, optimizer)
    run, passes = run_of_passes(runs, passes, (*_PASSES, *_PARTS))
    return Workload(run, one_call, passes, reads)


def check_known(spec: str, registry: Mapping[str, Any], what: str) -> None:
    """Raise NotTimed, "gone", for a name that this tree does not have."""
    name = spec.split(":")[0].strip()
    if name not in registry:
        raise NotTimed("gone", f"there is no {what} {name}")


@lru_cache(maxsize=1)
def problem_of(spec: str) -> Any:
    """The problem. The last one is kept, since cells of one problem come one after the other."""
    from bench.problems import load_problem

    return load_problem(spec)


@lru_cache(maxsize=1)
def bound(spec: str, kernel: str, device: str, dtype: str) -> Any:
    """A kernel bound to a problem, after it has matched the reference there. The last is kept."""
    from bench.measure.cell import bind_and_verify

    return bind_and_verify(problem_of(spec), kernel, device, dtype).objective


def optimizer_runs(objective: Any, optimizer: Any) -> Callable[[float], Timed]:
    """For a number of passes, a run of so many, on the harness's own clock."""
    import numpy as np

    from bench.measure.cell import run_optimizer
    from bench.measure.recorder import Budget

    # In an older tree an objective does not say what it offers: it has the method, or not.
    offered = getattr(objective, "offers", dir(objective))
    lacking = [name for name in getattr(optimizer, "needs", ()) if name not in offered]
    if lacking:
        raise NotTimed("unavailable", f"the kernel has no {lacking[0]}, which it needs")

    def run(passes: float) -> float:
        rng, budget = np.random.default_rng(0), Budget(passes=passes, seconds=math.inf)
        trace = run_optimizer(objective, optimizer, rng, budget)
        if trace.stop == "failed":
            raise NotTimed("failed", trace.message)
        return float(trace.run_s)

    return lambda passes: lambda: run(passes)


def refit_workload(
    problem: Any, cell: Mapping[str, str], solver: Any, passes: float | None
) -> Workload:
    """Fits of another library's solver, with a limit on its iterations."""
    from logreg_kernels.validation import check_dtype, check_matrix

    reason = solver.unavailable(l2=problem.l2, n_classes=problem.n_classes, dtype=cell["dtype"])
    if reason:
        raise NotTimed("unavailable", reason)
    X: Any = check_matrix(problem.X, check_dtype(cell["dtype"]))

    def fit(passes: float) -> Timed:
        most = int(passes)
        return clocked(lambda: solver.fit(X, problem.y, l2=problem.l2, max_iter=most, seed=0))

    run, passes = run_of_passes(fit, passes, _PASSES)
    return Workload(run, fit(1), passes)


def run_of_passes(
    runs: Callable[[float], Timed], passes: float | None, choice: Sequence[float]
) -> tuple[Timed, float]:
    """A run of the given passes, warmed up, and their number.

    Where none are given, they are the most of `choice` that take `_RUN_S` at most.
    """
    if passes is None:
        runs(1)()
        per_pass = max(min(runs(1)() for _ in range(3)), 1e-9)
        passes = next((p for p in choice if p * per_pass <= _RUN_S), choice[-1])
    run = runs(passes)
    run()
    return run, passes
