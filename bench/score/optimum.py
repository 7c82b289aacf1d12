"""The optimum of a problem, and the proof that it is one, or that there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import linprog

from bench.measure.reference import reference_objective
from bench.measure.rounding import gamma, gradient_error, logit_error, unit_roundoff
from bench.problems import Problem

Vector = NDArray[np.floating[Any]]
Matrix = NDArray[np.floating[Any]]

_U = unit_roundoff("float64")
_MAX_NEWTON_STEPS = 200
_MAX_FEATURES = 8_000  # a Hessian of 0.5 GB, and one minute of factorisation on two cores
_ARMIJO = 1e-4


@dataclass(frozen=True)
class Optimum:
    """The reference that every score of a problem is measured against.

    Args:
        w: the minimiser, shape (d,); where `exists` is False, a w that separates the classes.
        f: f(w) in nats, summed without rounding error growth; 0, the infimum, where `exists`
            is False.
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

    For l2 > 0 f is strongly convex and an optimum exists. For l2 = 0 the classes are checked
    for separability where no proof of an optimum is found: separable data have none.
    """
    if problem.n_features > _MAX_FEATURES:
        return _unknown(
            np.zeros(problem.n_features),
            problem,
            f"{problem.n_features} features are more than Newton's method is used for here "
            f"({_MAX_FEATURES})",
        )
    w = minimise(problem)
    if problem.l2 == 0.0 and (separation := prove_separable(problem, w)) is not None:
        return separation
    certified = certify(problem, w)
    if certified.exists is None and problem.l2 == 0.0:
        separator = find_separator(problem)
        if separator is not None:
            return prove_separable(problem, separator) or certified
    return certified


def minimise(problem: Problem) -> Vector:
    """Newton's method with backtracking until the gradient stops falling.

        w <- w - t H(w)^-1 g(w),   t = 1, 1/2, 1/4, ... until f falls by 1e-4 t nu^2

    Near the optimum, where f no longer resolves the decrease, a full step is taken as long as
    it lowers the gradient's norm; the iterate of the smallest gradient is returned.

    Source: Boyd and Vandenberghe (2004), Convex Optimization, algorithm 9.5.
    """
    f = reference_objective(problem)
    w = np.zeros(problem.n_features)
    value, grad = f.value_and_grad(w)
    resolution = 8 * _U * math.sqrt(problem.n_samples)  # of f, relative, as computed
    best_w, best_norm = w, math.inf
    best_value, stalled = math.inf, 0
    for _ in range(_MAX_NEWTON_STEPS):
        norm = float(np.linalg.norm(grad))
        progress = norm < 0.5 * best_norm or value < best_value * (1 - resolution)
        stalled = 0 if progress else stalled + 1
        best_value = min(value, best_value)
        if norm < best_norm:
            best_w, best_norm = w, norm
        if norm == 0.0 or stalled >= 3:
            break
        step, decrement = _newton_step(f.hessian(w), grad)
        if not math.isfinite(decrement):
            break
        t = 1.0
        while t > 1e-12:
            trial_value, trial_grad = f.value_and_grad(w - t * step)
            if trial_value <= value - _ARMIJO * t * decrement + resolution * value:
                break
            t /= 2
        w, value, grad = w - t * step, trial_value, trial_grad
        if value < 1e-12:  # l2 = 0 and separable: f falls to 0 and w grows without bound
            return w
    return best_w


def certify(problem: Problem, w: Vector) -> Optimum:
    """Bound f(w) - f* from the data alone, rounding errors included.

    For l2 > 0, f is l2-strongly convex:

        f(w) - f* <= ||g||^2 / (2 l2)                                                      (1)

    For any l2 >= 0, |D^3 f(w)[v, v, v]| <= R ||v|| D^2 f(w)[v, v] with R = max_i ||x_i||. With
    lambda = lambda_min(H) > 0, the Newton decrement nu = ||g||_{H^-1} <= ||g|| / sqrt(lambda),
    and delta = R nu / sqrt(lambda),

        f(w) - f* <= (delta + (1 - delta) log(1 - delta)) lambda / R^2
                  <= nu^2 / (2 (1 - delta)),      and w* exists,       if delta < 1        (2)

    (integrate D^2 f(w + t v)[v, v] >= e^{-R ||v|| t} D^2 f(w)[v, v] twice along v, and minimise
    over t). In both, ||g|| and lambda are replaced by bounds that hold for the exact gradient and
    Hessian: the computed ones, widened by all that rounding may have done to them.

    Args:
        w: any point, shape (d,); the bound is useful near the minimiser.
    Returns:
        An `Optimum` with the smaller of the bounds that hold, or `exists` None if neither does.
    Source: (1) Nesterov (2004), Introductory Lectures on Convex Optimization, eq. (2.1.19);
        (2) Bach (2010), "Self-concordant analysis for logistic regression", section 2 and
        proposition 2, whose constant is looser; the form used here is that of Sun and Tran-Dinh
        (2019), "Generalized self-concordant functions", for nu = 2.
    """
    f = reference_objective(problem)
    _, grad = f.value_and_grad(w)
    rounding = gradient_error(problem.X, w, problem.l2, _U)
    grad_norm = float(np.linalg.norm(np.abs(grad) + rounding))
    bound, proof = math.inf, ""
    if problem.l2 > 0:
        bound = grad_norm**2 / (2 * problem.l2)
        proof = f"strong convexity: ||grad|| <= {grad_norm:.1e}, l2 = {problem.l2:g}"
    lambda_min = _lambda_min_bound(problem, w, f.hessian(w))
    if lambda_min > 0:
        R = float(np.sqrt((problem.X**2).sum(axis=1).max())) * (1 + 1e-12)
        nu = grad_norm / math.sqrt(lambda_min)
        delta = R * nu / math.sqrt(lambda_min)
        if delta < 1 and nu**2 / (2 * (1 - delta)) < bound:
            bound = nu**2 / (2 * (1 - delta))
            proof = (
                f"self-concordance (Bach 2010): Newton decrement <= {nu:.1e}, "
                f"lambda_min(H) >= {lambda_min:.1e}, R = {R:.3g}"
            )
    if not math.isfinite(bound):
        if lambda_min > 0:
            why = (
                f"the gradient is still {grad_norm:.1e}, too large for lambda_min {lambda_min:.1e}"
            )
        else:
            why = "the Hessian is singular to rounding (collinear columns?)"
        return _unknown(w, problem, f"no proof either way: l2 = 0 and {why}; set l2 > 0")
    return Optimum(w=w, f=exact_sum_value(problem, w), gap_bound=bound, exists=True, reason=proof)


def prove_separable(problem: Problem, w: Vector) -> Optimum | None:
    """The proof that no optimum exists, if `w` is one: every margin s_i x_i . w is positive.

    Then f(t w) -> 0 as t grows, while f > 0 everywhere: the infimum is not attained. A margin
    counts as positive only beyond its own rounding error.

    Source: Albert and Anderson (1984), "On the existence of maximum likelihood estimates in
        logistic regression models", theorem 1.
    """
    norm = float(np.linalg.norm(w))
    if norm == 0:
        return None
    direction = w / norm
    margins = (2 * problem.y - 1) * (problem.X @ direction)
    if not float((margins - logit_error(problem.X, direction, _U)).min()) > 0:
        return None
    return Optimum(
        w=direction,
        f=0.0,
        gap_bound=math.inf,
        exists=False,
        reason=(
            f"the classes are linearly separable (a unit w leaves every row a margin of "
            f"at least {margins.min():.2g}), so without a penalty there is no optimum: set l2 > 0"
        ),
    )


def find_separator(problem: Problem) -> Vector | None:
    """A w with all margins positive, by linear programming; None if there is none to be found.

    max t  subject to  s_i x_i . w >= t,  |w_j| <= 1

    Source: Konis (2007), "Linear programming algorithms for detecting separated data in binary
        logistic regression models".
    """
    sign = 2 * problem.y - 1
    d = problem.n_features
    result = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.column_stack([-sign[:, None] * problem.X, np.ones(problem.n_samples)]),
        b_ub=np.zeros(problem.n_samples),
        bounds=[(-1.0, 1.0)] * d + [(0.0, None)],
        method="highs",
    )
    return result.x[:d] if result.x is not None and result.x[d] > 0 else None


def exact_sum_value(problem: Problem, w: Vector) -> float:
    """f(w) with terms in float64 and their sums exactly rounded: error about u |f|, for any n."""
    margins = (2 * problem.y - 1) * (problem.X @ w)
    nll = np.maximum(-margins, 0) + np.log1p(np.exp(-np.abs(margins)))
    return math.fsum(nll) / problem.n_samples + 0.5 * problem.l2 * math.fsum(w * w)


def _newton_step(H: Matrix, grad: Vector) -> tuple[Vector, float]:
    """H^-1 g and nu^2 = g . H^-1 g; a singular H is shifted by rounding's own size."""
    shift = 0.0
    scale = float(np.trace(H)) / len(grad)
    for exponent in range(-15, 1):
        try:
            factor = cho_factor(H + shift * np.eye(len(grad)))
        except np.linalg.LinAlgError:
            shift = scale * 10.0**exponent
            continue
        step = cho_solve(factor, grad)
        return step, float(grad @ step)
    return grad, math.nan


