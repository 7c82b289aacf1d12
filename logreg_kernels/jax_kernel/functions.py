"""The mathematics of `jax`: pure functions of (w, X, labels, l2), compiled by jax.jit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def functions_for(dimensions: int) -> dict[str, Callable[..., Any]]:
    """The compiled functions for w (d,) or W (c, d), by name. JAX is loaded here.

    All binds share them, since X is an argument. JAX keeps code for each shape and dtype.

        value_and_grad(w, X, labels, l2)              f and its gradient
        value_and_grad_rows(w, X, labels, l2, rows)   over these rows, NaN if one is not there
        value_and_grad_batch(W, X, labels, l2)        f (k,) and gradients (k, d), two classes
        hvp(w, v, X, labels, l2)                      H(w) v
        hessian(w, X, labels, l2)                     H(w), shape (p, p)
    """
    import jax
    import jax.numpy as jnp

    def binary(w: Any, X: Any, sign: Any, l2: Any) -> Any:
        """1/n sum_i softplus(-s_i z_i) + l2/2 ||w||^2."""
        loss = jax.nn.softplus(-sign * (X @ w)).mean()
        return loss + 0.5 * jnp.vdot(l2 * w, w)

    def softmax(W: Any, X: Any, y: Any, l2: Any) -> Any:
        """-1/n sum_i log_softmax(Z_i)[y_i] + l2/2 ||W||^2."""
        log_p = jax.nn.log_softmax(X @ W.T, axis=1)
        loss = -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()
        return loss + 0.5 * jnp.vdot(l2 * W, W)

    f = binary if dimensions == 1 else softmax
    value_and_grad = jax.value_and_grad(f)

    def value_and_grad_rows(w: Any, X: Any, labels: Any, l2: Any, rows: Any) -> Any:
        # By default JAX reads the nearest row in place of one that is not there.
        X = X.at[rows].get(mode="fill", fill_value=float("nan"))
        labels = labels.at[rows].get(mode="fill", fill_value=0)
        return value_and_grad(w, X, labels, l2)

    def values(W: Any, X: Any, sign: Any, l2: Any) -> Any:
        losses = jax.nn.softplus(-sign[:, None] * (X @ W.T)).mean(axis=0)
        each = losses + 0.5 * (l2 * W * W).sum(axis=1)
        return each.sum(), each  # the models are independent: each row's gradient is its own

    def value_and_grad_batch(W: Any, X: Any, sign: Any, l2: Any) -> Any:
        (_, each), grads = jax.value_and_grad(values, has_aux=True)(W, X, sign, l2)
        return each, grads

    def hvp(w: Any, v: Any, X: Any, labels: Any, l2: Any) -> Any:
        return jax.jvp(lambda w: jax.grad(f)(w, X, labels, l2), (w,), (v,))[1]

    def hessian(w: Any, X: Any, labels: Any, l2: Any) -> Any:
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

    return {
        "value_and_grad": jax.jit(value_and_grad),
        "value_and_grad_rows": jax.jit(value_and_grad_rows),
        "value_and_grad_batch": jax.jit(value_and_grad_batch),
        "hvp": jax.jit(hvp),
        "hessian": jax.jit(hessian),
    }
