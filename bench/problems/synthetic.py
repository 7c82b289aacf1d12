"""Synthetic problems of any size, with a condition number that is exact."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from bench.problems.problem import Labels, Matrix, Problem

_MOST_BYTES = 1 << 40
_SIGNAL = 2.0  # standard deviation of the true logits: labels neither random nor separable


def synthetic(
    n: int = 20_000,
    d: int = 100,
    cond: float = 100.0,
    noise: float = 0.05,
    seed: int = 0,
    l2: float = 1e-4,
) -> Problem:
    """X of exact condition number, labels drawn from a logistic model and partly flipped.

        X = sqrt(n) U diag(s) V^T,  s_1^2 / s_d^2 = cond = cond(X^T X),  sum_j s_j^2 = d
        P(y_i = 1) = sigmoid(z_i), z_i ~ N(0, 4), spread evenly over all d directions;
        then each label is flipped with probability `noise`

    U and V are random with orthonormal columns. Directions of small variance carry as much signal
    as those of large variance, so that a large `cond` makes the problem hard. Labels drawn from a
    model overlap: for n well above d the data are not separable, even at noise = 0.

    Args:
        n: training rows, n >= d; n // 4 test rows are drawn from the same model.
        d: features.
        cond: condition number of X^T X, >= 1.
        noise: probability that a label is flipped, in [0, 0.5).
        seed: of numpy.random.default_rng.
        l2: penalty >= 0.
    Raises:
        ValueError: a parameter is out of range.
    """
    if d < 1 or n < d or n < 2:
        raise ValueError(f"needs n >= d >= 1 and n >= 2; got n={n}, d={d}")
    if 8 * n * d > _MOST_BYTES:
        raise ValueError(f"X of {n:.3g} x {d} is too large for memory: use a lower n or d")
    if not 1 <= cond < np.inf:
        raise ValueError(f"cond must be >= 1; got {cond:g}")
    if not 0 <= noise < 0.5:
        raise ValueError(f"noise must be in [0, 0.5); got {noise:g}")
    if seed < 0:
        raise ValueError(f"seed must be >= 0; got {seed}")
    rng = np.random.default_rng(seed)
    U = np.sqrt(n) * np.linalg.qr(rng.standard_normal((n, d)))[0]
    U_test = rng.standard_normal((max(1, n // 4), d))
    V = np.linalg.qr(rng.standard_normal((d, d)))[0]
    s = np.geomspace(1.0, 1.0 / np.sqrt(cond), d)
    s *= np.sqrt(d / (s @ s))
    direction = rng.standard_normal(d)
    direction *= _SIGNAL / np.linalg.norm(direction)
    y, y_test = (_labels(rows @ direction, noise, rng) for rows in (U, U_test))
    name = f"synthetic:n={n},d={d},cond={cond:g},noise={noise:g},seed={seed}"
    return Problem(name, (U * s) @ V.T, y, l2, X_test=(U_test * s) @ V.T, y_test=y_test)


def _labels(logits: Matrix, noise: float, rng: np.random.Generator) -> Labels:
    y = rng.random(logits.size) < expit(logits)
    flipped = rng.random(logits.size) < noise
    labels: Labels = (y ^ flipped).astype(np.intp)
    return labels
