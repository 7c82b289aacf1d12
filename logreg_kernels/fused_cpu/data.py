"""What the `fused-cpu` objectives share: X for compiled code, and parts of it for threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from logreg_kernels.contract import Array, FloatMatrix, Matrix
from logreg_kernels.fused_cpu.blocks import block_rows, block_rows_of_many
from logreg_kernels.fused_cpu.threads import in_parts, n_parts
from logreg_kernels.numpy_kernel.data import NumpyData
from logreg_kernels.torch_kernels.devices import place
from logreg_kernels.validation import check_coefficients, check_rows

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

    def block(self, n_models: int = 1) -> int:
        """Rows of a dense X at a time, for this many models, classes, or columns of a Hessian."""
        if self.is_csr:
            return 1
        return block_rows(self.X) if n_models == 1 else block_rows_of_many(self.X, n_models)

    def copied(self, w: Array, name: str = "w") -> FloatMatrix:
        """A contiguous copy of `w`, refused if it has another shape."""
        coefficients: FloatMatrix = np.asarray(w).astype(self.dtype, order="C")
        check_coefficients(coefficients, self.coefficient_shape, name)
        return coefficients

    def totals(
        self,
        shape: tuple[int, ...],
        work: Callable[[Any, int, int], Any],
        n_rows: int | None = None,
        n_models: int = 1,
    ) -> tuple[Any, list[Any]]:
        """Sums over rows that `work(sums, start, stop)` adds to, and what each call returned.

        The parts' sums are added in their order. For a given number of threads the result is the
        same to the last bit.

        Args:
            shape: of the sums, which are float64 and start at 0.
            work: called for each part of the rows, side by side.
            n_rows: length of a list of rows; None for all rows of X.
            n_models: the work for a row, as a multiple of that for one model.
        """
        parts = self.n_parts(n_rows, n_models)
        bounds = self._bounds(parts, n_rows)
        sums = np.zeros((parts, *shape))
        returned = in_parts(lambda part: work(sums[part], bounds[part], bounds[part + 1]), parts)
        return sums.sum(axis=0) if parts > 1 else sums[0], returned

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


def copied_rows(rows: Array | None) -> NDArray[np.int64] | None:
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
