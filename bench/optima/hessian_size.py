"""Which Hessians are small enough to be formed."""

from __future__ import annotations

import math

from scipy.sparse import issparse

from bench.problems import Problem

_MOST_COEFFICIENTS = 8_000  # a Hessian of 0.5 GB, and one minute of factorisation on two cores
_MOST_OF_SPARSE = 1_000  # beyond it, products with the Hessian of a sparse X take less time
_MOST_BYTES = 1 << 31


def forms_hessian(problem: Problem) -> bool:
    """Whether the optimum is computed and proved with the whole Hessian, (p, p).

    Without it, Hessian-vector products find the optimum and strong convexity proves it. That
    needs l2 > 0. At l2 = 0 a proof needs the whole Hessian.
    """
    sparse_with_penalty = issparse(problem.X) and problem.l2 > 0
    most = _MOST_OF_SPARSE if sparse_with_penalty else _MOST_COEFFICIENTS
    return math.prod(problem.coefficient_shape) <= most


def unknown_without_hessian(problem: Problem) -> str | None:
    """None, or why no optimum can be proved: it would take too large a Hessian."""
    if problem.l2 > 0 or forms_hessian(problem):
        return None
    size = math.prod(problem.coefficient_shape)
    return (
        f"{size} coefficients are more than Newton's method is used for here "
        f"({_MOST_COEFFICIENTS}), and without a penalty nothing else proves an optimum: set l2 > 0"
    )


def too_large_to_form(problem: Problem) -> str | None:
    """None, or why an optimizer that needs the whole Hessian is not run."""
    size = math.prod(problem.coefficient_shape)
    n_bytes = 8 * size**2
    if n_bytes <= _MOST_BYTES:
        return None
    return f"a Hessian of {size} x {size} takes {n_bytes / 1e9:.3g} GB: use lbfgs"
