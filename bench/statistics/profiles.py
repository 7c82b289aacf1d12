"""Distributions of runtimes over problems, targets and runs.

Times are NaN for a miss. A miss stays in every denominator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.intervals import Values, checked_times


@dataclass(frozen=True)
class Steps:
    """A right-continuous step function that is 0 before its first step.

    Args:
        at: where it steps, increasing, shape (k,).
        height: its value from there on, shape (k,).
    """

    at: Values
    height: Values


def ecdf_steps(times: ArrayLike) -> Steps:
    """The fraction of (problem, target, run) triples of one solver that are solved by each time.

        F(t) = #{triples: time <= t} / #{triples}

    It depends on this solver's times alone. Its limit is the success rate, not 1. Rejected: the
    Kaplan-Meier estimate, which assumes that a run that ended early might have hit
    later. A run that diverged would not have.

    Args:
        times: one for each triple, NaN for a miss, any shape.
    Raises:
        ValueError: no triples, or a time that is negative or infinite.
    Source: Hansen, Auger, Brockhoff, Tusar and Tusar (2016), "COCO: performance assessment",
        arXiv:1605.03560, section on empirical distribution functions.
    """
    times = checked_times(times)
    at, count = np.unique(times[~np.isnan(times)], return_counts=True)
    return Steps(at, np.cumsum(count) / times.size)


def performance_ratios(times: ArrayLike) -> Values:
    """Each time over the best one on its problem; their `ecdf_steps` are performance profiles.

        r_ps = t_ps / min_s t_ps,   rho_s(tau) = #{p: r_ps <= tau} / #{p}

    The profile rho_s is the fraction of problems that solver s solves within a factor tau of the
    best solver. It depends on the set of solvers: adding or removing one changes the curves of the
    others, and can change their order. Only rho_s(1) and the limit can be read across solvers.

    Args:
        times: positive, NaN for a miss, shape (problems, solvers).
    Returns:
        Ratios >= 1, NaN for a miss, shape (problems, solvers). A problem that no solver solves
        stays in the denominator.
    Raises:
        ValueError: no times, one that is not positive or is infinite, or another shape.
    Source: Dolan and More (2002), "Benchmarking optimization software with performance profiles",
        section 2. The order that changes: Gould and Scott (2016), "A note on performance profiles
        for benchmarking software".
    """
    times = checked_times(times)
    if times.ndim != 2:
        raise ValueError(f"times must be of shape (problems, solvers); got {times.shape}")
    if (times == 0).any():
        raise ValueError("a ratio needs positive times; got a time of 0")
    # fmin passes over NaN, and without a word where there is nothing else.
    return times / np.fmin.reduce(times, axis=1, keepdims=True)
