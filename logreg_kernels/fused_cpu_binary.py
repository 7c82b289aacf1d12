"""`fused-cpu` for two classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logreg_kernels import fused_cpu_binary_passes as passes
from logreg_kernels.contract import Array, FloatMatrix
from logreg_kernels.fused_cpu_blocks import as_columns, block_rows, block_rows_of_many, padded
from logreg_kernels.fused_cpu_data import FusedCpuData
from logreg_kernels.fused_cpu_many_passes import add_batch_grads
from logreg_kernels.validation import check_models


@dataclass(frozen=True, kw_only=True)
class FusedCpuBinary(FusedCpuData):
    """f, its gradient and its Hessian; the formulas are the reference's, `NumpyBinary`.

    Sums over rows are those of a block in X's dtype, and float64 beyond.

    Traffic: X is read once, n (d itemsize + 1) bytes.
    """

    sign: NDArray[np.int8]

    @property
    def traffic_bytes(self) -> int:
        """X once, and a sign a row."""
        return self.X.nbytes + self.sign.nbytes

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Any, FloatMatrix]:
        """f(w) and its gradient; see `Objective.value_and_grad`.

        Raises:
            IndexError: a row index is out of range.
        """
        X, sign, w, rows = self.X, self.sign, self.copied(w), self.copied_rows(rows)
        block = block_rows(X)
        count = len(X) if rows is None else len(rows)
        if self.n_parts(count) == 1:
            value, grad = passes.value_and_grad(X, sign, w, rows, self.l2, block)
            return self.X.dtype.type(value), grad
        grad, nll = self.totals(
            w.shape,
            lambda sums, start, stop: passes.add_grad(X, sign, w, rows, start, stop, block, sums),
            count,
        )
        return self._mean(sum(nll), grad, w, count)

    def value_and_grad_batch(self, W: Array) -> tuple[FloatMatrix, FloatMatrix]:
        """f (k,) and gradients (k, d) of k models, X read once for all of them together."""
        W = np.asarray(W).astype(self.dtype, order="C")
        check_models(W, self.coefficient_shape)
        k, d = W.shape
        columns, block = as_columns(W), block_rows_of_many(self.X, len(W))

        def add(sums: Any, start: int, stop: int) -> None:
            nll, grads = sums[:k], sums[k:].reshape(d, -1)
            add_batch_grads(self.X, self.sign, columns, start, stop, block, nll, grads)

        sums, _ = self.totals((k + columns.size,), add)
        values = sums[:k] / self.n_samples + self.penalty(W)
        grads = sums[k:].reshape(d, -1)[:, :k].T / self.n_samples + self.l2 * W
        return values.astype(self.dtype), grads.astype(self.dtype)

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(w) v = 1/n X^T (p (1 - p) X v) + l2 v, shape (d,); X is read once."""
        w, v = self.copied(w), self.copied(v, "v")
        block = block_rows(self.X)
        product, _ = self.totals(
            w.shape,
            lambda sums, start, stop: passes.add_hvp(self.X, w, v, start, stop, block, sums),
        )
        return np.asarray(product / self.n_samples + self.l2 * v, dtype=self.dtype)

    def hessian(self, w: Array) -> FloatMatrix:
        """H = 1/n X^T diag(p_i (1 - p_i)) X + l2 I, shape (d, d); X is read once."""
        w, d = self.copied(w), self.n_features
        block = block_rows_of_many(self.X, d)
        H, _ = self.totals(
            (d, padded(d)),
            lambda sums, start, stop: passes.add_hessian(self.X, w, start, stop, block, sums),
        )
        H = H[:, :d] / self.n_samples
        H[np.diag_indices(d)] += self.l2
        return np.asarray(H, dtype=self.dtype)

    def compile(self) -> None:
        """Call each pass on one row, both with one thread's code and with several threads'."""
        first = replace(self, X=self.X[:1], sign=self.sign[:1])
        w = np.zeros(self.coefficient_shape, dtype=self.dtype)
        sums = np.zeros(self.n_features)
        for rows in (None, np.zeros(1, dtype=np.int64)):
            first.value_and_grad(w, rows)
            passes.add_grad(first.X, first.sign, w, rows, 0, 1, 8, sums)
        first.value_and_grad_batch(w[None])
        first.hvp(w, w)
        # One column of the Hessian, as the whole may not fit into memory.
        narrow = replace(first, X=np.ascontiguousarray(first.X[:, :1]), coefficient_shape=(1,))
        narrow.hessian(w[:1])

    def _mean(
        self, nll: float, grad: NDArray[np.float64], w: FloatMatrix, count: int
    ) -> tuple[Any, FloatMatrix]:
        """Value and gradient in X's dtype, from their sums over `count` rows."""
        wide = w.astype(np.float64)
        ridge = 0.5 * self.l2 * float(wide @ wide) if self.l2 > 0 else 0.0
        value = self.X.dtype.type(nll / count + ridge)
        return value, (grad / count + self.l2 * wide).astype(self.dtype)
