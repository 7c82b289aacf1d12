"""What the passes of `fused-cpu` share: blocks of rows, their sums, and rows by index."""

# Numba types the arguments of compiled functions itself.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from logreg_kernels.contract import FloatMatrix
from logreg_kernels.fused_cpu.compile import inlined

# After this many rows the sums in X's dtype are added to those in float64. Their rounding errors
# then don't grow with n, and the additions cost little.
FLUSH_ROWS = 512
# Coefficients of models or classes are padded to a multiple of this: whole vectors on any machine.
_PADDING = 16
_BLOCK_BYTES_OF_MANY = 1 << 17
# How far ahead rows are prefetched: some microseconds, and a small part of a second-level cache.
_AHEAD_BYTES = 1 << 16


def block_rows(X: FloatMatrix) -> int:
    """Rows of X in a block: a multiple of 8.

    A block must stay in the caches through its first loop, and be long enough to start cheaply.
    Measured at 4, 16, 54, 128, 500, 784 and 4096 columns on Zen 4, AVX-512.
    """
    row_bytes = X.shape[1] * X.itemsize
    return 64 if row_bytes <= 128 else 32 if row_bytes <= 4096 else 8


def block_rows_of_many(X: FloatMatrix, n_models: int) -> int:
    """Rows of a block whose columns, or logits, fill a part of a second-level cache."""
    rows = _BLOCK_BYTES_OF_MANY // (max(X.shape[1], n_models) * X.itemsize)
    return 128 if rows >= 128 else 64 if rows >= 64 else 32 if rows >= 32 else 16


@inlined
def ahead_of(X, block):
    """Numbers between a block of rows and those that are prefetched meanwhile.

    0 where X stays in the second-level cache: to prefetch beyond its end costs time.
    """
    if X.size * X.itemsize <= 4 * _AHEAD_BYTES:
        return 0
    return max(block * X.shape[1], _AHEAD_BYTES // X.itemsize)


def padded(n_columns: int) -> int:
    """Columns of an array whose rows are whole vectors."""
    return -(-n_columns // _PADDING) * _PADDING


def as_columns(W: FloatMatrix) -> NDArray[Any]:
    """W^T of models W (k, d), shape (d, `padded(k)`), with zeros beyond k."""
    columns = np.zeros((W.shape[1], padded(W.shape[0])), dtype=W.dtype)
    columns[:, : W.shape[0]] = W.T
    return columns


@inlined
def flush(sums, totals):
    """totals += sums, in float64. sums are set to 0."""
    for j in range(sums.shape[0]):
        totals[j] += sums[j]
        sums[j] = 0


@inlined
def mean_value_and_grad(nll, grad, w, l2, count):
    """f and its gradient from sums over `count` rows. grad (d,), float64, is overwritten."""
    squares = 0.0
    for j in range(w.shape[0]):
        coefficient = np.float64(w[j])
        squares += coefficient * coefficient
        grad[j] = grad[j] / count + l2 * coefficient
    # Without a penalty, 0 times an overflown ||w||^2 must not be NaN.
    return nll / count + (0.5 * l2 * squares if l2 > 0 else 0.0), grad.astype(w.dtype)


@inlined
def take_rows(X, labels, rows, taken, taken_labels):
    """Copy these rows of X and their labels to a block.

    Raises:
        IndexError: an index is not in -n ... n - 1.
    """
    n, d = X.shape
    for i in range(rows.shape[0]):
        row = rows[i]
        if row < -n or row >= n:
            raise IndexError("a row index is beyond the rows of X")
        row = row + n if row < 0 else row
        source, target = X[row], taken[i]
        for j in range(d):
            target[j] = source[j]
        taken_labels[i] = labels[row]
