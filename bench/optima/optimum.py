"""The optimum of a problem, and the proof that it is one, or that there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.optima.certificate import certify
from bench.optima.hessian_size import unknown_without_hessian
from bench.optima.minimise import minimise
from bench.optima.reference import reference_objective
from bench.optima.rounding import Vector, unit_roundoff
from bench.optima.separability import Separation, find_separation, prove_separable
from bench.problems import Problem

_U = unit_roundoff("float64")
# Two evaluations of the same sum may differ by a few roundings. A wrong optimum differs by more.
_F_ROUNDINGS = 1_000
# A bound this small, relative to f, is below what float64 resolves of f.
_AS_GOOD_AS_ROUNDING = 1e-16


@dataclass(frozen=True)
class Optimum:
    """The reference that every score of a problem is measured against.

    Args:
        w: the minimiser, of `coefficient_shape`; the one of smallest norm where f is constant
            along some directions (l2 = 0: see `coordinates`). Where `exists` is False, a w that
            separates the classes.
        f: f(w) in nats, with exactly rounded sums. Where `exists` is False, the
            infimum: 0 for separable classes, NaN (not known) for quasi-separable ones.
        gap_bound: proved bound on f(w) - f*; infinite where there is no proof.
        exists: True (proved), False (proved that there is none), None (not known).
        reason: the proof, or what is missing, in one sentence.
    """

    w: Vector
    f: float
    gap_bound: float
    exists: bool | None
    reason: str


def solve(problem: Problem) -> Optimum:
    """Minimise f to rounding level by Newton's method, and prove how close the result is.

    For l2 > 0 f is strongly convex and an optimum exists. Separable data have none at l2 = 0. So
    if no optimum is proved at l2 = 0, a separation is looked for.
    """
    if (why_not := unknown_without_hessian(problem)) is not None:
        return _unknown(problem, np.zeros(problem.coefficient_shape), why_not)
    w = minimise(problem)
    if problem.l2 == 0.0 and (separation := prove_separable(problem, w)) is not None:
        return no_optimum(separation)
    proved = prove(problem, w)
    if proved.exists is not None or problem.l2 > 0:
        return proved
    found, why_not = find_separation(problem)
    if found is not None:
        return no_optimum(found)
    return _unknown(problem, w, f"{proved.reason}; {why_not}; set l2 > 0")


def prove(problem: Problem, w: Vector) -> Optimum:
    """`w` as the optimum, with what can be proved of it: `exists` is True or None."""
    gap_bound, proof = certify(problem, w)
    if not math.isfinite(gap_bound):
        return _unknown(problem, w, f"no proof either way: l2 = {problem.l2:g} and {proof}")
    return Optimum(w, exact_sum_value(problem, w), gap_bound, exists=True, reason=proof)


def no_optimum(separation: Separation) -> Optimum:
    """For separable data, which have no optimum: `w` is the separation."""
    return Optimum(
        w=separation.w,
        f=math.nan if separation.undecided else 0.0,
        gap_bound=math.inf,
        exists=False,
        reason=separation.sentence,
    )


def contradiction(problem: Problem, optimum: Optimum) -> str | None:
    """Check all that an optimum claims by computing it anew: None, or a claim that is false.

    f must be f(w), to a few roundings. The bound proved at w must be at most twice the claimed
    one, or below what float64 resolves. If there is no optimum, w must separate the classes.
    """
    if optimum.w.shape != problem.coefficient_shape or not np.isfinite(optimum.w).all():
        return f"w must be finite and of shape {problem.coefficient_shape}"
    if optimum.exists is None:
        return None
    if optimum.exists is False:
        if problem.l2 > 0:
            return f"with l2 = {problem.l2:g} an optimum exists, separable or not"
        separation = prove_separable(problem, optimum.w)
        return None if separation else "the w that should separate the classes does not"
    f = exact_sum_value(problem, optimum.w)
    if not abs(f - optimum.f) <= _F_ROUNDINGS * _U * max(abs(f), 1e-300):
        return f"f should be {optimum.f!r}, and is {f!r} at w"
    gap_bound, proof = certify(problem, optimum.w)
    if not gap_bound <= max(2 * optimum.gap_bound, _AS_GOOD_AS_ROUNDING * f):
        return (
            f"f(w) - f* should be at most {optimum.gap_bound:.1e}, and {gap_bound:.1e} is what can "
            f"be proved ({proof})"
        )
    return None


def exact_sum_value(problem: Problem, w: Vector) -> float:
    """f(w) with terms in float64 and their sums exactly rounded: error about u |f|, for any n."""
    nll = reference_objective(problem).nll(w)
    squares = (w * w).ravel()
    return math.fsum(nll) / problem.n_samples + 0.5 * problem.l2 * math.fsum(squares)


def _unknown(problem: Problem, w: Vector, reason: str) -> Optimum:
    return Optimum(w, exact_sum_value(problem, w), math.inf, exists=None, reason=reason)
