"""Sample a solver that can't report its steps: fit it anew with growing budgets."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from bench.measure.budget import Budget
from bench.measure.cell import one_line
from bench.measure.clock import no_garbage_collection
from bench.measure.recorder import Trace
from bench.optimizers import Fit, RefitSolver, Stop
from bench.problems import Problem
from logreg_kernels.validation import check_dtype, check_matrix

# Every budget up to this one is tried, then budgets 1/8 apart. A time to target is too long by at
# most an eighth. All fits together take about nine times as long as the longest.
_EVERY_BUDGET_UNTIL = 8
_SPACING = 1 / 8
_MOST_ITERATIONS = 1_000_000


def run_refits(
    problem: Problem, solver: RefitSolver, dtype: str, seed: int, budget: Budget
) -> Trace:
    """Fits from zeros, each timed alone, until one converges, gives up, or is over the budget.

    A first fit with one iteration is not timed, as it loads code. The trace has a row for each
    fit, with the time of that fit. If the solver raises, the trace has the fits before.

    Args:
        budget: of a single fit. If the solver does not count passes, they limit its iterations.
    """
    fits: list[tuple[float, Fit]] = []
    stop, message = Stop.BUDGET.value, ""
    try:
        X, y = check_matrix(problem.X, check_dtype(dtype)), problem.y
        solver.fit(X, y, l2=problem.l2, max_iter=1, seed=seed)
        for max_iter in _budgets(budget):
            with no_garbage_collection():
                start = time.perf_counter()
                fit = solver.fit(X, y, l2=problem.l2, max_iter=max_iter, seed=seed)
                elapsed = time.perf_counter() - start
            if np.shape(fit.w) != problem.coefficient_shape:
                raise ValueError(
                    f"fit returned w of shape {np.shape(fit.w)}; it should be "
                    f"{problem.coefficient_shape}"
                )
            fits.append((elapsed, fit))
            if fit.converged:
                stop = Stop.CONVERGED.value
                break
            gave_up = fit.iterations < max_iter
            spent = elapsed > budget.seconds or (fit.passes or 0) >= budget.passes
            if gave_up or spent:
                break
    except Exception as error:  # any error is this cell's result
        stop, message = "failed", one_line(error)
    times = [elapsed for elapsed, _ in fits]
    passes = [math.nan if fit.passes is None else fit.passes for _, fit in fits]
    iterates = [np.asarray(fit.w, dtype=np.float64) for _, fit in fits]
    return Trace(
        step=np.array([0, *(fit.iterations for _, fit in fits)]),
        elapsed_s=np.array([0.0, *times]),
        oracle_calls=np.array([0.0, *(math.nan for _ in fits)]),
        rows_read=np.array([0.0, *passes]) * problem.n_samples,
        w=np.array([np.zeros(problem.coefficient_shape), *iterates]),
        stop=stop,
        message=message,
        run_s=times[-1] if times else 0.0,
        spent_s=sum(times),
    )


def _budgets(budget: Budget) -> Iterator[int]:
    """Iterations of each fit; the last one has the whole budget."""
    most = max(1, int(min(budget.passes, _MOST_ITERATIONS)))
    iterations = 1
    while iterations < most:
        yield iterations
        spacing = 1 if iterations < _EVERY_BUDGET_UNTIL else int(iterations * _SPACING)
        iterations += spacing
    yield most
