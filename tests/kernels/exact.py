"""f and its gradient by hand and to 50 digits, and how far from them a kernel may be.

Written once more, row by row, and on purpose not shared with the kernels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
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

# logits, label, value, gradient. exp(-37.5) is TAIL, and log(3) has these digits.
BY_HAND_SOFTMAX = [
    ((0.0, 0.0, 0.0), 0, 1.0986122886681098, (-2 / 3, 1 / 3, 1 / 3)),
    ((1e4, 1e4, 1e4), 2, 1.0986122886681098, (1 / 3, 1 / 3, -2 / 3)),
    ((1e4, 0.0, 1e4), 0, LOG_2, (-0.5, 0.0, 0.5)),
    ((37.5, 0.0, 0.0), 0, 2 * TAIL, (-2 * TAIL, TAIL, TAIL)),
    ((0.0, 0.0, 37.5), 2, 2 * TAIL, (TAIL, TAIL, -2 * TAIL)),
    ((37.5, 0.0, 0.0), 1, 37.5, (1.0, -1.0, TAIL)),
    ((0.0, 37.5, -1e4), 2, 10037.5, (TAIL, 1.0, -1.0)),
    ((1e4, 10037.5, -1e4), 1, TAIL, (TAIL, -TAIL, 0.0)),
    ((-1e4, -10037.5, -3e4), 0, TAIL, (-TAIL, TAIL, 0.0)),
    ((1e4, 0.0, -1e4), 0, 0.0, (0.0, 0.0, 0.0)),
    ((1e4, 0.0, -1e4), 1, 1e4, (1.0, -1.0, 0.0)),
    ((1e4, 0.0, -1e4), 2, 2e4, (1.0, 0.0, -1.0)),
    ((2.0**60, 0.0, -(2.0**60)), 2, 2.0**61, (1.0, 0.0, -1.0)),
    ((-(2.0**60), 2.0**60, 0.0), 1, 0.0, (0.0, 0.0, 0.0)),
]

# A kernel may lose twice what plain torch loses, and what rounding alone explains: four rounding
# errors in each logit, loss and product, or what `Variant.roundings` says. Over 384 random cases,
# the NumPy and the Triton kernel needed 1.7 of these, and plain torch's gradient, which subtracts
# y from sigmoid(z), 4.5.
TORCH_FACTOR = 2.0


@lru_cache(maxsize=16)
def exact_value_and_grad(case: Case, l2: float) -> tuple[Any, Any]:
    """f and its gradient, an array of w's shape, from the lags L_k = z_k - z_y behind the label.

    nll_i = log1p(S),   r_k = exp(L_k) / (1 + S),   r_y = -S / (1 + S),   S = sum_{k != y} exp(L_k)
    """
    with mpmath.workdps(50):
        penalty = mpmath.mpf(l2)
        losses, residuals = [], []
        for z, label in zip(_exact_logits(case), case.y, strict=True):
            terms = [mpmath.exp(z_k - z[label]) for z_k in z]
            terms[label] = mpmath.mpf(0)
            others = mpmath.fsum(terms)
            losses.append(mpmath.log1p(others))
            terms[label] = -others
            residuals.append([term / (1 + others) for term in terms])
        w = _exact(case.w)
        value = mpmath.fsum(losses) / len(losses) + penalty / 2 * mpmath.fdot(w.flat, w.flat)
        residuals_of_w = list(zip(*residuals, strict=True))[-len(np.atleast_2d(w)) :]
        columns = _exact(case.X).T.tolist()
        sums = [[mpmath.fdot(r, column) for column in columns] for r in residuals_of_w]
        return value, np.reshape(sums, w.shape) / len(losses) + penalty * w


@lru_cache(maxsize=16)
def exact_hessian(case: Case, l2: float) -> Any:
    """H, an array (p, p), with blocks H_kl = 1/n sum_i p_k ([k = l] - p_l) x_i x_i^T + l2 I."""
    with mpmath.workdps(50):
        columns = _exact(case.X).T.tolist()
        d = len(columns)
        probabilities = []
        for z in _exact_logits(case):
            terms = [mpmath.exp(z_k - max(z)) for z_k in z]
            probabilities.append([term / mpmath.fsum(terms) for term in terms])
        P = list(zip(*probabilities, strict=True))
        first = 1 if case.w.ndim == 1 else 0  # class 0 of two has no coefficients
        H = np.empty((len(P), d, len(P), d), dtype=object)
        for k, j in np.ndindex(len(P), d):
            for m, i in np.ndindex(len(P), d):
                terms = (
                    p * ((1 if k == m else 0) - q) * x * v
                    for p, q, x, v in zip(P[k], P[m], columns[j], columns[i], strict=True)
                )
                H[k, j, m, i] = mpmath.fsum(terms) / len(case.X)
        H = H[first:, :, first:, :].reshape(case.w.size, case.w.size)
        return H + mpmath.mpf(l2) * np.eye(case.w.size, dtype=int)


def logits_and_spread(case: Case) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Z (n, c) in float64, and sum_j |x_ij w_kj|, beside it; class 0 of two has logits 0."""
    X, w = case.X.astype(np.float64), case.w.astype(np.float64)
    W = np.stack([np.zeros_like(w), w]) if w.ndim == 1 else w
    return X @ W.T, np.abs(X) @ np.abs(W).T


