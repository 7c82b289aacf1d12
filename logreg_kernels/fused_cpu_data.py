"""What the `fused-cpu` objectives share: arguments for compiled code, and parts for threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from logreg_kernels.contract import Array, FloatMatrix
from logreg_kernels.fused_cpu_threads import in_parts, n_parts
from logreg_kernels.numpy_kernel_data import NumpyData
from logreg_kernels.validation import check_coefficients, check_rows

Result = TypeVar("Result")

# A part begins at a multiple of so many rows: of every block's.
_ROW_UNIT = 128


@dataclass(frozen=True, kw_only=True)
class FusedCpuData(NumpyData):
    """X in memory, in an order and of a type that the compiled passes take."""

    def copied(self, w: Array, name: str = "w") -> FloatMatrix:
        """A contiguous copy of `w`, refused if it has another shape."""
        coefficients: FloatMatrix = np.array(w, dtype=self.dtype, order="C")
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

    def each_part(self, n_rows: int, parts: int, work: Callable[[int, int, int], Result]) -> list[Result]:
        """`work(part, start, stop)` for each part of the rows, side by side."""
        size = -(-n_rows // (parts * _ROW_UNIT)) * _ROW_UNIT
        return in_parts(
            lambda part: work(part, min(n_rows, part * size), min(n_rows, (part + 1) * size)), parts
        )

    def totals(self, shape: tuple[int, ...], work: Callable[[Any, int, int], Any]) -> tuple[Any, Any]:
        """Sums over all rows that `work(sums, start, stop)` adds to, and what it returned.

        The parts' sums are added in their order: for a given number of threads the result is
        the same to the last bit.
        """
        return self.totals_over(self.n_samples, shape, work)

    def totals_over(
        self, n_rows: int, shape: tuple[int, ...], work: Callable[[Any, int, int], Any]
    ) -> tuple[Any, Any]:
        """As `totals`, over so many positions of a list of rows."""
        parts = self.n_parts(n_rows)
        sums = np.zeros((parts, *shape))
        returned = self.each_part(n_rows, parts, lambda part, *rows: work(sums[part], *rows))
        return sums.sum(axis=0) if parts > 1 else sums[0], returned
