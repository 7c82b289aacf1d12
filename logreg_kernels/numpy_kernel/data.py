"""What the NumPy objectives of two and of more classes share: the data, and no mathematics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from logreg_kernels.contract import Array, FloatMatrix, Matrix, Objective
from logreg_kernels.validation import check_coefficients

# Rows of X times models of W in one block of a batched evaluation: 2 MiB of float64 logits,
# which stay in a typical L2 cache between the two products.
_BLOCK_LOGITS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class NumpyData(Objective):
    """X in memory, and how coefficients get to it.

    Args:
        labels: 2 y - 1 for two classes, y for more; shape (n,).
    """

    X: Matrix
    labels: NDArray[Any]
    kernel: str = "numpy"

    @property
    def traffic_bytes(self) -> int:
        """X twice, and the labels."""
        return 2 * self.x_bytes + int(self.labels.nbytes)

    @property
    def x_bytes(self) -> int:
        """Bytes of X: its entries and, of CSR, their columns and the rows' starts."""
        if isinstance(self.X, csr_array):
            return sum(int(part.nbytes) for part in (self.X.data, self.X.indices, self.X.indptr))
        return int(self.X.nbytes)

    def as_coefficients(self, w: Array) -> FloatMatrix:
        """A copy of `w` in this objective's dtype."""
        return np.asarray(w, dtype=self.dtype).copy()

    def checked(self, w: Array, name: str = "w") -> FloatMatrix:
        """`w` in this objective's dtype, refused if it has another shape."""
        coefficients: FloatMatrix = np.asarray(w, dtype=self.dtype)
        check_coefficients(coefficients, self.coefficient_shape, name)
        return coefficients

    def penalty(self, W: FloatMatrix) -> FloatMatrix:
        """l2/2 ||w||^2 of each model W (k, ...), shape (k,); 0 without one, however large W is."""
        if self.l2 == 0.0:
            return np.zeros(len(W), dtype=self.dtype)
        flat = W.reshape(len(W), -1)
        return np.asarray(0.5 * self.l2 * np.einsum("kp,kp->k", flat, flat))

    def row_blocks(self, logits_per_row: int) -> list[slice]:
        """Slices over the rows whose logits stay in cache."""
        size = max(1, _BLOCK_LOGITS // logits_per_row)
        return [slice(start, start + size) for start in range(0, self.n_samples, size)]
