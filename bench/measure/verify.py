"""Compare a kernel with the reference on the data that it is timed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure.recorder import to_float64
from bench.optima.reference import reference_objective
from bench.optima.rounding import gradient_error, logit_error, unit_roundoff
from bench.problems import Problem
from logreg_kernels import Objective

# Rounding errors of a sum of n terms grow like sqrt(n), not n (Higham and Mary, 2019, "A new
# approach to probabilistic rounding error analysis"). With this factor no rounding error has
# exceeded the estimate, while a gradient that leaves out one row in a thousand does.
_SAFETY = 8.0


class KernelMismatch(Exception):  # noqa: N818 - the name says it
    """A kernel does not compute the objective; it must not be timed."""


@dataclass(frozen=True, eq=False)
class Expected:
    """Value and gradient of the float64 reference at w, and the tolerances for a dtype."""

    w: NDArray[np.float64]
    value: float
    value_tolerance: float
    grad: NDArray[Any]
    grad_tolerance: NDArray[Any]


def expected_at(
    problem: Problem, w: NDArray[Any], dtype: str, storage_roundoff: float = 0.0
) -> Expected:
    """The reference at w, rounded to the dtype, and the tolerance for kernels in that dtype.

    Args:
        storage_roundoff: relative rounding error of X, if it is stored in fewer bits than the
            dtype has.
    """
    u = unit_roundoff(dtype)
    growth = _SAFETY * np.sqrt(problem.n_samples)
    w = w.astype(dtype).astype(np.float64)
    value, grad = reference_objective(problem).value_and_grad(w)
    # nll_i changes by at most the spread of the errors of the row's logits.
    z_error = logit_error(problem.X, w, u, storage_roundoff).reshape(problem.n_samples, -1)
    spread = float(z_error.max(axis=1).mean()) * (1 if w.ndim == 1 else 2)
    return Expected(
        w=w,
        value=float(value),
        value_tolerance=spread + growth * u * max(1.0, abs(float(value))),
        grad=grad,
        grad_tolerance=gradient_error(
            problem.X, w, problem.l2, u, sum_growth=growth, storage_roundoff=storage_roundoff
        ),
    )


def expectations(problem: Problem, dtype: str, storage_roundoff: float = 0.0) -> list[Expected]:
    """What is expected at w = 0 and at a random w, with logits of size about 1."""
    rng = np.random.default_rng(0)
    size = float(np.sqrt((problem.X**2).sum(axis=1).mean()))
    scale = 1.0 / size if size > 0 else 1.0
    shape = problem.coefficient_shape
    points = (np.zeros(shape), scale * rng.standard_normal(shape))
    return [expected_at(problem, w, dtype, storage_roundoff) for w in points]


def verify(
    objective: Objective, problem: Problem, against: Sequence[Expected] | None = None
) -> None:
    """Compare value and gradient with the float64 reference.

    The tolerance covers rounding in the objective's dtype. Where X is stored in fewer bits, it
    covers that rounding as well (`storage_roundoff`).

    Args:
        against: `expectations` that several kernels on the same data share; None computes them.
    Raises:
        KernelMismatch: they differ by more.
    """
    stored = objective.storage_roundoff
    if against is None or stored:
        against = expectations(problem, objective.dtype, stored)
    for point in against:
        value, grad = objective.value_and_grad(objective.as_coefficients(point.w))
        value_error = abs(float(value) - point.value)
        if not value_error <= point.value_tolerance:
            raise KernelMismatch(_report(objective, "value", value_error, point.value_tolerance))
        error = np.abs(to_float64(grad) - point.grad)
        if not (error <= point.grad_tolerance).all():
            excess = np.nan_to_num(error - point.grad_tolerance, nan=np.inf)
            worst = np.unravel_index(int(np.argmax(excess)), error.shape)
            where = f"gradient[{', '.join(map(str, worst))}]"
            tolerance = point.grad_tolerance[worst]
            raise KernelMismatch(_report(objective, where, error[worst], tolerance))


def _report(objective: Objective, what: str, error: float, tolerance: float) -> str:
    return (
        f"kernel {objective.kernel!r} on {objective.device} in {objective.dtype} does not match "
        f"the reference: {what} is off by {error:.1e}, rounding explains {tolerance:.1e}; "
        "it was not timed"
    )
