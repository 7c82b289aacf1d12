"""`fused-cpu` for more than two classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logreg_kernels import fused_cpu_many_passes as passes
from logreg_kernels.contract import Array, FloatMatrix
from logreg_kernels.fused_cpu_blocks import as_columns, block_rows_of_many, padded
from logreg_kernels.fused_cpu_data import FusedCpuData
from logreg_kernels.validation import check_models


@dataclass(frozen=True, kw_only=True)
class FusedCpuSoftmax(FusedCpuData):
    """f, its gradient and its Hessian; the formulas are the reference's, `NumpySoftmax`.

    Traffic: X is read once, n (d itemsize + 4) bytes; the logits of a block stay in cache.
    """

    label: NDArray[np.int32]

    @property
    def traffic_bytes(self) -> int:
        """X once, and a label a row."""
        return self.X.nbytes + self.label.nbytes

    @property
    def _block(self) -> int:
        return block_rows_of_many(self.X, self.coefficient_shape[0])

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Any, FloatMatrix]:
        """f(W) and its gradient; see `Objective.value_and_grad`.

        Raises:
            IndexError: a row index is out of range.
        """
        W, rows = self.copied(w), self.copied_rows(rows)
        columns = as_columns(W)
        count = self.n_samples if rows is None else len(rows)
        grad, nll = self.totals(
            columns.shape,
            lambda sums, start, stop: passes.add_softmax_grad(
                self.X, self.label, columns, len(W), rows, start, stop, self._block, sums
            ),
            count,
        )
        wide = W.astype(np.float64).reshape(-1)
        ridge = 0.5 * self.l2 * float(wide @ wide) if self.l2 > 0 else 0.0
        value = self.X.dtype.type(sum(nll) / count + ridge)
        return value, (grad[:, : len(W)].T / count + self.l2 * W).astype(self.dtype, order="C")

    def value_and_grad_batch(self, W: Array) -> tuple[FloatMatrix, FloatMatrix]:
        """Refused: batches are for two classes."""
        check_models(np.asarray(W), self.coefficient_shape)
        raise AssertionError("check_models refuses more than two classes")

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(W) V, shape (c, d); X is read once."""
        W, V = self.copied(w), self.copied(v, "v")
        columns, v_columns = as_columns(W), as_columns(V)
        product, _ = self.totals(
            columns.shape,
            lambda sums, start, stop: passes.add_softmax_hvp(
                self.X, columns, v_columns, len(W), start, stop, self._block, sums
            ),
        )
        return np.asarray(
            product[:, : len(W)].T / self.n_samples + self.l2 * V, dtype=self.dtype, order="C"
        )

    def hessian(self, w: Array) -> FloatMatrix:
        """H, shape (c d, c d), with the d x d blocks 1/n X^T diag(p_k ([k = l] - p_l)) X."""
        W = self.copied(w)
        c, d = W.shape
        columns = as_columns(W)
        sums, _ = self.totals(
            (c, c, d, padded(d)),
            lambda sums, start, stop: passes.add_softmax_hessian(
                self.X, columns, c, start, stop, self._block, sums
            ),
        )
        lower = sums[..., :d].transpose(0, 2, 1, 3).reshape(c * d, c * d) / self.n_samples
        # Blocks with l <= k are there; those on the diagonal are whole.
        block = np.arange(c * d) // d
        H = np.where(block[:, None] >= block[None, :], lower, lower.T)
        H[np.diag_indices(c * d)] += self.l2
        return np.asarray(H, dtype=self.dtype)

    def compile(self) -> None:
        """Call each pass on one row, with two columns of X: the whole Hessian may be too large."""
        X = np.ascontiguousarray(self.X[:1, :2])
        shape = (self.coefficient_shape[0], X.shape[1])
        first = replace(self, X=X, label=self.label[:1], coefficient_shape=shape)
        W = np.zeros(shape, dtype=self.dtype)
        for rows in (None, np.zeros(1, dtype=np.int64)):
            first.value_and_grad(W, rows)
        first.hvp(W, W)
        small = replace(first, label=np.zeros(1, dtype=np.int32), coefficient_shape=(3, X.shape[1]))
        small.hessian(W[:3])
