"""`nll`: the objective as a differentiable torch function, which computes its gradient, too.

>>> import torch
>>> from logreg_kernels import nll
>>> w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
>>> loss = nll(w, torch.eye(2, dtype=torch.float64), torch.tensor([0, 1]), l2=0.1)
>>> loss.backward()
>>> w.grad.tolist()
[0.25, -0.25]
"""

from __future__ import annotations

import functools
import math
from typing import Any, TypeAlias

import torch

from logreg_kernels.contract import DType
from logreg_kernels.fused_cuda.kernel import FusedCuda, objective_of
from logreg_kernels.fused_cuda.launch import max_coefficients, max_features
from logreg_kernels.torch_kernels.formulas import plain_hvp, plain_value_and_grad
from logreg_kernels.validation import check_label_values

Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]

_DTYPES: dict[torch.dtype, DType] = {torch.float32: "float32", torch.float64: "float64"}


def nll(
    w: torch.Tensor,
    X: torch.Tensor,
    y: torch.Tensor,
    l2: float = 0.0,
    *,
    prepared: bool = False,
) -> torch.Tensor:
    """Mean NLL with penalty, differentiable in w. Value and gradient take one pass over X.

        f(w) = 1/n sum_i [softplus(z_i) - y_i z_i] + l2/2 ||w||^2,        z = X w
        f(W) = 1/n sum_i [logsumexp(Z_i) - Z_i[y_i]] + l2/2 ||W||^2,      Z = X W^T

    `backward()` multiplies the gradient that the forward pass has left. The second derivative is a
    product with the Hessian, one pass over X. A third one is refused. `nll` may stand inside
    `torch.compile(fullgraph=True)`, and in a CUDA graph after one call that compiles it: nothing
    waits for the device, and all memory comes from torch's allocator.

    On a CUDA device this is `fused-cuda`. Elsewhere, and for sizes that `fused-cuda` does not take,
    it is the same formulas in torch, which reads X twice.

    Args:
        w: coefficients, shape (d,) for two classes, (c, d) for c > 2; float32 or float64.
        X: design matrix, shape (n, d), row-contiguous, of w's dtype and device.
        y: labels in {0, 1}, or in {0, ..., c - 1}, shape (n,), of any integer or float dtype or
            bool. Every call converts and checks them, which reads and writes n entries a few
            times. For X of few columns it pays to do that once, by `prepare_labels`.
        l2: penalty >= 0.
        prepared: y is what `prepare_labels` returned.
    Returns:
        value: 0-d, nats. Value and gradient are NaN if a label is out of its range: to raise an
            error, the device would have to be waited for. Prepared labels are not checked.
    Raises:
        TypeError: an argument is no tensor.
        ValueError: shapes, dtypes or devices disagree, X is not row-contiguous, or X or y
            requires a gradient.
    Traffic: n (d itemsize + 1) bytes for two classes, n (d itemsize + 4) for more, and the labels'
        conversion. `backward` moves d or c d entries.
    """
    _check(w, X, y, l2)
    if prepared:
        expected = torch.int8 if w.ndim == 1 else torch.int32
        if y.dtype != expected:
            raise ValueError(
                f"prepared labels must be {expected}; got {y.dtype}: pass what prepare_labels "
                "returned for this number of classes"
            )
        value, _ = _value_and_grad(w, X, y, float(l2))
        return value  # type: ignore[no-any-return]
    n_classes = 2 if w.ndim == 1 else w.shape[0]
    labels = y.to(torch.int32)
    known = (labels == y) & (labels >= 0) & (labels < n_classes)
    labels = torch.where(known, labels, 0)
    if w.ndim == 1:
        labels = (2 * labels - 1).to(torch.int8)
    value, _ = _value_and_grad(w, X, labels, float(l2))
    return value * torch.where(known.all(), 1.0, math.nan).to(w.dtype)  # type: ignore[no-any-return]


def prepare_labels(y: torch.Tensor, n_classes: int = 2) -> torch.Tensor:
    """Labels as the device code reads them: 2 y - 1 as int8 for two classes, else y as int32.

    It checks the labels, and so waits for the device.

    Args:
        y: labels in {0, ..., n_classes - 1}, shape (n,).
    Raises:
        TypeError: y is no tensor of real numbers.  ValueError: other labels.
    """
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"y must be a torch tensor; got {type(y).__name__}")
    checked = check_label_values(y, y.numel(), n_classes=n_classes)
    labels = torch.from_numpy(checked)
    labels = (2 * labels - 1).to(torch.int8) if n_classes == 2 else labels.to(torch.int32)
    return labels.to(y.device)


