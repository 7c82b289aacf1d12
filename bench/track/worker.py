"""One side of a comparison: a process that times cells of its own tree, a block at a time.

Run as a file, `python -P worker.py CPUS THREADS MODULES...`, with the side's tree first in
PYTHONPATH: `bench` and `logreg_kernels` are then that tree's, while this file is the same for both
sides, so that commits older than it can be compared, too. It answers each line of JSON on its
standard input with one line on its standard output:

    {"ask": "environment"}                  {"tree": ..., "environment": {...}}
    {"ask": "names", "file": F}             {"names": [...]}, of a file of cells
    {"ask": "open", "cell": C, "work": W,   {"work": W}, found here where it was null; or
     "slow_down": s, "pinned": p}           {"status": S, "reason": R} where it can't be timed
    {"ask": "block"}                        {"seconds": t}, of one unit of the cell's work
    {"ask": "fork"}                         {"forked": true}, from a child that answers from here on
    {"ask": "leave"}                        {"ended": 0}, from its parent, which goes on

A child that ends unasked is answered for with its exit code: {"ended": 3}.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
# A run ends by its own stopping test, or after the most passes of these that take no longer: of
# mini-batches part of a pass, as a whole one may be hundreds of steps; a call on all rows is made
# whole. Libraries' own solvers count iterations.
_PASSES = (100, 50, 20, 10, 5, 2, 1)
_PARTS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_RUN_S = 3e-3
# While the other side worked, this side's data left the caches: calls off the clock bring it back.
# A call that is long brings it back by itself, in a small part of its time.
_SETTLE_S = 5e-4
_LONG_SETTLE_S = 0.02
# Where modules come from that are of no repository, unless an environment lies in one.
_INSTALLED = tuple({f"{path}{os.sep}" for path in (sys.prefix, sys.base_prefix)})


class NotTimed(Exception):  # noqa: N818 - the name says it
    """A cell can't be timed in this tree: `status` is "gone", "unavailable" or "failed"."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Unit:
    """What a block repeats.

    Args:
        run: the unit of work; it has been done once when this is made.
        settle: a short call of the same kind, which leaves nothing for the device to do.
        reads: makes a call that reads so many rows of X, for planted slow-downs; None where there
            is no X.
    """

    run: Timed
    settle: Call
    passes: float = 0
    reads: Callable[[int], Timed] | None = None


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
        raise NotTimed("gone", f"{cell['file']} has no cell {cell['problem']!r}")
    call = found[cell["problem"]]()
    call()
    return Unit(clocked(call), call)


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
    return dict(module.cells())


def suite_unit(cell: Mapping[str, str], passes: float | None) -> Unit:
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
            return refit_unit(problem, cell, optimizer, passes)
    check_known(cell["kernel"], KERNELS, "kernel")
    place = (cell["kernel"], cell["device"], cell["dtype"])
    objective = bound(cell["problem"], *place)
    start = np.random.default_rng(0).standard_normal(objective.coefficient_shape) * 0.1
    w = objective.as_coefficients(start)

    def call() -> Any:
        return objective.value_and_grad(w)

    def reads(rows: int) -> Timed:
        from bench.track.planted import reads_of

        return clocked(reads_of(problem.X, *place[1:])(rows), objective.synchronize)

    one_call = clocked(call, objective.synchronize)
    if optimizer is None:
        return Unit(one_call, one_call, reads=reads)
    runs = optimizer_runs(objective, optimizer)
    run, passes = run_of_passes(runs, passes, (*_PASSES, *_PARTS))
    return Unit(run, one_call, passes, reads)


def check_known(spec: str, registry: Mapping[str, Any], what: str) -> None:
    """Raise NotTimed, "gone", for a name that this tree doesn't have."""
    name = spec.split(":")[0].strip()
    if name not in registry:
        raise NotTimed("gone", f"there is no {what} {name}")


