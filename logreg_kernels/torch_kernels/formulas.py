"""The formulas of `numpy` in torch, for devices without the fused kernel."""

from __future__ import annotations

import torch


def plain_value_and_grad(
    w: torch.Tensor, X: torch.Tensor, labels: torch.Tensor, l2: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """f and its gradient. `NumpyBinary` and `NumpySoftmax` say what makes them exact.

    Args:
        w: shape (d,) or (c, d).  X: shape (n, d).
        labels: 2 y - 1 as int8 for w (d,), y as int32 for w (c, d); shape (n,).
    Traffic: X is read twice, 2 n d itemsize bytes.
    """
    n_samples = X.shape[0]
    if w.ndim == 1:
        sign = labels.to(w.dtype)
        margins = sign * (X @ w)
        tail = torch.exp(-margins.abs())
        losses = (-margins).clamp(min=0) + torch.log1p(tail)
        residual = -sign * torch.where(margins >= 0, tail, 1) / (1 + tail)
        grad = residual @ X
    else:
        label = labels.to(torch.int64)[:, None]
        Z = X @ w.T
        losses, P, _ = _softmax(Z - Z.gather(1, label))
        P = P.scatter(1, label, 0)
        P = P.scatter(1, label, -P.sum(dim=1, keepdim=True))
        grad = P.T @ X
    grad = grad / n_samples + l2 * w
    value = losses.mean()
    # Without a penalty, 0 times an overflown ||w||^2 must not be NaN.
    return (value + 0.5 * l2 * (w * w).sum() if l2 else value), grad


def plain_hvp(w: torch.Tensor, v: torch.Tensor, X: torch.Tensor, l2: float) -> torch.Tensor:
    """H(w) v, of w's shape."""
    if w.ndim == 1:
        tail = torch.exp(-(X @ w).abs())
        product = (tail / (1 + tail) ** 2 * (X @ v)) @ X
    else:
        _, P, top = _softmax(X @ w.T)
        U = X @ v.T
        U = U - U.gather(1, top)
        product = (P * (U - (P * U).sum(dim=1, keepdim=True))).T @ X
    return product / X.shape[0] + l2 * v


def _softmax(Z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """logsumexp (n,) and softmax (n, c) of lags Z (n, c), and the likeliest class (n, 1)."""
    lag, top = Z.max(dim=1, keepdim=True)
    E = torch.exp(Z - lag).scatter(1, top, 0)
    rest = E.sum(dim=1, keepdim=True)
    losses = (lag + torch.log1p(rest)).squeeze(1)
    return losses, E.scatter(1, top, 1) / (1 + rest), top
