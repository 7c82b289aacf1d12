"""Newton's method, over any kernel with a Hessian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, solve_triangular

from bench.optimizers.contract import OnStep, Optimizer, Shuffler, Stop
from logreg_kernels.contract import Objective

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ARMIJO = 1e-4
_SMALLEST_STEP = 1e-10


@dataclass(frozen=True)
class Newton(Optimizer):
    """Damped Newton: Hessian steps, halved until f falls enough.

        w <- w - t H(w)^-1 g(w),    t = 1, 1/2, 1/4, ...  until f falls by at least 1e-4 t nu^2,
        nu^2 = g . H^-1 g                                                (Newton decrement, squared)

    nu^2 / 2 estimates f(w) - f*. Once it is below the rounding error of f, a decrease can't be
    checked any more: a last full step is taken, and the run has converged. If the line search
    finds nothing lower before, the run ends without convergence.

    The equations are solved on the host, in float64 for every dtype of the kernel. H may be
    singular to its own rounding, as in softmax without a penalty, where f stays the same when the
    same vector is added to all classes. Then its eigenvalues below that level are raised to it.

    Source: Boyd and Vandenberghe (2004), Convex Optimization, algorithm 9.5; eigenvalue
        modification: Nocedal and Wright (2006), Numerical Optimization, section 3.4.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """See `Optimizer.needs`."""
        return ("hessian",)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        unit = float(np.finfo(objective.dtype).eps)
        w = w0
        value, grad = objective.value_and_grad(w)
        while True:
            g = _on_host(grad).ravel()
            H = _on_host(objective.hessian(w))
            step = newton_step(H, g, unit)
            decrement = float(g @ step)
            step = step.reshape(objective.coefficient_shape)
            if decrement / 2 <= 8 * unit * abs(float(value)):
                on_step(w - objective.as_coefficients(step))
                return Stop.CONVERGED
            t = 1.0
            while True:
                # t times the step on the host, where float64 is: JAX may have it switched off.
                trial = w - objective.as_coefficients(t * step)
                trial_value, grad = objective.value_and_grad(trial)
                if float(trial_value) <= float(value) - _ARMIJO * t * decrement:
                    break
                t /= 2
                if t < _SMALLEST_STEP:
                    return Stop.BUDGET
            w, value = trial, trial_value
            on_step(w)


def newton_step(H: Matrix, g: Vector, unit: float) -> Vector:
    """H^-1 g, shape (p,), by Cholesky; by eigenvalues where H is singular to rounding.

    Args:
        H: Hessian, shape (p, p), symmetric, positive semi-definite up to rounding.
        g: gradient, shape (p,).
        unit: spacing of floating-point numbers at 1 in the type that H was computed in.
    """
    smallest = len(g) * unit  # relative: H's rounding moves its eigenvalues by about this much
    try:
        L = cholesky(H, lower=True)
        if L.diagonal().min() ** 2 > smallest * H.diagonal().max():
            y = solve_triangular(L, g, lower=True)
            return np.asarray(solve_triangular(L, y, lower=True, trans="T"))
    except np.linalg.LinAlgError:
        pass  # not positive definite, to rounding
    eigenvalues, V = eigh(H)
    floor = max(smallest * eigenvalues[-1], np.finfo(np.float64).tiny)
    return np.asarray(V @ ((V.T @ g) / np.maximum(eigenvalues, floor)))


def _on_host(w: Any) -> NDArray[np.float64]:
    """Any kernel's array as float64 on the host."""
    return np.asarray(w.cpu() if hasattr(w, "cpu") else w, dtype=np.float64)
