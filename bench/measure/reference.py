"""The reference objective of a problem: float64, NumPy, the same for every score."""

from __future__ import annotations

import numpy as np

from bench.problems import Problem
from logreg_kernels.numpy_kernel import NumpyKernel, NumpyObjective


def reference_objective(problem: Problem) -> NumpyObjective:
    """f, its gradient and its Hessian on the training rows; shares the problem's X."""
    y = problem.y.astype(np.float64)
    return NumpyKernel().bind(problem.X, y, l2=problem.l2, device="cpu", dtype="float64")
