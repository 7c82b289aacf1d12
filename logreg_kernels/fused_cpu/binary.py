"""`fused-cpu` for two classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from logreg_kernels.contract import Array, FloatMatrix
from logreg_kernels.fused_cpu import binary_passes, csr_passes
from logreg_kernels.fused_cpu.blocks import as_columns, padded
from logreg_kernels.fused_cpu.data import FusedCpuData, copied_rows, operand_of
from logreg_kernels.fused_cpu.many_passes import add_batch_grads
from logreg_kernels.validation import check_models


@dataclass(frozen=True, kw_only=True)
class FusedCpuBinary(FusedCpuData):
    """f, its gradient and its Hessian; the formulas are the reference's, `NumpyBinary`.

    Sums over a few hundred rows are in X's dtype, and their totals in float64.

    Traffic: X is read once, n (d itemsize + 1) bytes, or nnz (itemsize + 4) + 9 n of CSR.
    """

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Any, FloatMatrix]:
        """f(w) and its gradient; see `Objective.value_and_grad`.

        Raises:
            IndexError: a row index is out of range.
        """
        w, rows = self.copied(w), copied_rows(rows)
        X, sign, block, add_grad = self.operand, self.labels, self.block(), self._passes.add_grad
        count = None if rows is None else len(rows)
        if self.n_parts(count) == 1:
            value, grad = self._passes.value_and_grad(X, sign, w, rows, self.l2, block)
            return w.dtype.type(value), grad
        grad, nll = self.totals(
            w.shape,
            lambda sums, start, stop: add_grad(X, sign, w, rows, start, stop, block, sums),
            count,
        )
        value = sum(nll) / (count or self.n_samples) + self.penalty(w[None].astype(np.float64))[0]
        grad = grad / (count or self.n_samples) + self.l2 * w
        return w.dtype.type(value), grad.astype(self.dtype)

    def value_and_grad_batch(self, W: Array) -> tuple[FloatMatrix, FloatMatrix]:
        """f (k,) and gradients (k, d) of k models, X read once for all of them together."""
        W = np.asarray(W).astype(self.dtype, order="C")
        check_models(W, self.coefficient_shape)
        (k, d), columns = W.shape, as_columns(W)
        block = self.block(columns.shape[1])
        add_grads = csr_passes.add_batch_grads if self.is_csr else add_batch_grads

        def add(sums: Any, start: int, stop: int) -> None:
            nll, grads = sums[:k], sums[k:].reshape(d, -1)
            add_grads(self.operand, self.labels, columns, start, stop, block, nll, grads)

        sums, _ = self.totals((k + columns.size,), add, n_models=k)
        values = sums[:k] / self.n_samples + self.penalty(W)
        grads = sums[k:].reshape(d, -1)[:, :k].T / self.n_samples + self.l2 * W
        return values.astype(self.dtype), grads.astype(self.dtype, order="C")

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(w) v = 1/n X^T (p (1 - p) X v) + l2 v, shape (d,); X is read once."""
        w, v = self.copied(w), self.copied(v, "v")
        X, block, add_hvp = self.operand, self.block(), self._passes.add_hvp
        product, _ = self.totals(
            w.shape, lambda sums, start, stop: add_hvp(X, w, v, start, stop, block, sums)
        )
        return np.asarray(product / self.n_samples + self.l2 * v, dtype=self.dtype)

    def hessian(self, w: Array) -> FloatMatrix:
        """H = 1/n X^T diag(p_i (1 - p_i)) X + l2 I, shape (d, d); X is read once."""
        w, d = self.copied(w), self.n_features
        X, block, add_hessian = self.operand, self.block(padded(d)), self._passes.add_hessian
        H, _ = self.totals(
            (d, padded(d)),
            lambda sums, start, stop: add_hessian(X, w, start, stop, block, sums),
            n_models=d,
        )
        H = H[:, :d] / self.n_samples
        H[np.diag_indices(d)] += self.l2
        return np.asarray(H, dtype=self.dtype, order="C")

    def compile(self) -> None:
        """Call each pass on one row."""
        first = replace(self, X=self.X[:1], operand=operand_of(self.X[:1]), labels=self.labels[:1])
        w = np.zeros(self.coefficient_shape, dtype=self.dtype)
        sums = np.zeros(self.n_features)
        for rows in (None, np.zeros(1, dtype=np.int64)):
            first.value_and_grad(w, rows)  # one thread's code
            self._passes.add_grad(first.operand, first.labels, w, rows, 0, 1, first.block(), sums)
        first.value_and_grad_batch(w[None])
        first.hvp(w, w)
        # One column's Hessian: the whole one may not fit into memory.
        X = self.X[:1, :1] if self.is_csr else np.ascontiguousarray(self.X[:1, :1])
        narrow = replace(first, X=X, operand=operand_of(X), coefficient_shape=(1,))
        narrow.hessian(w[:1])

    @property
    def _passes(self) -> Any:
        return csr_passes if self.is_csr else binary_passes
