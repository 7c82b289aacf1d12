"""How many were solved by when: distributions of runtimes over problems, targets and runs.

Times are NaN for a miss. A miss is never solved, at no time, and stays in every denominator.
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


def ecdf(times: ArrayLike, at: ArrayLike) -> Values:
    """The fraction of (problem, target, run) triples of one solver that are solved by each time.

        F(t) = #{triples: time <= t} / #{triples}

    A function of this solver's own times alone: who else was measured does not move it.

    Not the Kaplan-Meier estimate, which takes a run that ended early for one that might have hit
    later as often as the others. A run that diverged, or stopped where it stood, would not have.
    The two agree where no miss ended before the last hit.

    Args:
        times: one for each triple, NaN for a miss, any shape.
        at: where to evaluate F, shape (k,).
    Returns:
        F, shape (k,), in [0, 1]; its limit is the success rate, not 1.
    Raises:
        ValueError: no triples, or a time that is negative or infinite.
    Source: Hansen, Auger, Brockhoff, Tusar and Tusar (2016), "COCO: performance assessment",
        arXiv:1605.03560, section on empirical distribution functions; over problems alone it is
        the data profile of More and Wild (2009), "Benchmarking derivative-free optimization
        algorithms", section 2, without their division by n + 1.
    """
    times = checked_times(times)
    solved = np.sort(times[~np.isnan(times)])
    return np.searchsorted(solved, np.asarray(at, dtype=np.float64), side="right") / times.size


def ecdf_steps(times: ArrayLike) -> Steps:
    """`ecdf` as a plot draws it: exact, with a step at each distinct time.

    Args:
        times: one for each triple, NaN for a miss, any shape; a column of `performance_ratios`
            gives the steps of that solver's performance profile.
    Raises:
        ValueError: no triples, or a time that is negative or infinite.
    """
    times = checked_times(times)
    at, count = np.unique(times[~np.isnan(times)], return_counts=True)
    return Steps(at, np.cumsum(count) / times.size)


def performance_ratios(times: ArrayLike) -> Values:
    """Each time over the best one on its problem.

        r_ps = t_ps / min_s t_ps

    Args:
        times: positive, NaN for a miss, shape (problems, solvers).
    Returns:
        Ratios >= 1, NaN for a miss, shape (problems, solvers).
    Raises:
        ValueError: no times, one that is not positive or is infinite, or another shape.
    Source: Dolan and More (2002), "Benchmarking optimization software with performance profiles",
        section 2.
    """
    times = checked_times(times)
    if times.ndim != 2:
        raise ValueError(f"times must be of shape (problems, solvers); got {times.shape}")
    if (times == 0).any():
        raise ValueError("a ratio needs positive times; got a time of 0")
    # fmin passes over NaN, and without a word where there is nothing else.
    return times / np.fmin.reduce(times, axis=1, keepdims=True)


def performance_profile(times: ArrayLike, at: ArrayLike) -> Values:
    """The fraction of problems that each solver solves within a factor of the best solver.

        rho_s(tau) = #{p: r_ps <= tau} / #{p},   r_ps = t_ps / min_s t_ps

    It MOVES with the set of solvers: the best one on each problem is the yardstick, so adding
    or leaving out a solver changes the curves of the others, and can change their order. Only
    the curve of a solver at tau = 1 and its limit are safe to read across solvers. For curves
    that stay where they are, take `ecdf`.

    Args:
        times: positive, NaN for a miss, shape (problems, solvers); a problem that no solver
            solves stays in the denominator.
        at: factors tau, shape (k,); none is solved below 1.
    Returns:
        rho, shape (k, solvers), in [0, 1].
    Raises:
        ValueError: no times, one that is not positive or is infinite, or another shape.
    Source: Dolan and More (2002), "Benchmarking optimization software with performance profiles",
        section 2; Gould and Scott (2016), "A note on performance profiles for benchmarking
        software", on the order that changes.
    """
    return np.stack([ecdf(ratios, at) for ratios in performance_ratios(times).T], axis=-1)
