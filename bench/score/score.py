"""From a trace and an optimum to a score."""

from __future__ import annotations

import math

import numpy as np

from bench.measure.budget import Budget
from bench.measure.recorder import Trace
from bench.optima.optimum import Optimum
from bench.optima.reference import evaluation_error, reference_objective
from bench.problems import Problem
from bench.records import TARGETS, Score
from bench.records.score import Curve, SetupTimes
from bench.score.gaps import Gaps, finite, first_hits, gaps, status_of
from bench.score.quality import quality
from bench.statistics.runtimes import area_under_log_gap

# In less than 0.1 ms no run gets further than a few passes over the smallest problem.
_AREA_FROM_S = 1e-4


def score(
    problem: Problem,
    trace: Trace,
    optimum: Optimum,
    budget: Budget | None = None,
    *,
    setup: SetupTimes | None = None,
) -> Score:
    """Score a run against the optimum of its problem.

    The float64 reference evaluates f at every snapshot, whatever dtype the run had. The gaps
    (`gaps`), hits (`first_hits`) and the status (`status_of`) follow from these values.

    Args:
        problem: what was minimised.
        trace: the run, k snapshots.
        optimum: of the same problem.
        budget: of the run; without it `area_log_gap` is missing.
        setup: how long binding the kernel took; None for a solver with a loss of its own.
    Raises:
        RefutedOptimum: the run went below f* by more than its bound and rounding explain.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = reference_objective(problem).value_batch(trace.w)
    value_error = evaluation_error(problem, optimum.w)
    measured = gaps(values, optimum, value_error)
    status, message = status_of(trace, values, measured.relative, value_error)
    passes = trace.rows_read / problem.n_samples
    return Score(
        status=status,
        message=message or ("" if optimum.exists else optimum.reason),
        gap=finite(measured.absolute[-1]),
        relative_gap=finite(measured.relative[-1]),
        resolution=measured.resolution,
        f=float(values[-1]),
        run_s=trace.run_s,
        spent_s=trace.spent_s,
        setup=setup or SetupTimes(),
        steps=int(trace.step[-1]),
        oracle_calls=float(trace.oracle_calls[-1]),
        passes=float(passes[-1]),
        hits=first_hits(trace, measured.relative, problem.n_samples),
        area_log_gap=None if budget is None else _area_log_gap(trace, measured, budget),
        budget_passes=None if budget is None else budget.passes,
        budget_s=None if budget is None else budget.seconds,
        quality=quality(problem, trace.w[-1], optimum),
        curve=Curve(
            step=tuple(trace.step.tolist()),
            elapsed_s=tuple(trace.elapsed_s.tolist()),
            oracle_calls=tuple(trace.oracle_calls.tolist()),
            passes=tuple(passes.tolist()),
            f=tuple(values.tolist()),
            gap=tuple(measured.absolute.tolist()),
        ),
    )


def _area_log_gap(trace: Trace, measured: Gaps, budget: Budget) -> float | None:
    """Mean of log10 r over log time, from 0.1 ms to the budget's seconds."""
    if measured.resolution is None or not _AREA_FROM_S < budget.seconds < math.inf:
        return None
    return area_under_log_gap(
        np.maximum.accumulate(trace.elapsed_s),  # refits are timed one by one
        measured.relative,
        low=_AREA_FROM_S,
        high=budget.seconds,
        floor=max(measured.resolution, TARGETS["1e-10"]),
    )
