"""`numpy`: the reference. Plain NumPy, every formula in its numerically exact form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logreg_kernels.contract import Array, BindTimes, DType, FloatMatrix
from logreg_kernels.validation import check_coefficients, check_models, check_rows

# Rows of X times models of W in one block of a batched evaluation: 2 MiB of float64 logits,
# which stay in a typical L2 cache between the two products.
_BLOCK_LOGITS = 1 << 18


@dataclass(frozen=True)
class NumpyKernel:
    """The reference kernel; every other one is judged by it."""

    name: str = "numpy"

    def unavailable(self, device: str = "cpu") -> str | None:
        """NumPy is always there, on the CPU."""
        return None if device == "cpu" else f"NumPy computes on the CPU only, not on {device!r}"

    def bind(
        self, X: FloatMatrix, y: FloatMatrix, *, l2: float, device: str, dtype: DType
    ) -> NumpyObjective:
        """Keep the data where it is."""
        return NumpyObjective(X=X, sign=2 * y - 1, l2=l2, dtype=dtype)


@dataclass(frozen=True)
class NumpyObjective:
    """f, its gradient and its Hessian, from the margins m_i = s_i x_i.w with s_i = 2 y_i - 1.

        nll_i = softplus(-m_i) = max(-m_i, 0) + log1p(exp(-|m_i|))
        dnll_i/dz_i = sigmoid(z_i) - y_i = -s_i sigmoid(-m_i)

    Both equal the textbook forms softplus(z) - y z and sigmoid(z) - y, but they do not cancel:
    at m = 37.5 these give 5.2e-17, where the textbook forms give 0 or 7e-15.

    Source: Maechler (2012), "Accurately computing log(1 - exp(-|a|))", for log1p(exp(.)).
    Traffic: X is read twice, 2 n d itemsize bytes; NumPy has no fused product.
    """

    X: FloatMatrix
    sign: FloatMatrix
    l2: float
    dtype: DType
    kernel: str = "numpy"
    device: str = "cpu"
    bind_times: BindTimes = field(default_factory=BindTimes)

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Any, FloatMatrix]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        w = np.asarray(w, dtype=self.dtype)
        check_coefficients(w, (self.n_features,))
        X, sign = self.X, self.sign
        if rows is not None:
            rows = np.asarray(rows)
            check_rows(rows)
            X, sign = X[rows], sign[rows]
        margins = sign * (X @ w)
        tail = np.exp(-np.abs(margins))
        nll = np.maximum(-margins, 0) + np.log1p(tail)
        residual = -sign * _sigmoid_of_minus(margins, tail)
        value = nll.mean() + 0.5 * self.l2 * (w @ w)
        return value, residual @ X / X.shape[0] + self.l2 * w

    def value_batch(self, W: Array) -> FloatMatrix:
        """f at each row of W (k, d): shape (k,). The gradients' half of the work is left out."""
        W = np.asarray(W, dtype=self.dtype)
        check_models(W, self.n_features)
        values = np.zeros(W.shape[0], dtype=self.dtype)
        for X, sign in self._row_blocks(W.shape[0]):
            margins = (X @ W.T) * sign[:, None]
            nll = np.maximum(-margins, 0) + np.log1p(np.exp(-np.abs(margins)))
            values += nll.sum(axis=0)
        values /= self.n_samples
        values += 0.5 * self.l2 * np.einsum("kd,kd->k", W, W)
        return values

    def value_and_grad_batch(self, W: Array) -> tuple[FloatMatrix, FloatMatrix]:
        """f (k,) and gradients (k, d) of k models, X read twice for all of them together."""
        W = np.asarray(W, dtype=self.dtype)
        check_models(W, self.n_features)
        values = np.zeros(W.shape[0], dtype=self.dtype)
        grads = np.zeros_like(W)
        for X, sign in self._row_blocks(W.shape[0]):
            margins = (X @ W.T) * sign[:, None]
            tail = np.exp(-np.abs(margins))
            values += (np.maximum(-margins, 0) + np.log1p(tail)).sum(axis=0)
            residual = -sign[:, None] * _sigmoid_of_minus(margins, tail)
            grads += residual.T @ X
        values = values / self.n_samples + 0.5 * self.l2 * np.einsum("kd,kd->k", W, W)
        return values, grads / self.n_samples + self.l2 * W

    def hessian(self, w: Array) -> FloatMatrix:
        """H = 1/n X^T diag(p_i (1 - p_i)) X + l2 I, shape (d, d)."""
        w = np.asarray(w, dtype=self.dtype)
        check_coefficients(w, (self.n_features,))
        tail = np.exp(-np.abs(self.X @ w))
        curvature = tail / (1 + tail) ** 2  # p (1 - p), without 1 - p rounding to 0
        H: FloatMatrix = (self.X.T * curvature) @ self.X / self.n_samples
        H[np.diag_indices_from(H)] += self.l2
        return H

    def as_coefficients(self, w: Array) -> FloatMatrix:
        """A copy of `w` in this objective's dtype."""
        return np.asarray(w, dtype=self.dtype).copy()

    def as_rows(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The indices as they are."""
        return np.asarray(rows)

    def synchronize(self) -> None:
        """NumPy returns only when it is done."""

    def _row_blocks(self, n_models: int) -> list[tuple[FloatMatrix, FloatMatrix]]:
        size = max(1, _BLOCK_LOGITS // n_models)
        starts = range(0, self.n_samples, size)
        return [(self.X[i : i + size], self.sign[i : i + size]) for i in starts]


def _sigmoid_of_minus(margins: FloatMatrix, tail: FloatMatrix) -> FloatMatrix:
    """sigmoid(-m), given tail = exp(-|m|): e/(1+e) for m >= 0 and 1/(1+e) below."""
    sigmoid: FloatMatrix = np.where(margins >= 0, tail, 1) / (1 + tail)
    return sigmoid
