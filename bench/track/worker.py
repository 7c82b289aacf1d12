"""One side of a comparison: a process that times cells of its own tree, a block at a time.

Run as a file, `python -P worker.py CPUS THREADS MODULES...`, with the side's tree first in
PYTHONPATH: `bench` and `logreg_kernels` are then that tree's, while this file is the same for both
sides, so that commits older than it can be compared, too. It answers each line of JSON on its
standard input with one line on its standard output:

    {"ask": "environment"}                  {"tree": ..., "environment": {...}}
    {"ask": "names", "file": F}             {"names": [...]}, of a file of cells
    {"ask": "open", "cell": C, "work": W,   {"work": W}, found here where it was null; or
     "slow_down": s}                        {"status": S, "reason": R} where it can't be timed
    {"ask": "block"}                        {"seconds": t}, of one unit of the cell's work
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

Call: TypeAlias = Callable[[], Any]
Timed: TypeAlias = Callable[[], float]
"""Does its work once, and returns the seconds that this took."""

# A block lasts at least this long: a thousand times what the clock and the loop cost. Many short
# blocks tell more than few long ones: what a shared machine does to them drifts over milliseconds,
# and taking turns cancels that.
_MIN_BLOCK_S = 1e-3
_MOST_CALLS = 10_000
# A run ends by its own stopping test, or after the most passes of these that take no longer.
_PASSES = (100, 50, 20, 10, 5, 2, 1)
_RUN_S = 3e-3
# While the other side worked, this side's data left the caches: calls off the clock bring it back.
_SETTLE_S = 5e-4


class NotTimed(Exception):  # noqa: N818 - the name says it
    """A cell can't be timed in this tree: `status` is "unavailable" or "failed"."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Unit:
    """What a block repeats.

    Args:
        run: the unit of work; it has been done once when this is made.
        settle: a short call of the same kind, which leaves nothing for the device to do.
        one_pass: makes a call that evaluates the objective on a fraction of the rows, for planted
            slow-downs; None where there is no objective.
    """

    run: Timed
    settle: Call
    passes: int = 0
    one_pass: Callable[[float], Timed] | None = None


def clocked(call: Call, synchronize: Call = lambda: None) -> Timed:
    """The call with the clock around it."""

    def run() -> float:
        start = time.perf_counter()
        call()
        synchronize()
        return time.perf_counter() - start

    return run


def own_unit(cell: Mapping[str, str]) -> Unit:
    """A cell of a file of cells: `cells()` there maps names to functions that set up a call."""
    found = load_cells(cell["file"])
    if cell["problem"] not in found:
        raise NotTimed("unavailable", f"{cell['file']} has no cell {cell['problem']!r}")
    call = found[cell["problem"]]()
    return Unit(clocked(call), call)