def _check(w: torch.Tensor, X: torch.Tensor, y: torch.Tensor, l2: float) -> None:
    for name, tensor in (("w", w), ("X", X), ("y", y)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch tensor; got {type(tensor).__name__}")
        if name != "w" and tensor.requires_grad:
            raise ValueError(
                f"nll is differentiable in w only, and {name} requires a gradient: "
                f"pass {name}.detach()"
            )
        if tensor.device != w.device:
            raise ValueError(f"{name} is on {tensor.device}, w on {w.device}: move one of them")
    if w.dtype not in _DTYPES or X.dtype != w.dtype:
        raise ValueError(
            f"w and X must both be float32 or float64; got {w.dtype} and {X.dtype}: convert one"
        )
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must have shape (n, d), n and d >= 1; got {tuple(X.shape)}")
    if not X.is_contiguous():
        raise ValueError("X must be row-contiguous: call X.contiguous() once, outside of nll")
    n, d = X.shape
    if w.ndim not in (1, 2) or w.shape[-1] != d or (w.ndim == 2 and w.shape[0] < 3):
        raise ValueError(
            f"w must have shape ({d},) for two classes, (c, {d}) for c > 2; got {tuple(w.shape)}"
        )
    if y.shape != (n,):
        raise ValueError(f"y must have one label per row of X, shape ({n},); got {tuple(y.shape)}")
    if not 0.0 <= l2 < math.inf:
        raise ValueError(f"l2 must be finite and >= 0; got {l2!r}")


# --- the operators, as torch's dispatcher knows them ------------------------------------------


@torch.library.custom_op(
    "logreg_kernels::value_and_grad",
    mutates_args=(),
    schema="(Tensor w, Tensor X, Tensor labels, float l2) -> (Tensor, Tensor)",
)
def _value_and_grad(w: torch.Tensor, X: torch.Tensor, labels: torch.Tensor, l2: float) -> Pair:
    """f and its gradient, of labels as `prepare_labels` returns them."""
    if not _fused(w, X):
        return plain_value_and_grad(w, X, labels, l2)
    return objective_of(X, labels, l2, _DTYPES[w.dtype], tuple(w.shape)).value_and_grad(w)


@torch.library.custom_op(
    "logreg_kernels::hvp",
    mutates_args=(),
    schema="(Tensor w, Tensor v, Tensor X, Tensor labels, float l2) -> Tensor",
)
def _hvp(
    w: torch.Tensor, v: torch.Tensor, X: torch.Tensor, labels: torch.Tensor, l2: float
) -> torch.Tensor:
    """H(w) v."""
    if not _fused(w, X):
        return plain_hvp(w, v, X, l2)
    return objective_of(X, labels, l2, _DTYPES[w.dtype], tuple(w.shape)).hvp(w, v)


@_value_and_grad.register_fake
def _(w: torch.Tensor, X: torch.Tensor, labels: torch.Tensor, l2: float) -> Pair:
    return w.new_empty(()), w.new_empty(w.shape)


@_hvp.register_fake
def _(
    w: torch.Tensor, v: torch.Tensor, X: torch.Tensor, labels: torch.Tensor, l2: float
) -> torch.Tensor:
    return w.new_empty(w.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
    w, X, labels, ctx.l2 = inputs
    ctx.set_materialize_grads(False)  # or each backward would compute a product with the Hessian
    ctx.save_for_backward(w, X, labels, output[1])


def _backward(
    ctx: Any, of_value: torch.Tensor | None, of_grad: torch.Tensor | None
) -> tuple[torch.Tensor | None, None, None, None]:
    w, X, labels, grad = ctx.saved_tensors
    total = None if of_value is None else of_value * grad
    if of_grad is not None:
        product = _hvp(w, of_grad, X, labels, ctx.l2)
        total = product if total is None else total + product
    return total, None, None, None


_value_and_grad.register_autograd(_backward, setup_context=_setup_context)


def _fused(w: torch.Tensor, X: torch.Tensor) -> bool:
    dtype = _DTYPES[w.dtype]
    fits = X.shape[1] <= max_features(dtype) and w.numel() <= max_coefficients(dtype)
    return fits and _runs_fused(str(X.device))


@functools.cache
def _runs_fused(device: str) -> bool:
    return FusedCuda().unavailable(device) is None
