"""The minimisers of scipy.optimize, over any kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.optimizers.contract import OnStep, Optimizer, Shuffler, Stop
from logreg_kernels.contract import Objective

Vector = NDArray[np.float64]

# A run ends when its tolerance is met or its budget is spent, not after a number of iterations.
_NO_LIMIT = 2**31 - 1
# Beside value and gradient.
_NEEDS = {"newton-cg": ("hvp",), "trust-ncg": ("hvp",), "trust-exact": ("hessian",)}


@dataclass(frozen=True)
class ScipyMinimize(Optimizer):
    """scipy.optimize.minimize: quasi-Newton, Newton-CG and trust-region methods.

    scipy works in float64 on the host. Each evaluation brings w to the kernel's device and dtype,
    and the results back. The clock runs meanwhile. A step of the trace is an iteration of the
    method, including those whose step a trust region rejects.

    A run has converged when scipy reports success. For l-bfgs-b that includes an f that stays the
    same to the last digit, also of float32. A run in which the line search or trust region finds
    nothing lower has not converged, even if only rounding at the optimum is the cause.

    trust-krylov is left out: at the level of rounding it takes NaN steps.

    Args:
        method: l-bfgs-b and bfgs use gradients; newton-cg and trust-ncg use conjugate gradients
            on Hessian products; trust-exact factorises Hessians.
        tol: bound on the gradient's largest entry (l-bfgs-b, bfgs) or norm (trust-*), or on the
            mean absolute change of w (newton-cg). newton-cg also stops where its first curvature
            g.Hg is below 3 float64 units: on iris, at a relative gap of 1e-10.

    Source: Nocedal and Wright (2006), Numerical Optimization: algorithms 7.5 (l-bfgs-b, there
        without bounds), 6.1 (bfgs), 7.1 (newton-cg), 7.2 (trust-ncg) and 4.3 (trust-exact);
        Byrd, Lu, Nocedal and Zhu (1995), "A limited memory algorithm for bound constrained
        optimization".
    """

    method: Literal["l-bfgs-b", "bfgs", "newton-cg", "trust-ncg", "trust-exact"] = "l-bfgs-b"
    tol: float = 1e-9

    def __post_init__(self) -> None:
        if self.tol < 0:
            raise ValueError(f"tol must not be negative; got {self.tol:g}")

    @property
    def needs(self) -> tuple[str, ...]:
        """See `Optimizer.needs`."""
        return _NEEDS.get(self.method, ())

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""

        def coefficients(x: Vector) -> Any:
            return objective.as_coefficients(x.reshape(objective.coefficient_shape))

        def value_and_grad(x: Vector) -> tuple[float, Vector]:
            value, grad = objective.value_and_grad(coefficients(x))
            return float(value), _on_host(grad)

        def hvp(x: Vector, v: Vector) -> Vector:
            return _on_host(objective.hvp(coefficients(x), coefficients(v)))

        def hessian(x: Vector) -> Vector:
            return _on_host(objective.hessian(coefficients(x))).reshape(len(x), len(x))

        result = minimize(
            value_and_grad,
            _on_host(w0),
            jac=True,  # value and gradient come together, and scipy keeps the last pair
            hessp=hvp if "hvp" in self.needs else None,
            hess=hessian if "hessian" in self.needs else None,
            method=self.method,
            callback=lambda x: on_step(coefficients(x)),
            options=self._options(),
        )
        return Stop.CONVERGED if result.success else Stop.BUDGET

    def _options(self) -> dict[str, Any]:
        if self.method == "l-bfgs-b":
            # The default ftol, a decrease of f by 2e-9, ends short of a relative gap of 1e-10.
            return {"gtol": self.tol, "ftol": 0.0, "maxiter": _NO_LIMIT, "maxfun": _NO_LIMIT}
        return {"xtol" if self.method == "newton-cg" else "gtol": self.tol, "maxiter": _NO_LIMIT}


def _on_host(w: Any) -> Vector:
    """A copy of any kernel's array, flat, as float64 on the host."""
    return np.asarray(w.cpu() if hasattr(w, "cpu") else w).astype(np.float64).ravel()
