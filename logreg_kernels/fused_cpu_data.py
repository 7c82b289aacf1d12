"""What the `fused-cpu` objectives share: arguments for compiled code, and parts for threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logreg_kernels.contract import Array, FloatMatrix
from logreg_kernels.fused_cpu_threads import in_parts, n_parts
from logreg_kernels.numpy_kernel_data import NumpyData
from logreg_kernels.validation import check_coefficients, check_rows

# A part begins at a multiple of so many rows: of every block's.
_ROW_UNIT = 128


@dataclass(frozen=True, kw_only=True)
class FusedCpuData(NumpyData):
    """X in memory, in an order and of a type that the compiled passes take."""

    def copied(self, w: Array, name: str = "w") -> FloatMatrix:
        """A contiguous copy of `w`, refused if it has another shape."""
        coefficients: FloatMatrix = np.asarray(w).astype(self.dtype, order="C")
        check_coefficients(coefficients, self.coefficient_shape, name)
        return coefficients

    @staticmethod
    def copied_rows(rows: Array | None) -> NDArray[np.int64] | None:
        """Row indices for compiled code."""
        if rows is None:
            return None
        rows = np.asarray(rows)
        check_rows(rows)
        return rows.astype(np.int64)

    def n_parts(self, n_rows: int) -> int:
        """Threads that share a pass over so many rows."""
        return n_parts(n_rows * self.n_features * self.X.itemsize)

    def totals(
        self,
        shape: tuple[int, ...],
        work: Callable[[Any, int, int], Any],
        n_rows: int | None = None,
    ) -> tuple[Any, list[Any]]:
        """Sums over rows that `work(sums, start, stop)` adds to, and what it returned.

        The parts' sums are added in their order: for a given number of threads the result is
        the same to the last bit.

        Args:
            shape: of the sums, which are float64 and start at 0.
            work: called for each part of the rows, side by side.
            n_rows: positions in a list of rows; None for all rows of X.
        """
        n_rows = self.n_samples if n_rows is None else n_rows
        parts = self.n_parts(n_rows)
        size = -(-n_rows // (parts * _ROW_UNIT)) * _ROW_UNIT
        sums = np.zeros((parts, *shape))

        def part(number: int) -> Any:
            start = min(n_rows, number * size)
            return work(sums[number], start, min(n_rows, start + size))

        returned = in_parts(part, parts)
        return sums.sum(axis=0) if parts > 1 else sums[0], returned
