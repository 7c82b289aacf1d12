"""Bounds on f(w) - f* from the data alone, rounding errors included."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bench.optima.coordinates import Coordinates, coordinates
from bench.optima.hessian_size import forms_hessian
from bench.optima.reference import reference_objective
from bench.optima.rounding import Matrix, Vector, gamma, gradient_error, logit_error, unit_roundoff
from bench.problems import Problem
from logreg_kernels.numpy_kernel.objective import weighted_gram

_U = unit_roundoff("float64")


class Certificate(NamedTuple):
    """A proved bound on f(w) - f*, infinite where nothing is proved.

    Args:
        gap_bound: in nats.
        proof: how it is proved, or what is missing, in words.
    """

    gap_bound: float
    proof: str


def certify(problem: Problem, w: Vector) -> Certificate:
    """Bound f(w) - f* at any w; useful near the minimiser.

    For l2 > 0, f is l2-strongly convex:

        f(w) - f* <= ||g||^2 / (2 l2)                                                      (1)

    For any l2 >= 0, |D^3 f(w)[v, v, v]| <= R ||v|| D^2 f(w)[v, v], with R = max_i ||x_i|| for
    two classes, and R = sqrt(2) max_i ||x_i|| for softmax. For softmax the third derivative is the
    third central moment, under p_i, of the logits u = V x_i. It is at most their variance times
    their spread, and their spread is at most sqrt(2) ||x_i|| ||V||. With lambda =
    lambda_min(H) > 0, the Newton decrement nu = ||g||_{H^-1} <= ||g|| / sqrt(lambda), and
    delta = R nu / sqrt(lambda),

        f(w) - f* <= (delta + (1 - delta) log(1 - delta)) lambda / R^2
                  <= nu^2 / (2 (1 - delta)),      and w* exists,       if delta < 1        (2)

    (integrate D^2 f(w + t v)[v, v] >= e^{-R ||v|| t} D^2 f(w)[v, v] twice along v, and minimise
    over t). Here ||g|| and lambda are the computed values, widened by bounds on their
    rounding errors. So the result holds for the exact gradient and Hessian.

    At l2 = 0, (2) is applied on the subspace of `coordinates`. f is constant along the other
    directions, so a minimiser on the subspace is one everywhere. Where H is too large to be
    formed, only (1) is used.

    Returns:
        The smaller of the bounds that hold.
    Source: (1) Nesterov (2004), Introductory Lectures on Convex Optimization, eq. (2.1.19);
        (2) Bach (2010), "Self-concordant analysis for logistic regression", section 2 and
        proposition 2, whose constant is looser; the form used here is that of Sun and Tran-Dinh
        (2019), "Generalized self-concordant functions", for nu = 2.
    """
    f = reference_objective(problem)
    basis = coordinates(problem)
    if basis.size == 0:
        return Certificate(0.0, f"f is constant: it does not depend on {basis.removed}")
    _, grad = f.value_and_grad(w)
    rounding = gradient_error(problem.X, w, problem.l2, _U)
    # The exact gradient has no part outside the subspace, so its whole norm bounds the part inside.
    grad_norm = float(np.linalg.norm(np.abs(grad) + rounding))
    bound, proof = math.inf, ""
    if problem.l2 > 0:
        bound = grad_norm**2 / (2 * problem.l2)
        proof = f"strong convexity: ||grad|| <= {grad_norm:.1e}, l2 = {problem.l2:g}"
    if not forms_hessian(problem):
        return Certificate(bound, proof or "H too large to be formed")
    lambda_min = _lambda_min_bound(problem, w, f.hessian(w), basis)
    if lambda_min > 0:
        longest = float(np.sqrt((problem.X**2).sum(axis=1).max())) * (1 + 1e-12)
        R = longest if w.ndim == 1 else math.sqrt(2) * longest
        nu = grad_norm / math.sqrt(lambda_min)
        delta = R * nu / math.sqrt(lambda_min)
        if delta < 1 and nu**2 / (2 * (1 - delta)) < bound:
            bound = nu**2 / (2 * (1 - delta))
            proof = (
                f"self-concordance (Bach 2010): Newton decrement <= {nu:.1e}, "
                f"lambda_min(H) >= {lambda_min:.1e}, R = {R:.3g}"
            )
            if basis.removed:
                proof += f"; f does not depend on {basis.removed}"
    if math.isfinite(bound):
        return Certificate(bound, proof)
    if lambda_min > 0:
        why = f"the gradient is still {grad_norm:.1e}, too large for lambda_min {lambda_min:.1e}"
    else:
        why = "the Hessian is singular to rounding (collinear columns?)"
    return Certificate(math.inf, why)


def _lambda_min_bound(problem: Problem, w: Vector, H: Matrix, basis: Coordinates) -> float:
    """A lower bound on lambda_min of the exact Hessian in `basis`, by Weyl's inequality.

    The entries of the computed H differ from the exact ones by at most E. If the logits are off
    by at most e, p (1 - p) changes by a factor of at most exp(e), as its log has slope <= 1.
    p_k ([k = l] - p_l) changes by at most exp(4 e), as log p_k and log sum_{j != k} p_j change by
    at most 2 e each. The product over n rows adds a rounding error of gamma_{n+2}. ||E||_2 is at
    most ||E||_F. LAPACK's eigenvalues and the change of basis add about p u ||H||.

    For softmax, sum_kl |p_k ([k = l] - p_l)| <= 2 in each row. The blocks of E are not negative,
    so ||E||_F is at most that of their sum, a d x d matrix with weights 2.
    """
    X, n = problem.X, problem.n_samples
    size_x = abs(X)
    z_error = logit_error(X, w, _U).reshape(n, -1).max(axis=1)
    if w.ndim == 1:
        tail = np.exp(-np.abs(X @ w))
        weight, change, operations = tail / (1 + tail) ** 2, np.expm1(z_error), 8
    else:
        weight, change, operations = np.full(n, 2.0), np.expm1(4 * z_error), w.shape[0] + 8
    relative = change + operations * _U + gamma(n + 2, _U)
    E = float(np.linalg.norm(weighted_gram(size_x, weight * relative) / n))
    E += 2 * _U * problem.l2
    reduced = basis.reduce_hessian(H)
    eigenvalues = np.linalg.eigvalsh(reduced)
    return float(eigenvalues[0] - E - (len(reduced) + 2 * w.size) * 4 * _U * abs(eigenvalues[-1]))