def _lambda_min_bound(problem: Problem, w: Vector, H: Matrix) -> float:
    """A number that lambda_min of the exact Hessian is not below (Weyl's inequality).

    The computed H differs from the exact one by at most E entry by entry: the curvature
    p (1 - p) changes by at most |z^ - z| times itself per unit (its log has slope <= 1), and the
    product over n rows rounds by gamma_{n+2}. ||E||_2 <= ||E||_F; LAPACK's eigenvalues add
    about d u ||H||.
    """
    X, n = problem.X, problem.n_samples
    z_error = logit_error(X, w, _U)
    tail = np.exp(-np.abs(X @ w))
    curvature = tail / (1 + tail) ** 2
    relative = np.expm1(z_error) + 8 * _U + gamma(n + 2, _U)
    weighted = (np.abs(X).T * (curvature * relative)) @ np.abs(X) / n
    E = float(np.linalg.norm(weighted)) + 2 * _U * problem.l2
    eigenvalues = np.linalg.eigvalsh(H)
    return float(eigenvalues[0] - E - len(w) * 4 * _U * abs(eigenvalues[-1]))


def _unknown(w: Vector, problem: Problem, reason: str) -> Optimum:
    value = exact_sum_value(problem, w)
    return Optimum(w=w, f=value, gap_bound=math.inf, exists=None, reason=reason)