def check_modules() -> None:
    """What is timed must be of this side's tree: an editable install leads to another checkout.

    Raises:
        NotTimed: a module came from there.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        installed = file.startswith(_INSTALLED) or "site-packages" in file or file == __file__
        if file.startswith(other_checkouts()) and not installed:
            raise NotTimed(
                "failed",
                f"{name} was imported from {file}, which is not of the commit that is timed: put "
                "it where the commit's files are, by --build 'pip install --no-deps --target . .'",
            )


@lru_cache(maxsize=1)
def other_checkouts() -> tuple[str, ...]:
    """Where else this repository is checked out, the user's own working tree among them."""
    tree = os.path.realpath(os.environ["BENCH_TREE"])
    done = subprocess.run(
        ["git", "worktree", "list", "--porcelain"], cwd=tree, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    listed = [line.split(" ", 1)[1] for line in lines if line.startswith("worktree ")]
    return tuple(f"{path}{os.sep}" for path in listed if os.path.realpath(path) != tree)


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


def optimizer_runs(objective: Any, optimizer: Any) -> Callable[[float], Timed]:
    """Whole runs of so many passes, on the harness's own clock."""
    import numpy as np

    from bench.measure.cell import run_optimizer
    from bench.measure.recorder import Budget

    lacking = [name for name in getattr(optimizer, "needs", ()) if not hasattr(objective, name)]
    if lacking:
        raise NotTimed("unavailable", f"the kernel has no {lacking[0]}, which it needs")

    def run(passes: float) -> float:
        rng, budget = np.random.default_rng(0), Budget(passes=passes, seconds=math.inf)
        trace = run_optimizer(objective, optimizer, rng, budget)
        if trace.stop == "failed":
            raise NotTimed("failed", trace.message)
        return float(trace.run_s)

    return lambda passes: lambda: run(passes)


def refit_unit(problem: Any, cell: Mapping[str, str], solver: Any, passes: float | None) -> Unit:
    """Fits of a library's solver, with at most so many iterations."""
    from logreg_kernels.validation import check_dtype, check_matrix

    reason = solver.unavailable(l2=problem.l2, n_classes=problem.n_classes, dtype=cell["dtype"])
    if reason:
        raise NotTimed("unavailable", reason)
    X: Any = check_matrix(problem.X, check_dtype(cell["dtype"]))

    def fit(passes: float) -> Timed:
        most = int(passes)
        return clocked(lambda: solver.fit(X, problem.y, l2=problem.l2, max_iter=most, seed=0))

    run, passes = run_of_passes(fit, passes, _PASSES)
    return Unit(run, fit(1), passes)


def run_of_passes(
    runs: Callable[[float], Timed], passes: float | None, choice: Sequence[float]
) -> tuple[Timed, float]:
    """A run of the passes given, or else of the most of a choice that fit a block; warmed up."""
    if passes is None:
        runs(1)()
        per_pass = max(min(runs(1)() for _ in range(3)), 1e-9)
        passes = next((p for p in choice if p * per_pass <= _RUN_S), choice[-1])
    run = runs(passes)
    run()
    return run, passes


class OpenCell:
    """A cell that is set up and warm, ready for blocks."""

    def __init__(self, cell: Mapping[str, str], work: Mapping[str, float] | None, slow_down: float):
        known = dict(work or {})
        unit = own_unit(cell) if cell["file"] else suite_unit(cell, known.get("passes"))
        check_modules()
        self._unit, self._extra = unit, list[Timed]()
        settle_s = clocked(unit.settle)()
        self._settle_s = _SETTLE_S if settle_s < _LONG_SETTLE_S else 0.0
        self._calls = int(known.get("calls") or self._calibrate())
        self.work = {"passes": unit.passes, "calls": self._calls}
        if slow_down:
            self._plant(slow_down, int(known.get("rows", 0)))

    def block(self) -> float:
        """Mean seconds of a unit of work, over a block that nothing but the work is in."""
        return sum(self._block()) / self._calls

    def _block(self) -> tuple[float, float]:
        """Seconds of the work, and of what is planted."""
        self._settle()
        gc.collect(1)
        gc.disable()
        try:
            seconds = sum(self._unit.run() for _ in range(self._calls))
            return seconds, sum(extra() for extra in self._extra)
        finally:
            gc.enable()

    def _calibrate(self) -> int:
        calls = 1
        gc.disable()
        while calls < _MOST_CALLS:
            # The smaller of two: an interruption must not make all blocks to come too short.
            seconds = min(sum(self._unit.run() for _ in range(calls)) for _ in range(2))
            if seconds >= _MIN_BLOCK_S:
                break
            calls = max(calls + 1, min(10 * calls, math.ceil(calls * 1.1 * _MIN_BLOCK_S / seconds)))
        gc.enable()
        return min(calls, _MOST_CALLS)

    def _settle(self) -> None:
        end = time.perf_counter() + self._settle_s
        while time.perf_counter() < end:
            self._unit.settle()

    def _plant(self, slow_down: float, rows: int) -> None:
        """Append reads of X to each block: of so many rows, or where that is 0 of as many as take
        `slow_down` of its time."""
        from bench.track.planted import tune

        reads = self._unit.reads
        if reads is None:
            raise NotTimed("unavailable", "there is no X to read once more")

        def block_s(rows: int) -> tuple[float, float]:
            self._extra = [reads(rows)]
            return self._block()

        rows = rows or tune(block_s, slow_down, rows=100)
        self.work["rows"] = rows
        self._extra = [reads(rows)]


def answer(request: Mapping[str, Any], opened: list[OpenCell]) -> dict[str, Any]:
    """The reply to one request; `opened` holds the open cell, if any."""
    if request["ask"] == "block":
        return {"seconds": opened[0].block()}
    if request["ask"] == "names":
        return {"names": list(load_cells(request["file"]))}
    if request["ask"] == "open":
        opened.clear()
        pinned = processors()
        if not request["pinned"]:
            pin(_ALL)
        try:
            opened.append(OpenCell(request["cell"], request["work"], request["slow_down"]))
        finally:
            pin(pinned)
        return {"work": opened[0].work}
    from bench.measure.environment import environment

    return {"tree": str(Path(sys.modules["bench"].__file__ or "")), "environment": environment()}


def processors() -> set[int]:
    """Those that this process may use; empty where that can't be told."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


_ALL = processors()


def pin(cpus: set[int]) -> None:
    """Use these processors alone, in all threads there are."""
    if cpus != processors():
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cpus)


def fork() -> dict[str, Any]:
    """Reply from a child, in which nothing that earlier cells left behind is; and when that has
    ended, from here."""
    child = os.fork()
    if not child:
        return {"forked": True}
    return {"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def main() -> None:
    """Answer requests until there are no more."""
    cpus, threads, modules = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    # What libraries print must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in modules:
        # An older tree may have other modules; what fails fails again where a cell needs it, and
        # is that cell's result.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    # What was loaded stays: a full collection would take a third of a second, and copy its pages.
    gc.collect()
    gc.freeze()
    if cpus:  # from here on: to load code, both sides may use all there are
        pin({int(cpu) for cpu in cpus.split(",")})
    opened: list[OpenCell] = []
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["ask"] == "leave":
                os._exit(0)
            reply = fork() if request["ask"] == "fork" else answer(request, opened)
        except NotTimed as error:
            reply = {"status": error.status, "reason": str(error)}
        except Exception as error:  # whatever a commit under test raises is its cell's result
            words = " ".join(str(error).split())
            reply = {"status": "failed", "reason": f"{type(error).__name__}: {words}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
