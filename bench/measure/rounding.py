"""How far rounding alone can move a computed gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]
Matrix = NDArray[np.floating[Any]]


def unit_roundoff(dtype: str) -> float:
    """u = 2^-24 or 2^-53: the largest relative error of one rounded operation."""
    return float(np.finfo(dtype).eps) / 2


def logit_error(X: Matrix, w: Vector, u: float) -> Vector:
    """Bound on the error of each computed z_i = x_i . w, shape (n,).

        |z^_i - z_i| <= gamma_{d+1} sum_j |x_ij w_j|,   gamma_k = k u / (1 - k u)

    One more than d operations, so that an X that was itself rounded to the dtype is covered.

    Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, eq. (3.5).
    """
    return np.asarray(gamma(X.shape[1] + 1, u) * (np.abs(X) @ np.abs(w)))


def gradient_error(
    X: Matrix, w: Vector, l2: float, u: float, *, sum_growth: float | None = None
) -> Vector:
    """Bound on the error of each entry of a computed gradient, shape (d,).

        |g^_j - g_j| <= 1/n sum_i |x_ij| (|z^_i - z_i| / 4 + 8 u + c) + 4 u l2 |w_j|

    sigmoid has slope at most 1/4 and |sigmoid(z) - y| <= 1; 8 u covers exp, the quotient and the
    products around it. `c` is gamma_{n+2} for the sum over rows: a bound for any order of
    summation, and loose by a factor of about sqrt(n).

    Args:
        sum_growth: replaces n in c, for an estimate rather than a bound.
    Source: Higham (2002), eq. (3.5) for each of the two products.
    """
    n = X.shape[0]
    scale = np.abs(X)
    c = gamma(n + 2 if sum_growth is None else sum_growth, u)
    per_row = logit_error(X, w, u) / 4 + 8 * u + c
    return np.asarray(per_row @ scale / n + 4 * u * l2 * np.abs(w))


def gamma(k: float, u: float) -> float:
    """gamma_k = k u / (1 - k u), infinite where k u >= 1."""
    return k * u / (1 - k * u) if k * u < 1 else float("inf")
