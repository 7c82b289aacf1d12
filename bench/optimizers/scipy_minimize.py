"""The minimisers of scipy.optimize, over any kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.optimizers.contract import OnStep, Optimizer, Shuffler, Stop
from logreg_kernels.contract import Objective

# The run is over when its tolerance is met or its budget is spent, not after so many iterations.
_NO_LIMIT = 2**31 - 1

# What a method asks of the objective beside value and gradient.
_NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "newton-cg": ("hvp",),
        "trust-ncg": ("hvp",),
        "trust-exact": ("hessian",),
    }
)


@dataclass(frozen=True)
class ScipyMinimize(Optimizer):
    """scipy.optimize.minimize: quasi-Newton, Newton-CG and trust-region methods.

    scipy works in float64 on the host. Each evaluation brings w to the kernel's device and dtype,
    and value, gradient or product back, as it does for whoever uses scipy with such a kernel. A
    step of the trace is an iteration of the method, be it one that a trust region rejects.

    It has converged when scipy reports success; for l-bfgs-b that may be an f that stays the same
    to the last digit, of float32 too. A line search or trust region that finds nothing lower is
    the end of the run without convergence, even if that is for want of digits at the optimum.

    Left out is trust-krylov, which at rounding level goes on with NaN for steps.

    Args:
        method: l-bfgs-b and bfgs use gradients, newton-cg and trust-ncg Hessian products in
            conjugate gradients, trust-exact factorised Hessians.
        tol: the gradient's largest entry (l-bfgs-b, bfgs) or norm (trust-*) that is small enough;
            for newton-cg, the mean absolute change of w. newton-cg also ends where its first
            curvature g.Hg is below 3 float64 units: on iris, at a relative gap of 1e-10.

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
        oracle = _HostOracle(objective)
        derivatives: dict[str, Any] = {}
        if "hvp" in self.needs:
            derivatives["hessp"] = oracle.hvp
        if "hessian" in self.needs:
            derivatives["hess"] = oracle.hessian
        result = minimize(
            oracle.value_and_grad,
            _on_host(w0),
            jac=True,  # value and gradient come together, and scipy keeps the last pair
            method=self.method,
            callback=lambda x: on_step(oracle.coefficients(x)),
            options=self._options(),
            **derivatives,
        )
        return Stop.CONVERGED if result.success else Stop.BUDGET

    def _options(self) -> dict[str, Any]:
        if self.method == "l-bfgs-b":
            # The default ftol, a decrease of f by 2e-9, ends short of a relative gap of 1e-10.
            return {"gtol": self.tol, "ftol": 0.0, "maxiter": _NO_LIMIT, "maxfun": _NO_LIMIT}
        return {"xtol" if self.method == "newton-cg" else "gtol": self.tol, "maxiter": _NO_LIMIT}


@dataclass(frozen=True)
class _HostOracle:
    """The objective as scipy calls it: from and to flat float64 arrays on the host."""

    objective: Objective

    def coefficients(self, x: NDArray[np.float64]) -> Any:
        """x (p,) as the kernel's own w (d,) or (c, d)."""
        return self.objective.as_coefficients(x.reshape(self.objective.coefficient_shape))

    def value_and_grad(self, x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, grad = self.objective.value_and_grad(self.coefficients(x))
        return float(value), _on_host(grad)

    def hvp(self, x: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        w, v = self.coefficients(x), self.coefficients(v)
        return _on_host(self.objective.hvp(w, v))

    def hessian(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        H = self.objective.hessian(self.coefficients(x))
        return _on_host(H).reshape(len(x), len(x))


def _on_host(w: Any) -> NDArray[np.float64]:
    """A copy of any kernel's array, flat, as float64 on the host."""
    return np.asarray(w.cpu() if hasattr(w, "cpu") else w).astype(np.float64).ravel()
