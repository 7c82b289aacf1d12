"""The reference objective of a problem: float64, NumPy, the same for every score."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bench.optima.rounding import unit_roundoff, value_error
from bench.problems import Problem
from logreg_kernels.numpy_kernel.kernel import NumpyKernel
from logreg_kernels.numpy_kernel.objective import NumpyBinary, NumpySoftmax


def reference_objective(problem: Problem) -> NumpyBinary | NumpySoftmax:
    """f, its gradient and its Hessian on the training rows; shares the problem's X."""
    return NumpyKernel().bind(problem.X, problem.y, l2=problem.l2, device="cpu", dtype="float64")


def evaluation_error(problem: Problem, w: NDArray[Any]) -> float:
    """Bound on the rounding error of f as the reference computes it at w."""
    nll = reference_objective(problem).nll(w)
    return value_error(problem.X, w, problem.l2, nll, unit_roundoff("float64"))
