"""The objective of `jax`: functions of (w, X, labels, l2) that XLA compiles, and their calls.

All binds share the functions, since X is an argument. JAX keeps code for each shape and dtype.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from numpy.typing import NDArray

from logreg_kernels.contract import Array, Objective
from logreg_kernels.validation import check_coefficients, check_models, check_rows


def _loss(w: Any, X: Any, labels: Any, l2: Any) -> Any:
    """f of w (d,), by softplus(-s z), or of W (c, d), by -log_softmax(Z)[y]."""
    if w.ndim == 1:
        loss = jax.nn.softplus(-labels * (X @ w)).mean()
    else:
        log_p = jax.nn.log_softmax(X @ w.T, axis=1)
        loss = -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()
    return loss + 0.5 * jnp.vdot(l2 * w, w)


value_and_grad = jax.jit(jax.value_and_grad(_loss))


@jax.jit
def _value_and_grad_rows(w: Any, X: Any, labels: Any, l2: Any, rows: Any) -> Any:
    # By default JAX reads the nearest row in place of one that is not there.
    X = X.at[rows].get(mode="fill", fill_value=float("nan"))
    labels = labels.at[rows].get(mode="fill", fill_value=0)
    return jax.value_and_grad(_loss)(w, X, labels, l2)


@jax.jit
def _value_and_grad_batch(W: Any, X: Any, sign: Any, l2: Any) -> Any:
    def values(W: Any) -> Any:
        losses = jax.nn.softplus(-sign[:, None] * (X @ W.T)).mean(axis=0)
        each = losses + 0.5 * (l2 * W * W).sum(axis=1)
        return each.sum(), each  # the models are independent: each row's gradient is its own

    (_, each), grads = jax.value_and_grad(values, has_aux=True)(W)
    return each, grads


@jax.jit
def _hvp(w: Any, v: Any, X: Any, labels: Any, l2: Any) -> Any:
    return jax.jvp(lambda w: jax.grad(_loss)(w, X, labels, l2), (w,), (v,))[1]


@jax.jit
def _hessian(w: Any, X: Any, labels: Any, l2: Any) -> Any:
    """H_kl = 1/n X^T diag(p_k ([k = l] - p_l)) X + [k = l] l2 I, block by block."""
    W = jnp.atleast_2d(w)
    c, (n, d) = W.shape[0], X.shape
    Z = X @ W.T
    if c == 1:  # two classes: p_1, and the p_0 that has no coefficients
        Z = jnp.concatenate([Z, jnp.zeros_like(Z)], axis=1)
    P = jax.nn.softmax(Z, axis=1)
    # Not 1 - p_k, which may round to 0 where p_k (1 - p_k) does not.
    others = P @ (1 - jnp.eye(P.shape[1], dtype=P.dtype))

    def block(k: int, m: int) -> Any:
        weight = P[:, k] * (others[:, k] if k == m else -P[:, m])
        return (X.T * weight) @ X / n

    lower = {(k, m): block(k, m) for k in range(c) for m in range(k + 1)}
    rows = [
        jnp.concatenate([lower[k, m] if m <= k else lower[m, k].T for m in range(c)], axis=1)
        for k in range(c)
    ]
    return jnp.concatenate(rows) + l2 * jnp.eye(c * d, dtype=X.dtype)


@dataclass(frozen=True, kw_only=True)
class JaxObjective(Objective):
    """f and its gradient by JAX's reverse-mode differentiation, compiled for one shape of X.

    XLA compiles for shapes, and `bind` compiles what runs on all rows. A mini-batch of a new
    length, a batch of another number of models, and the first Hessian and Hessian product compile
    at that call. Each takes a tenth of a second, once in the process.

    Calls run in JAX's 64-bit mode and leave its flag as it was. While the flag is off, JAX rounds
    to float32 what a caller computes from float64 arrays and Python's numbers, with a warning.
    Such arithmetic belongs in NumPy, or inside jax.enable_x64(True).

    JAX returns before its work is done. On a CPU the call waits for it, since time stamps there
    assume that all work is done when a call returns. On CUDA `synchronize` waits.

    Accuracy: softplus(-s z) with s = 2 y - 1 keeps the tail. Its slope, exp(x - softplus(x)) in
    JAX, is off by u |x| where x >> 0. log_softmax(Z)[y] and softmax(Z) - onehot(y) cancel where
    the label is certain, as torch's do.

    Traffic: X and the labels are read twice, forward and backward: 2 n (d itemsize + bytes of a
    label).
    """

    labels: Any
    """2 y - 1 of X's type for two classes, y as int32 for more; shape (n,)."""
    penalty: Any
    """l2, 0-d."""
    place: Any
    """The device, JAX's own object."""
    outstanding: list[Any] = field(default_factory=list)
    """The result that was asked for last. A device works in the order of the calls."""

    @property
    def data(self) -> tuple[Any, Any, Any]:
        """What the functions take after the coefficients."""
        return self.X, self.labels, self.penalty

    @property
    def traffic_bytes(self) -> int:
        """X twice, and the labels."""
        return int(2 * self.X.nbytes + self.labels.nbytes)

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Array, Array]:
        """f(w) and its gradient, NaN if a row is not there; see `Objective.value_and_grad`."""
        w = self._checked(w)
        if rows is None:
            value, grad = self._done(value_and_grad, w, *self.data)
        else:
            value, grad = self._done(_value_and_grad_rows, w, *self.data, self.as_rows(rows))
        return value, grad

    def value_and_grad_batch(self, W: Array) -> tuple[Array, Array]:
        """k models in one forward and one backward pass over X."""
        if len(self.coefficient_shape) > 1:
            return super().value_and_grad_batch(W)
        W = self.as_coefficients(W)
        check_models(W, self.coefficient_shape)
        values, grads = self._done(_value_and_grad_batch, W, *self.data)
        return values, grads

    def hvp(self, w: Array, v: Array) -> Array:
        """H(w) v, forward over reverse: the derivative of the gradient along v."""
        return self._done(_hvp, self._checked(w), self._checked(v, "v"), *self.data)

    def hessian(self, w: Array) -> Array:
        """H(w) by its formula, shape (p, p)."""
        return self._done(_hessian, self._checked(w), *self.data)

    def as_coefficients(self, w: Array) -> Array:
        """`w` on this objective's device. A JAX array can't be written into, and is shared."""
        if isinstance(w, jax.Array) and w.dtype == self.dtype:
            return w
        # A copy, since JAX on a CPU may go on reading the memory that it is given.
        return self._placed(np.array(_on_host(w), dtype=self.dtype, order="C"))

    def as_rows(self, rows: NDArray[np.intp]) -> Array:
        """The indices on the device as int32, as JAX counts rows."""
        if not isinstance(rows, jax.Array):
            rows = np.asarray(_on_host(rows))
        check_rows(rows)
        if isinstance(rows, jax.Array) and rows.dtype == np.int32:
            return rows
        # Row 2^32 must not become row 0.
        limits = np.iinfo(np.int32)
        clipped = np.clip(np.asarray(rows).astype(np.int64), limits.min, limits.max)
        return self._placed(clipped.astype(np.int32))

    def synchronize(self) -> None:
        """Wait for what was asked for last."""
        jax.block_until_ready(self.outstanding)

    def _done(self, function: Callable[..., Any], *arguments: Array) -> Any:
        """Call a compiled function, and on a CPU wait for its result."""
        with x64():
            result = function(*arguments)
        self.outstanding[:] = [result]
        if self.place.platform == "cpu":
            self.synchronize()
        return result

    def _checked(self, w: Array, name: str = "w") -> Array:
        w = self.as_coefficients(w)
        check_coefficients(w, self.coefficient_shape, name)
        return w

    def _placed(self, array: NDArray[Any]) -> Array:
        with x64():
            return jax.device_put(array, self.place)


def x64() -> AbstractContextManager[Any]:
    """JAX's 64-bit mode, in this thread, as a context."""
    on: AbstractContextManager[Any]
    if hasattr(jax, "enable_x64"):
        on = jax.enable_x64(True)
    else:  # before JAX 0.8
        from jax.experimental import enable_x64

        on = enable_x64(True)
    return on


@cache
def jax_device(device: str) -> Any:
    """JAX's own object for a device in torch's words."""
    parsed = torch.device(device)
    try:
        return jax.devices(parsed.type)[parsed.index or 0]
    except (RuntimeError, IndexError) as error:
        lines = str(error).splitlines() or [""]
        raise ValueError(
            f"JAX finds no device {device!r}: {lines[0]}: use torch-autograd"
        ) from None


def _on_host(values: Array) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
