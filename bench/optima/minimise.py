"""Minimise f to rounding level, for a point whose gap to f* can be proved to be small."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from bench.optima.coordinates import coordinates
from bench.optima.hessian_size import forms_hessian
from bench.optima.reference import reference_objective
from bench.optima.rounding import Matrix, Vector, unit_roundoff
from bench.problems import Problem

_U = unit_roundoff("float64")
_MAX_NEWTON_STEPS = 200
_ARMIJO = 1e-4
_MOST_PRODUCTS = 10_000


def minimise(problem: Problem) -> Vector:
    """Newton's method with backtracking until the gradient stops falling.

        v <- v - t H(w)^-1 g(w),   t = 1, 1/2, 1/4, ... until f falls by 1e-4 t nu^2

    in the coordinates w = B v. Near the optimum float64 no longer resolves the decrease of f.
    There a full step is taken as long as it lowers the gradient's norm. The iterate of the
    smallest gradient is returned.

    At l2 = 0 a w with f(w) < log(2) / n is returned at once: every nll_i is below log 2, so every
    label has p > 1/2 and w separates the classes. There is no optimum then.

    Where the Hessian is too large to be formed, `newton_cg_step` solves for the step.

    Source: Boyd and Vandenberghe (2004), Convex Optimization, algorithm 9.5.
    """
    f = reference_objective(problem)
    basis = coordinates(problem)
    with_hessian = forms_hessian(problem)
    w = np.zeros(basis.shape)
    if basis.size == 0:
        return w
    value, grad = f.value_and_grad(w)
    resolution = 8 * _U * math.sqrt(problem.n_samples)  # estimate of f's relative error
    best_w, best_norm = w, math.inf
    best_value, stalled = math.inf, 0
    for _ in range(_MAX_NEWTON_STEPS):
        reduced = basis.reduce(grad)
        norm = float(np.linalg.norm(reduced))
        progress = norm < 0.5 * best_norm or value < best_value * (1 - resolution)
        stalled = 0 if progress else stalled + 1
        best_value = min(value, best_value)
        if norm < best_norm:
            best_w, best_norm = w, norm
        if norm == 0.0 or stalled >= 3:
            break
        if with_hessian:
            step, decrement = _newton_step(basis.reduce_hessian(f.hessian(w)), reduced)
        else:  # l2 > 0, and then the coordinates are those of w
            step, decrement = newton_cg_step(partial(_product, f, w), reduced)
        if not math.isfinite(decrement):
            break
        direction = basis.expand(step)
        t = 1.0
        while t > 1e-12:
            trial_value, trial_grad = f.value_and_grad(w - t * direction)
            if trial_value <= value - _ARMIJO * t * decrement + resolution * value:
                break
            t /= 2
        w, value, grad = w - t * direction, trial_value, trial_grad
        if problem.l2 == 0.0 and value < 0.9 * math.log(2) / problem.n_samples:
            return w
    return best_w


def _product(f: Any, w: Vector, v: Vector) -> Vector:
    """H(w) v, with v and the result flat."""
    return np.asarray(f.hvp(w, v.reshape(w.shape))).ravel()


def _newton_step(H: Matrix, grad: Vector) -> tuple[Vector, float]:
    """H^-1 g and nu^2 = g . H^-1 g; a singular H has a small multiple of I added."""
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


def newton_cg_step(product: Callable[[Vector], Vector], grad: Vector) -> tuple[Vector, float]:
    """An approximate solution s of H s = g by conjugate gradients, and nu^2 = g . s.

    The iteration stops where the residual is below min(0.1, sqrt(||g||)) ||g||, so that Newton's
    method converges faster than linearly, or after 10,000 products. Wherever it stops, f falls
    along -s if H is positive definite. Here H is at least l2 I.

    Args:
        product: v -> H v.  grad: g, of any shape.
    Source: Nocedal and Wright (2006), Numerical Optimization, algorithm 7.1.
    """
    step = np.zeros_like(grad)
    residual = grad.copy()
    direction = residual.copy()
    squared = float(np.vdot(residual, residual))
    norm = math.sqrt(squared)
    enough = (min(0.1, math.sqrt(norm)) * norm) ** 2
    for _ in range(_MOST_PRODUCTS):
        if squared <= enough:
            break
        Hd = product(direction)
        curvature = float(np.vdot(direction, Hd))
        if not curvature > 0:  # rounding, or a w that is not finite
            break
        length = squared / curvature
        step += length * direction
        residual -= length * Hd
        before, squared = squared, float(np.vdot(residual, residual))
        direction = residual + squared / before * direction
    return step, float(np.vdot(grad, step))