def load_cells(file: str) -> dict[str, Callable[[], Call]]:
    """What `cells()` returns in a file of this side's tree."""
    path = Path(os.environ["BENCH_TREE"]) / file
    if not path.is_file():
        raise NotTimed("unavailable", f"there is no {file}")
    spec = importlib.util.spec_from_file_location("cells_under_test", path)
    if spec is None or spec.loader is None:
        raise NotTimed("failed", f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return dict(module.cells())


def suite_unit(cell: Mapping[str, str], passes: int | None) -> Unit:
    """A kernel's value and gradient, or a run of an optimizer, on a problem."""
    import numpy as np

    problem = problem_of(cell["problem"])
    place = (cell["kernel"], cell["device"], cell["dtype"])
    if cell["optimizer"] and place[0] not in kernels():
        return refit_unit(problem, cell, passes)
    objective = bound(cell["problem"], *place)
    start = np.random.default_rng(0).standard_normal(objective.coefficient_shape) * 0.1
    w = objective.as_coefficients(start)

    def call() -> Any:
        return objective.value_and_grad(w)

    def one_pass(fraction: float) -> Timed:
        from logreg_kernels import bind

        rows = np.linspace(0, problem.n_samples - 1, max(2, round(fraction * problem.n_samples)))
        X, y = problem.X[rows.astype(int)], problem.y[rows.astype(int)]
        part = bind(place[0], X, y, l2=problem.l2, device=place[1], dtype=place[2])
        return clocked(lambda: part.value_and_grad(w), part.synchronize)

    one_call = clocked(call, objective.synchronize)
    if not cell["optimizer"]:
        return Unit(one_call, one_call, one_pass=one_pass)
    run, passes = run_of_passes(optimizer_runs(objective, cell["optimizer"]), passes)
    return Unit(run, one_call, passes, one_pass)


@lru_cache(maxsize=1)
def problem_of(spec: str) -> Any:
    """The problem; one at a time is kept, as its cells come one after the other."""
    from bench.problems import load_problem

    return load_problem(spec)


@lru_cache(maxsize=1)
def bound(spec: str, kernel: str, device: str, dtype: str) -> Any:
    """A kernel bound to a problem, after it has matched the reference there; kept likewise."""
    from bench.measure.cell import bind_and_verify

    return bind_and_verify(problem_of(spec), kernel, device, dtype).objective


def kernels() -> Mapping[str, Any]:
    """The kernels of this tree."""
    from logreg_kernels import KERNELS

    return KERNELS


def optimizer_runs(objective: Any, spec: str) -> Callable[[int], Timed]:
    """Whole runs of so many passes, on the harness's own clock."""
    import numpy as np

    from bench.measure.cell import run_optimizer
    from bench.measure.recorder import Budget
    from bench.optimizers import make_optimizer

    optimizer: Any = make_optimizer(spec)
    lacking = [name for name in getattr(optimizer, "needs", ()) if not hasattr(objective, name)]
    if lacking:
        raise NotTimed("unavailable", f"the kernel has no {lacking[0]}, which {spec} needs")

    def run(passes: int) -> float:
        rng, budget = np.random.default_rng(0), Budget(passes=passes, seconds=math.inf)
        trace = run_optimizer(objective, optimizer, rng, budget)
        if trace.stop == "failed":
            raise NotTimed("failed", trace.message)
        return float(trace.run_s)

    return lambda passes: lambda: run(passes)


def refit_unit(problem: Any, cell: Mapping[str, str], passes: int | None) -> Unit:
    """Fits of a library's solver, with at most so many iterations."""
    from bench.optimizers import make_optimizer
    from logreg_kernels.validation import check_dtype, check_matrix

    solver: Any = make_optimizer(cell["optimizer"])
    reason = solver.unavailable(l2=problem.l2, n_classes=problem.n_classes, dtype=cell["dtype"])
    if reason:
        raise NotTimed("unavailable", reason)
    X: Any = check_matrix(problem.X, check_dtype(cell["dtype"]))

    def fit(passes: int) -> Timed:
        return clocked(lambda: solver.fit(X, problem.y, l2=problem.l2, max_iter=passes, seed=0))

    run, passes = run_of_passes(fit, passes)
    return Unit(run, fit(1), passes)


def run_of_passes(runs: Callable[[int], Timed], passes: int | None) -> tuple[Timed, int]:
    """A run of the passes given, or else of the most that fit into a block; warmed up."""
    if passes is None:
        runs(1)()
        per_pass = max(min(runs(1)() for _ in range(3)), 1e-9)
        passes = next((p for p in _PASSES if p * per_pass <= _RUN_S), 1)
    run = runs(passes)
    run()
    return run, passes


class OpenCell:
    """A cell that is set up and warm, ready for blocks."""

    def __init__(self, cell: Mapping[str, str], work: Mapping[str, int] | None, slow_down: float):
        known = dict(work or {})
        unit = own_unit(cell) if cell["file"] else suite_unit(cell, known.get("passes"))
        self._unit, self._extra = unit, list[Timed]()
        calls = known.get("calls") or self._calibrate()
        self.work = {"passes": unit.passes, "calls": calls}
        if slow_down:
            self._plant(slow_down)

    def block(self) -> float:
        """Mean seconds of a unit of work, over a block that nothing but the work is in."""
        self._settle()
        gc.collect(1)
        gc.disable()
        try:
            seconds = sum(self._unit.run() for _ in range(self.work["calls"]))
            seconds += sum(extra() for extra in self._extra)
        finally:
            gc.enable()
        return seconds / self.work["calls"]

    def _calibrate(self) -> int:
        calls = 1
        while calls < _MOST_CALLS:
            seconds = sum(self._unit.run() for _ in range(calls))
            if seconds >= _MIN_BLOCK_S:
                break
            calls = max(calls + 1, min(10 * calls, math.ceil(calls * 1.1 * _MIN_BLOCK_S / seconds)))
        return min(calls, _MOST_CALLS)

    def _settle(self) -> None:
        end = time.perf_counter() + _SETTLE_S
        self._unit.settle()
        while time.perf_counter() < end:
            self._unit.settle()

    def _plant(self, slow_down: float) -> None:
        """Append real passes over X to each block, as many as take `slow_down` of its time.

        Whole passes where one takes less than that; else one pass over a fraction of the rows.
        """
        if self._unit.one_pass is None:
            raise NotTimed("unavailable", "there is no X to pass over once more")
        whole = self._unit.one_pass(1.0)
        block_s = min(self.block() * self.work["calls"] for _ in range(5))
        pass_s = min(whole() for _ in range(20))
        passes = slow_down * block_s / pass_s
        part = self._unit.one_pass(passes / math.ceil(passes)) if passes < 20 else whole
        for _ in range(5):
            part()
        self._extra = [part] * math.ceil(passes)


def answer(request: Mapping[str, Any], opened: list[OpenCell]) -> dict[str, Any]:
    """The reply to one request; `opened` holds the open cell, if any."""
    if request["ask"] == "block":
        return {"seconds": opened[0].block()}
    if request["ask"] == "names":
        return {"names": list(load_cells(request["file"]))}
    if request["ask"] == "open":
        opened.clear()
        opened.append(OpenCell(request["cell"], request["work"], request["slow_down"]))
        return {"work": opened[0].work}
    from bench.measure.environment import environment

    return {"tree": str(Path(sys.modules["bench"].__file__ or "")), "environment": environment()}


def main() -> None:
    """Answer requests until there are no more."""
    cpus, threads, modules = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    # What libraries print must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in modules:
        with contextlib.suppress(ImportError):  # an older tree may have other modules
            importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if cpus:  # from here on: to load code, both sides may use all there are
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
    opened: list[OpenCell] = []
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), opened)
        except NotTimed as error:
            reply = {"status": error.status, "reason": str(error)}
        except Exception as error:  # whatever a commit under test raises is its cell's result
            words = " ".join(str(error).split())
            reply = {"status": "failed", "reason": f"{type(error).__name__}: {words}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
