"""A kernel is timed only after it has matched the reference on the very data it is timed on."""

from __future__ import annotations

import numpy as np

from bench.measure.recorder import to_float64
from bench.measure.reference import reference_objective
from bench.measure.rounding import gradient_error, logit_error, unit_roundoff
from bench.problems import Problem
from logreg_kernels import Objective

# Rounding errors of a sum of n terms grow like sqrt(n), not n (Higham and Mary, 2019, "A new
# approach to probabilistic rounding error analysis"); with this factor none has been seen to
# exceed the estimate, and a gradient that leaves out one row in a thousand does.
_SAFETY = 8.0


class KernelMismatch(Exception):  # noqa: N818 - the name says it
    """A kernel does not compute the objective; it must not be timed."""


def verify(objective: Objective, problem: Problem) -> None:
    """Compare value and gradient with the float64 reference, at w = 0 and at a random w.

    The tolerance is what rounding in the objective's own dtype can explain, and, where it stores
    X in fewer bits (`storage_roundoff`), what rounding X can.

    Raises:
        KernelMismatch: they differ by more.
    """
    reference = reference_objective(problem)
    u = unit_roundoff(objective.dtype)
    stored = float(getattr(objective, "storage_roundoff", 0.0))
    growth = _SAFETY * np.sqrt(problem.n_samples)
    rng = np.random.default_rng(0)
    size = float(np.sqrt((problem.X**2).sum(axis=1).mean()))
    scale = 1.0 / size if size > 0 else 1.0  # logits of size about 1
    shape = problem.coefficient_shape
    for w in (np.zeros(shape), scale * rng.standard_normal(shape)):
        w = to_float64(objective.as_coefficients(w))  # as rounded to the objective's dtype
        value, grad = objective.value_and_grad(objective.as_coefficients(w))
        true_value, true_grad = reference.value_and_grad(w)
        value_error = abs(float(value) - float(true_value))
        # The nll moves by at most the spread of the errors of a row's logits.
        z_error = logit_error(problem.X, w, u) + stored * (np.abs(problem.X) @ np.abs(w).T)
        z_error = z_error.reshape(problem.n_samples, -1)
        spread = float(z_error.max(axis=1).mean()) * (1 if w.ndim == 1 else 2)
        value_tolerance = spread + growth * u * max(1.0, abs(float(true_value)))
        if not value_error <= value_tolerance:
            raise KernelMismatch(_report(objective, "value", value_error, value_tolerance))
        tolerance = gradient_error(
            problem.X, w, problem.l2, u, sum_growth=growth, storage_roundoff=stored
        )
        error = np.abs(to_float64(grad) - true_grad)
        if not (error <= tolerance).all():
            excess = np.nan_to_num(error - tolerance, nan=np.inf)
            worst = np.unravel_index(int(np.argmax(excess)), error.shape)
            where = f"gradient[{', '.join(map(str, worst))}]"
            raise KernelMismatch(_report(objective, where, error[worst], tolerance[worst]))


def _report(objective: Objective, what: str, error: float, tolerance: float) -> str:
    return (
        f"kernel {objective.kernel!r} on {objective.device} in {objective.dtype} does not match "
        f"the reference: {what} is off by {error:.1e}, rounding explains {tolerance:.1e}; "
        "it was not timed"
    )
