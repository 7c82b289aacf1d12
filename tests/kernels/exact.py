"""f and its gradient by hand and to 50 digits, and how far from them a kernel may be.

Written once more, row by row, and on purpose not shared with the kernels.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits
from variants import Case, Variant, to_numpy

LOG_2 = 0.6931471805599453
TAIL = 5.175555005801869e-17  # exp(-37.5), and log(1 + exp(-37.5)) to 16 digits

# label, logit, value, gradient. log(1 + exp(37.5)) is 37.5 + TAIL.
BY_HAND = [
    (0, 0.0, LOG_2, 0.5),
    (1, 0.0, LOG_2, -0.5),
    (0, 37.5, 37.5, 1.0),
    (1, 37.5, TAIL, -TAIL),
    (0, -37.5, TAIL, TAIL),
    (1, -37.5, 37.5, -1.0),
    (0, 1000.0, 1000.0, 1.0),
    (1, 1000.0, 0.0, 0.0),
    (0, -1000.0, 0.0, 0.0),
    (1, -1000.0, 1000.0, -1.0),
    (0, 1e4, 1e4, 1.0),
    (1, 1e4, 0.0, 0.0),
    (0, -1e4, 0.0, 0.0),
    (1, -1e4, 1e4, -1.0),
]

# A kernel may lose twice what plain torch loses, and what rounding alone explains: four rounding
# errors in each logit, loss and product. Over 384 random cases, the NumPy and the Triton kernel
# needed 1.7 of these, and plain torch's gradient, which subtracts y from sigmoid(z), 4.5.
TORCH_FACTOR = 2.0
ROUNDINGS = 4.0


def exact_value_and_grad(case: Case, l2: float) -> tuple[Any, list[Any]]:
    """f = 1/n sum_i log(1 + exp(-m_i)) + l2/2 ||w||^2 and its gradient, m_i = (2 y_i - 1) x_i.w."""
    with mpmath.workdps(50):
        rows, w = _exact(case.X), _exact(case.w)
        n, penalty = len(rows), mpmath.mpf(l2)
        signs = [2 * int(label) - 1 for label in case.y]
        margins = [s * mpmath.fdot(row, w) for s, row in zip(signs, rows, strict=True)]
        losses = [mpmath.log1p(mpmath.exp(-m)) for m in margins]
        residuals = [-s / (1 + mpmath.exp(m)) for s, m in zip(signs, margins, strict=True)]
        value = mpmath.fsum(losses) / n + penalty / 2 * mpmath.fdot(w, w)
        columns = zip(*rows, strict=True)
        grad = [
            mpmath.fdot(residuals, column) / n + penalty * w_j
            for column, w_j in zip(columns, w, strict=True)
        ]
        return value, grad


def exact_hessian(case: Case, l2: float) -> list[list[Any]]:
    """H = 1/n sum_i p_i (1 - p_i) x_i x_i^T + l2 I, with p_i = 1 / (1 + exp(-x_i.w))."""
    with mpmath.workdps(50):
        rows, w = _exact(case.X), _exact(case.w)
        curvatures = []
        for row in rows:
            tail = mpmath.exp(-abs(mpmath.fdot(row, w)))
            curvatures.append(tail / (1 + tail) ** 2)
        columns = list(zip(*rows, strict=True))
        weighted = [[c * x for c, x in zip(curvatures, k, strict=True)] for k in columns]
        return [
            [
                mpmath.fdot(weighted[j], columns[k]) / len(rows) + (mpmath.mpf(l2) if j == k else 0)
                for k in range(len(w))
            ]
            for j in range(len(w))
        ]


def one_rounding(case: Case, l2: float) -> tuple[float, NDArray[np.float64]]:
    """What f and its gradient move by if every logit, loss and product is off by 1, relatively.

        value: 1/n sum_i [nll_i + |r_i| a_i] + l2/2 ||w||^2,       a_i = sum_j |x_ij w_j|
        grad:  1/n sum_i |x_ij| [|r_i| + p_i (1 - p_i) a_i] + l2 |w_j|

    Times eps, that is the error that a careful evaluation can't avoid.
    """
    X, w = case.X.astype(np.float64), case.w.astype(np.float64)
    spread = np.abs(X) @ np.abs(w)
    margins = (2 * case.y - 1) * (X @ w)
    tail = np.exp(-np.abs(margins))
    nll = np.maximum(-margins, 0) + np.log1p(tail)
    residual = np.where(margins >= 0, tail, 1) / (1 + tail)
    curvature = tail / (1 + tail) ** 2
    value = (nll + residual * spread).mean() + l2 / 2 * (w @ w)
    grad = (residual + curvature * spread) @ np.abs(X) / len(X) + l2 * np.abs(w)
    return float(value), grad


def plain_torch(case: Case, l2: float) -> tuple[Any, Any]:
    """What one writes in torch without a thought for rounding, in the case's dtype."""
    X, w = torch.tensor(case.X), torch.tensor(case.w, requires_grad=True)
    y = torch.tensor(case.y, dtype=X.dtype)
    value = binary_cross_entropy_with_logits(X @ w, y) + 0.5 * l2 * (w @ w)
    value.backward()
    return value.detach(), w.grad


def check_against_exact(variant: Variant, value: Any, grad: Any, case: Case, l2: float) -> None:
    """Assert that value and grad are as close to the truth as can be asked for in this dtype."""
    true_value, true_grad = exact_value_and_grad(case, l2)
    torch_value, torch_grad = plain_torch(case, l2)
    value_rounding, grad_rounding = one_rounding(case, l2)
    tolerance = TORCH_FACTOR * _error(torch_value, true_value)
    tolerance += ROUNDINGS * variant.eps * value_rounding
    error = _error(value, true_value)
    assert error <= tolerance, f"value {float(value)!r} is off by {error:.1e}, not {tolerance:.1e}"

    errors = [_error(g, t) for g, t in zip(to_numpy(grad), true_grad, strict=True)]
    torch_errors = [_error(g, t) for g, t in zip(to_numpy(torch_grad), true_grad, strict=True)]
    tolerances = TORCH_FACTOR * np.array(torch_errors) + ROUNDINGS * variant.eps * grad_rounding
    worst = int(np.argmax(np.array(errors) - tolerances))
    assert errors[worst] <= tolerances[worst], (
        f"gradient[{worst}] {float(grad[worst])!r} is off by {errors[worst]:.1e}, "
        f"not {tolerances[worst]:.1e}"
    )


def _exact(array: NDArray[Any]) -> list[Any]:
    exact: list[Any] = np.vectorize(mpmath.mpf, otypes=[object])(array.astype(np.float64)).tolist()
    return exact


def _error(computed: Any, exact: Any) -> float:
    with mpmath.workdps(50):
        return float(abs(mpmath.mpf(float(computed)) - exact))
