"""What runs of optimizers cost in calls: counted, not timed, and so without noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from bench.cells.definitions import SUITES
from bench.counters.counters_file import END, cell_name
from bench.measure.budget import Budget
from bench.measure.cell import bind_and_verify, one_line, run_optimizer
from bench.measure.verify import KernelMismatch
from bench.optima.optimum import Optimum, solve
from bench.optimizers import make_reporting_optimizer
from bench.problems import Problem, load_problem
from bench.score.gaps import RefutedOptimum
from bench.score.score import score
from logreg_kernels import Objective

SUITE = "quick"
KERNELS = ("numpy", "torch-autograd", "fused-cpu")
DTYPE = "float64"
SEED = 0
# Enough for L-BFGS to meet its targets, and no more: later its steps follow rounding errors, and
# its counts with them. With relative errors of 1e-13 in the gradients, no count at a target from
# 1e-1 to 1e-9 moved in 40 runs of 100 passes. With 200 passes some moved at errors of 2e-16.
PASSES = 100
# A few epochs show what a step on a mini-batch costs, and such a run takes long.
MINI_BATCH_PASSES = 10


def count_runs(
    problems: Sequence[str] = (),
    optimizers: Sequence[str] = (),
    kernels: Sequence[str] = KERNELS,
    on_problem: Callable[[str], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Counters of one run of every combination, by `cell_name(problem, optimizer, kernel)`.

    Each run has `status`, `steps` of its trace, and three counters. Each counter has a number for
    each target (None: missed) and, under "end", the total:

        oracle_calls    calls of the objective
        passes          rows that they read, over n, to six decimals
        trials          see `CountingIterations`

    A run that can't be made or scored has only `status` "failed" and `message`. A target counts as
    met at the first snapshot that meets it. Snapshots are at fixed step numbers: each of the first
    32 steps, and then whenever the number has grown by a sixteenth.

    Args:
        problems, optimizers: specs; none named means the quick suite's.
        kernels: names in `logreg_kernels.KERNELS`.
        on_problem: is told the name of a problem before its runs.
    """
    suite = SUITES[SUITE]
    counts: dict[str, dict[str, Any]] = {}
    for problem_spec in problems or cast(Sequence[str], suite.problems):
        if on_problem:
            on_problem(problem_spec)
        problem = load_problem(problem_spec)
        optimum = solve(problem)
        for kernel in kernels:
            specs = optimizers or cast(Sequence[str], suite.optimizers)
            cells = {cell_name(problem_spec, optimizer, kernel): optimizer for optimizer in specs}
            try:
                objective = bind_and_verify(problem, kernel, "cpu", DTYPE).objective
            except (KernelMismatch, ValueError, RuntimeError, MemoryError) as error:
                message = one_line(error)
                counts |= {cell: {"status": "failed", "message": message} for cell in cells}
                continue
            for cell, optimizer in cells.items():
                counts[cell] = _run(problem, optimum, objective, optimizer)
    return counts


def _run(
    problem: Problem, optimum: Optimum, objective: Objective, optimizer_spec: str
) -> dict[str, Any]:
    optimizer = make_reporting_optimizer(optimizer_spec)
    size = optimizer.batch_size
    passes = PASSES if size is None or size >= problem.n_samples else MINI_BATCH_PASSES
    budget = Budget(passes=passes, seconds=math.inf)
    with CountingIterations(objective) as counting:
        rng = np.random.default_rng(SEED)
        trace = run_optimizer(cast(Objective, counting), optimizer, rng, budget)
    try:
        scored = score(problem, trace, optimum)
    except RefutedOptimum as error:
        return {"status": "failed", "message": str(error)}

    def at_targets(count: Callable[[Any], Any], total: Any) -> dict[str, Any]:
        hits = scored.hits.items()
        return {name: None if hit is None else count(hit) for name, hit in hits} | {END: total}

    calls = int(scored.oracle_calls)
    trials = counting.trials(calls, finished=trace.stop == "converged")
    return {
        "status": scored.status,
        "steps": scored.steps,
        **({"message": scored.message} if scored.status == "failed" else {}),
        "oracle_calls": at_targets(lambda hit: hit.oracle_calls, calls),
        "passes": at_targets(lambda hit: round(hit.passes, 6), round(scored.passes, 6)),
        "trials": at_targets(lambda hit: counting.trials(hit.oracle_calls), trials),
    }


class CountingIterations:
    """An objective that notes how many iterations had begun at each of its evaluations.

    The iterations are those of an optimizer of torch.optim, noted within `with`. An iteration is a
    step of the algorithm. L-BFGS makes many of them in one `step()` and keeps their number in
    `n_iter`. For other optimizers an iteration is a call of `step()`.

    Trials are the evaluations beyond one an iteration: those that a line search tried and rejected.

        trials after k evaluations = k - iterations begun by then
        trials of a run that converged = evaluations - 1 - iterations

    The last evaluation of a run that converged tests the final w, and is no trial. Once in
    `max_iter` iterations torch's strong Wolfe search evaluates again at the point where it stands.
    That evaluation counts as a trial.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._optimizer: torch.optim.Optimizer | None = None
        self._steps = 0
        self._begun: list[int] = []

    def __enter__(self) -> Self:
        self._hook = register_optimizer_step_pre_hook(self._begin_step)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def value_and_grad(self, w: Any, rows: Any = None) -> tuple[Any, Any]:
        """The objective's own, with the iterations noted."""
        self._begun.append(self._iterations())
        return self._objective.value_and_grad(w, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def trials(self, calls: int, finished: bool = False) -> int:
        """Evaluations among the first `calls` of them that no iteration took."""
        begun = self._begun[calls] if calls < len(self._begun) else self._iterations()
        return max(0, calls - begun - (1 if finished else 0))

    def _iterations(self) -> int:
        if self._optimizer is None:
            return 0
        (first, *_) = self._optimizer.param_groups[0]["params"]
        return int(self._optimizer.state[first].get("n_iter", self._steps))

    def _begin_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._optimizer = optimizer
        self._steps += 1