def probabilities(Z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P = softmax(Z) row by row, and 1 - P, as the sum of the others."""
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    return P, P @ (1 - np.eye(Z.shape[1]))


def one_rounding(case: Case, l2: float) -> tuple[float, NDArray[np.float64]]:
    """What f and its gradient move by if every logit, loss and product is off by 1, relatively.

        value: 1/n sum_i [nll_i + sum_k |r_ik| a_ik] + l2/2 ||w||^2,       a_ik = sum_j |x_ij w_kj|
        grad:  1/n sum_i |x_ij| [|r_ik| + sum_l |dr_ik/dz_il| a_il] + l2 |w_kj|

    Times eps, that is the error that a careful evaluation can't avoid.
    """
    Z, spread = logits_and_spread(case)
    P, others = probabilities(Z)
    row = np.arange(len(Z))
    residual = P.copy()
    residual[row, case.y] = others[row, case.y]
    top = Z.argmax(axis=1)
    tails = np.exp(Z - Z[row, top][:, None])
    tails[row, top] = 0
    nll = Z[row, top] - Z[row, case.y] + np.log1p(tails.sum(axis=1))
    moved = residual + P * others * spread + P * ((P * spread) @ (1 - np.eye(P.shape[1])))
    squares = float((case.w.astype(np.float64) ** 2).sum())
    value = (nll + (residual * spread).sum(axis=1)).mean() + l2 / 2 * squares
    grad = moved.T @ np.abs(case.X.astype(np.float64)) / len(Z)
    grad = grad[1] if case.w.ndim == 1 else grad
    return float(value), grad + l2 * np.abs(case.w.astype(np.float64))


def plain_torch(case: Case, l2: float) -> tuple[Any, Any]:
    """What one writes in torch without a thought for rounding, in the case's dtype."""
    X, w = torch.tensor(case.X), torch.tensor(case.w, requires_grad=True)
    if w.ndim == 1:
        loss = binary_cross_entropy_with_logits(X @ w, torch.tensor(case.y, dtype=X.dtype))
    else:
        loss = cross_entropy(X @ w.T, torch.tensor(case.y))
    value = loss + 0.5 * l2 * (w.flatten() @ w.flatten())
    value.backward()
    return value.detach(), w.grad


def check_against_exact(variant: Variant, value: Any, grad: Any, case: Case, l2: float) -> None:
    """Assert that value and grad are as close to the truth as can be asked for in this dtype."""
    true_value, true_grad = exact_value_and_grad(case, l2)
    torch_value, torch_grad = plain_torch(case, l2)
    value_rounding, grad_rounding = one_rounding(case, l2)
    tolerance = TORCH_FACTOR * _error(torch_value, true_value)
    tolerance += variant.roundings * variant.eps * value_rounding + variant.cancelled
    error = _error(value, true_value)
    assert error <= tolerance, f"value {float(value)!r} is off by {error:.1e}, not {tolerance:.1e}"

    errors, torch_errors = _errors(grad, true_grad), _errors(torch_grad, true_grad)
    tolerances = TORCH_FACTOR * torch_errors + variant.roundings * variant.eps * grad_rounding
    tolerances += variant.cancelled * np.abs(case.X.astype(np.float64)).mean(axis=0)
    worst = np.unravel_index(np.argmax(errors - tolerances), errors.shape)
    assert errors[worst] <= tolerances[worst], (
        f"gradient{[int(i) for i in worst]} {float(grad[worst])!r} is off by {errors[worst]:.1e}, "
        f"not {tolerances[worst]:.1e}"
    )


def assert_same_but_rounding(
    variant: Variant, case: Case, got: tuple[Any, Any], expected: tuple[Any, Any], l2: float = 0.1
) -> None:
    """Two evaluations of the same f and gradient, in another order of summation."""
    value_rounding, grad_rounding = one_rounding(case, l2)
    value_error = abs(float(got[0]) - float(expected[0]))
    grad_error = np.abs(to_numpy(got[1]) - to_numpy(expected[1]))
    assert value_error <= 8 * variant.eps * value_rounding
    assert (grad_error <= 8 * variant.eps * grad_rounding).all()


def _exact_logits(case: Case) -> list[list[Any]]:
    """Row by row, all classes; with two classes class 0's logit is 0."""
    W = [row.tolist() for row in np.atleast_2d(_exact(case.w))]
    first = [mpmath.mpf(0)] if case.w.ndim == 1 else []
    rows = _exact(case.X).tolist()
    return [first + [mpmath.fdot(row, w_k) for w_k in W] for row in rows]


def _exact(array: NDArray[Any]) -> NDArray[Any]:
    exact: NDArray[Any] = np.vectorize(mpmath.mpf, otypes=[object])(array.astype(np.float64))
    return exact


def _error(computed: Any, exact: Any) -> float:
    with mpmath.workdps(50):
        return float(abs(mpmath.mpf(float(computed)) - exact))


def _errors(computed: Any, exact: NDArray[Any]) -> NDArray[np.float64]:
    computed = to_numpy(computed)
    assert computed.shape == exact.shape
    return np.reshape(
        [_error(g, t) for g, t in zip(computed.flat, exact.flat, strict=True)], exact.shape
    )
