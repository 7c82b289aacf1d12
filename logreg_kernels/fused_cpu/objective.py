"""The objectives of `fused-cpu`: X for compiled code, and its parts for threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from logreg_kernels.contract import Array, FloatMatrix, Matrix
from logreg_kernels.fused_cpu import csr_passes, dense_passes
from logreg_kernels.fused_cpu.blocks import as_columns, block_rows, block_rows_of_many, padded
from logreg_kernels.fused_cpu.threads import in_parts, n_parts
from logreg_kernels.numpy_kernel.objective import NumpyData
from logreg_kernels.torch_kernels.devices import place
from logreg_kernels.validation import check_coefficients, check_models, check_rows

# A part of a dense X begins at a multiple of this, which is one of every block's rows.
_ROW_UNIT = 128


@dataclass(frozen=True, kw_only=True)
class FusedCpuData(NumpyData):
    """X in memory, dense or CSR, and how its rows get to compiled code."""

    operand: Any
    """X as the compiled passes take it: see `operand_of`."""

    @property
    def traffic_bytes(self) -> int:
        """X once, and the labels."""
        return self.x_bytes + int(self.labels.nbytes)

    @property
    def is_csr(self) -> bool:
        """Whether X is sparse."""
        return isinstance(self.X, csr_array)

    @property
    def passes(self) -> Any:
        """The module of compiled passes over such an X. Both have the same functions."""
        return csr_passes if self.is_csr else dense_passes

    def block(self, n_columns: int = 1) -> int:
        """Rows of a dense X at a time, for this many models, classes, or columns of a Hessian."""
        if self.is_csr:
            return 1
        return block_rows(self.X) if n_columns == 1 else block_rows_of_many(self.X, n_columns)

    def copied(self, w: Array, name: str = "w") -> FloatMatrix:
        """A contiguous copy of `w`, refused if it has another shape."""
        coefficients: FloatMatrix = np.asarray(w).astype(self.dtype, order="C")
        check_coefficients(coefficients, self.coefficient_shape, name)
        return coefficients

    def totals(
        self,
        shape: tuple[int, ...],
        add: Callable[..., Any],
        *arguments: Any,
        n_rows: int | None = None,
        n_models: int = 1,
        n_columns: int = 1,
    ) -> tuple[Any, list[Any]]:
        """Sums over rows, by a compiled pass over each part of them, and what each pass returned.

        The parts' sums are added in their order. For a given number of threads the result is the
        same to the last bit.

        Args:
            shape: of the sums, which are float64 and start at 0.
            add: called as add(operand, *arguments, start, stop, block, sums), side by side.
            n_rows: length of a list of rows; None for all rows of X.
            n_models: the work for a row, as a multiple of that for one model.
            n_columns: what the length of a block depends on; see `block`.
        """
        parts = self.n_parts(n_rows, n_models)
        bounds, block = self._bounds(parts, n_rows), self.block(n_columns)
        sums = np.zeros((parts, *shape))

        def work(part: int) -> Any:
            return add(self.operand, *arguments, *bounds[part : part + 2], block, sums[part])

        returned = in_parts(work, parts)
        return sums.sum(axis=0) if parts > 1 else sums[0], returned

    def compile(self) -> None:
        """Call each pass on one row of X, with its first column: the Hessian may be large."""
        X = self.X[:1, :1] if self.is_csr else np.ascontiguousarray(self.X[:1, :1])
        labels, shape = np.zeros_like(self.labels[:1]), (3, 1)[-len(self.coefficient_shape) :]
        narrow = replace(self, X=X, operand=operand_of(X), labels=labels, coefficient_shape=shape)
        w = np.zeros(shape, dtype=self.dtype)
        for rows in (None, np.zeros(1, dtype=np.int64)):
            narrow.value_and_grad(w, rows)
            if len(shape) == 1:  # above, one thread's code has run
                narrow.totals(shape, self.passes.add_grad, labels, w, rows)
        narrow.hvp(w, w)
        narrow.hessian(w)
        if len(shape) == 1:
            narrow.value_and_grad_batch(w[None])

    def n_parts(self, n_rows: int | None, n_models: int = 1) -> int:
        """Threads that share a pass over this many rows; arguments as in `totals`."""
        share = 1.0 if n_rows is None else n_rows / self.n_samples
        return n_parts(int(share * self.x_bytes * n_models))

    def _bounds(self, parts: int, n_rows: int | None) -> list[int]:
        """Where each part of the rows starts, and where the last one ends."""
        if n_rows is None and self.is_csr:  # as many entries for each
            starts = self.operand[2]
            wanted = np.arange(parts) * (starts[-1] / parts)
            return [*np.searchsorted(starts[:-1], wanted).tolist(), self.n_samples]
        n_rows = self.n_samples if n_rows is None else n_rows
        size = -(-n_rows // (parts * _ROW_UNIT)) * _ROW_UNIT
        return [min(n_rows, part * size) for part in range(parts + 1)]


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
        w, rows = self.copied(w), _copied_rows(rows)
        n_rows = None if rows is None else len(rows)
        if self.n_parts(n_rows) == 1:
            value, grad = self.passes.value_and_grad(
                self.operand, self.labels, w, rows, self.l2, self.block()
            )
            return w.dtype.type(value), grad
        grad, nll = self.totals(w.shape, self.passes.add_grad, self.labels, w, rows, n_rows=n_rows)
        count = n_rows or self.n_samples
        value = sum(nll) / count + self.penalty(w[None].astype(np.float64))[0]
        return w.dtype.type(value), (grad / count + self.l2 * w).astype(self.dtype)

    def value_and_grad_batch(self, W: Array) -> tuple[FloatMatrix, FloatMatrix]:
        """f (k,) and gradients (k, d) of k models, X read once for all of them together."""
        W = np.asarray(W).astype(self.dtype, order="C")
        check_models(W, self.coefficient_shape)
        (k, d), columns = W.shape, as_columns(W)

        def add(*arguments: Any) -> None:
            *first, sums = arguments
            self.passes.add_batch_grads(*first, sums[:k], sums[k:].reshape(d, -1))

        sums, _ = self.totals(
            (k + columns.size,),
            add,
            self.labels,
            columns,
            n_models=k,
            n_columns=columns.shape[1],
        )
        values = sums[:k] / self.n_samples + self.penalty(W)
        grads = sums[k:].reshape(d, -1)[:, :k].T / self.n_samples + self.l2 * W
        return values.astype(self.dtype), grads.astype(self.dtype, order="C")

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(w) v = 1/n X^T (p (1 - p) X v) + l2 v, shape (d,); X is read once."""
        w, v = self.copied(w), self.copied(v, "v")
        product, _ = self.totals(w.shape, self.passes.add_hvp, w, v)
        return np.asarray(product / self.n_samples + self.l2 * v, dtype=self.dtype)

    def hessian(self, w: Array) -> FloatMatrix:
        """H = 1/n X^T diag(p_i (1 - p_i)) X + l2 I, shape (d, d); X is read once."""
        w, d = self.copied(w), self.n_features
        H, _ = self.totals(
            (d, padded(d)), self.passes.add_hessian, w, n_models=d, n_columns=padded(d)
        )
        H = H[:, :d] / self.n_samples
        H[np.diag_indices(d)] += self.l2
        return np.asarray(H, dtype=self.dtype, order="C")


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
        W, rows = self.copied(w), _copied_rows(rows)
        columns, c = as_columns(W), len(W)
        n_rows = None if rows is None else len(rows)
        grad, nll = self.totals(
            columns.shape,
            self.passes.add_softmax_grad,
            self.labels,
            columns,
            c,
            rows,
            n_rows=n_rows,
            n_models=c,
            n_columns=columns.shape[1],
        )
        count = n_rows or self.n_samples
        value = sum(nll) / count + self.penalty(W[None].astype(np.float64))[0]
        grad = grad[:, :c].T / count + self.l2 * W
        return W.dtype.type(value), grad.astype(self.dtype, order="C")

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(W) V, shape (c, d); X is read once."""
        W, V = self.copied(w), self.copied(v, "v")
        columns, c = as_columns(W), len(W)
        product, _ = self.totals(
            columns.shape,
            self.passes.add_softmax_hvp,
            columns,
            as_columns(V),
            c,
            n_models=2 * c,
            n_columns=columns.shape[1],
        )
        product = product[:, :c].T / self.n_samples + self.l2 * V
        return np.asarray(product, dtype=self.dtype, order="C")

    def hessian(self, w: Array) -> FloatMatrix:
        """H, shape (c d, c d), with the d x d blocks 1/n X^T diag(p_k ([k = l] - p_l)) X."""
        W = self.copied(w)
        c, d = W.shape
        sums, _ = self.totals(
            (c, c, d, padded(d)),
            self.passes.add_softmax_hessian,
            as_columns(W),
            c,
            n_models=c * c * d,
            n_columns=padded(max(c, d)),
        )
        lower = sums[..., :d].transpose(0, 2, 1, 3).reshape(c * d, c * d) / self.n_samples
        # Blocks with l <= k are there; those on the diagonal are whole.
        class_of = np.arange(c * d) // d
        H = np.where(class_of[:, None] >= class_of[None, :], lower, lower.T)
        H[np.diag_indices(c * d)] += self.l2
        return np.asarray(H, dtype=self.dtype)


def _copied_rows(rows: Array | None) -> NDArray[np.int64] | None:
    """Row indices for compiled code."""
    if rows is None:
        return None
    rows = np.asarray(rows)
    check_rows(rows)
    return np.asarray(rows.astype(np.int64))


def operand_of(X: Matrix) -> Any:
    """X for compiled code: an array (n, d), or the values, columns and row starts of CSR.

    It shares the memory of X, except for the row starts. Columns are unsigned, since compiled code
    checks whether a signed index counts from the end.
    """
    if not isinstance(X, csr_array):
        return _writable(X)
    unsigned = np.uint32 if X.indices.dtype.itemsize == 4 else np.uint64
    return (
        _writable(X.data),
        _writable(X.indices).view(unsigned),
        X.indptr.astype(np.int64),
    )


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    """A writable array on the same memory. Nothing writes into it.

    A read-only array is another type to Numba, and the passes would be compiled once more.
    """
    aligned = np.require(array, requirements=["C", "A"])
    return aligned if aligned.flags.writeable else np.asarray(place(aligned, "cpu").numpy())
