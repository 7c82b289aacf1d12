"""Bounds on the rounding errors of computed logits, gradients and values of f."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from logreg_kernels.contract import CSRMatrix

Vector = NDArray[np.floating[Any]]
Matrix = NDArray[np.floating[Any]]


def unit_roundoff(dtype: str) -> float:
    """u = 2^-24 or 2^-53: the largest relative error of one rounded operation."""
    return float(np.finfo(dtype).eps) / 2


def logit_error(
    X: Matrix | CSRMatrix, w: Vector, u: float, storage_roundoff: float = 0.0
) -> Vector:
    """Bound on the error of each computed logit, shape (n,), or (n, c) for W (c, d).

        |z^_i - z_i| <= (gamma_{d+1} + r) sum_j |x_ij w_j|,   gamma_k = k u / (1 - k u)

    For sparse X, d is the largest number of entries in a row, as adding zeros does not round.
    One operation more than d covers the rounding of X itself to the dtype. For softmax there are
    three more, as logits are taken relative to that of the label.

    Args:
        storage_roundoff: r, the relative error of X as the kernel stores it.

    Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, eq. (3.5).
    """
    terms = int(np.diff(X.indptr).max()) if isinstance(X, csr_array) else X.shape[1]
    operations = terms + (1 if w.ndim == 1 else 4)
    size = abs(X) @ np.abs(w).T
    return np.asarray(gamma(operations, u) * size + storage_roundoff * size)


def gradient_error(
    X: Matrix | CSRMatrix,
    w: Vector,
    l2: float,
    u: float,
    *,
    sum_growth: float | None = None,
    storage_roundoff: float = 0.0,
) -> Vector:
    """Bound on the error of each entry of a computed gradient, of w's shape.

        |g^_kj - g_kj| <= 1/n sum_i |x_ij| (e_i + (c + 8) u + s) + 4 u l2 |w_kj|

    e_i bounds what errors of the logits do to a residual. s = gamma_{n+2} is for the sum over rows:
    it holds for any order of summation, and is loose by a factor of about sqrt(n). (c + 8) u is
    for exp, the sum over c classes, the quotient and the products around them.

    Two classes: sigmoid has slope at most 1/4, so e_i = |z^_i - z_i| / 4. Softmax: dp_k/dz.v =
    p_k (v_k - p.v), at most p_k (1 - p_k) times the spread of v, so e_i = max_k |z^_ik - z_ik| / 2.

    Args:
        sum_growth: replaces n in s, for an estimate rather than a bound.
        storage_roundoff: relative error of X as the kernel stores it, which changes logits (see
            `logit_error`) and the products of x_ij with a residual of at most 1.
    Source: Higham (2002), eq. (3.5) for each of the two products.
    """
    n = X.shape[0]
    s = gamma(n + 2 if sum_growth is None else sum_growth, u)
    z_error = logit_error(X, w, u, storage_roundoff)
    if w.ndim == 1:
        per_row = z_error / 4 + 8 * u + s
    else:
        per_row = z_error.max(axis=1) / 2 + (w.shape[0] + 8) * u + s
    return np.asarray((per_row + storage_roundoff) @ abs(X) / n + 4 * u * l2 * np.abs(w))


def value_error(X: Matrix | CSRMatrix, w: Vector, l2: float, nll: Vector, u: float) -> float:
    """Bound on the error of f as `value_batch` of the reference computes it at w.

        |f^ - f| <= 1/n sum_i [min(1, nll_i) e_i + (c + 32 + log2 n) u nll_i]
                    + (p + 4) u l2/2 ||w||^2

    e_i, twice the largest error of the row's logits, changes nll_i by at most (1 - p_i) e_i, with
    p_i = exp(-nll_i) the probability of the label, and 1 - p_i <= min(1, nll_i). The second term
    is for exp, log1p, the sum over c classes and NumPy's pairwise sum over the rows.

    Args:
        nll: of each row at w, shape (n,).
    Source: Higham (1993), "The accuracy of floating point summation", section 3, for pairwise
        sums. NumPy adds blocks of up to 128 terms in 8 lanes, hence 16. They count twice: within
        blocks of rows, and over the blocks.
    """
    n = X.shape[0]
    z_error = logit_error(X, w, u)
    spread = 2 * (z_error if w.ndim == 1 else z_error.max(axis=1))
    n_classes = 2 if w.ndim == 1 else w.shape[0]
    rounded = (n_classes + 32 + np.log2(n)) * u
    moved = np.minimum(1.0, nll) @ spread + rounded * nll.sum()
    return float(moved / n + (w.size + 4) * u * l2 / 2 * np.vdot(w, w))


def gamma(k: float, u: float) -> float:
    """gamma_k = k u / (1 - k u), infinite where k u >= 1."""
    return k * u / (1 - k * u) if k * u < 1 else float("inf")
