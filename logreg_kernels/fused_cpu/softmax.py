"""`fused-cpu` for more than two classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from logreg_kernels.contract import Array, FloatMatrix
from logreg_kernels.fused_cpu import csr_passes, many_passes
from logreg_kernels.fused_cpu.blocks import as_columns, padded
from logreg_kernels.fused_cpu.data import FusedCpuData, copied_rows, operand_of


@dataclass(frozen=True, kw_only=True)
class FusedCpuSoftmax(FusedCpuData):
    """f, its gradient and its Hessian; the formulas are the reference's, `NumpySoftmax`.

    Traffic: X is read once, n (d itemsize + 4) bytes, or nnz (itemsize + 4) + 12 n of CSR; the
        logits of a block stay in cache.
    """

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Any, FloatMatrix]:
        """f(W) and its gradient; see `Objective.value_and_grad`.

        Raises:
            IndexError: a row index is out of range.
        """
        W, rows = self.copied(w), copied_rows(rows)
        X, label, columns, c = self.operand, self.labels, as_columns(W), len(W)
        block, add_grad = self.block(columns.shape[1]), self._passes.add_softmax_grad
        count = None if rows is None else len(rows)
        grad, nll = self.totals(
            columns.shape,
            lambda sums, start, stop: add_grad(
                X, label, columns, c, rows, start, stop, block, sums
            ),
            count,
            n_models=c,
        )
        value = sum(nll) / (count or self.n_samples) + self.penalty(W[None].astype(np.float64))[0]
        grad = grad[:, :c].T / (count or self.n_samples) + self.l2 * W
        return W.dtype.type(value), grad.astype(self.dtype, order="C")

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(W) V, shape (c, d); X is read once."""
        W, V = self.copied(w), self.copied(v, "v")
        X, columns, v_columns, c = self.operand, as_columns(W), as_columns(V), len(W)
        block, add_hvp = self.block(columns.shape[1]), self._passes.add_softmax_hvp
        product, _ = self.totals(
            columns.shape,
            lambda sums, start, stop: add_hvp(X, columns, v_columns, c, start, stop, block, sums),
            n_models=2 * c,
        )
        product = product[:, :c].T / self.n_samples + self.l2 * V
        return np.asarray(product, dtype=self.dtype, order="C")

    def hessian(self, w: Array) -> FloatMatrix:
        """H, shape (c d, c d), with the d x d blocks 1/n X^T diag(p_k ([k = l] - p_l)) X."""
        W = self.copied(w)
        c, d = W.shape
        X, columns = self.operand, as_columns(W)
        block, add_hessian = self.block(padded(max(c, d))), self._passes.add_softmax_hessian
        sums, _ = self.totals(
            (c, c, d, padded(d)),
            lambda sums, start, stop: add_hessian(X, columns, c, start, stop, block, sums),
            n_models=c * c * d,
        )
        lower = sums[..., :d].transpose(0, 2, 1, 3).reshape(c * d, c * d) / self.n_samples
        # Blocks with l <= k are there; those on the diagonal are whole.
        class_of = np.arange(c * d) // d
        H = np.where(class_of[:, None] >= class_of[None, :], lower, lower.T)
        H[np.diag_indices(c * d)] += self.l2
        return np.asarray(H, dtype=self.dtype)

    def compile(self) -> None:
        """Call each pass on one row of X, with its first column: the Hessian may be large."""
        X = self.X[:1, :1] if self.is_csr else np.ascontiguousarray(self.X[:1, :1])
        narrow = replace(
            self,
            X=X,
            operand=operand_of(X),
            labels=np.zeros(1, dtype=np.int32),
            coefficient_shape=(3, 1),
        )
        W = np.zeros((3, 1), dtype=self.dtype)
        for rows in (None, np.zeros(1, dtype=np.int64)):
            narrow.value_and_grad(W, rows)
        narrow.hvp(W, W)
        narrow.hessian(W)

    @property
    def _passes(self) -> Any:
        return csr_passes if self.is_csr else many_passes
