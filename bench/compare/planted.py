"""Slow-downs planted on purpose: more reads of X, of as many rows as take a given time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .units import Call

_TUNINGS = 4
_BLOCKS = 8


def reads_of(X: Any, device: str, dtype: str) -> Callable[[int], Call]:
    """Makes calls that read so many rows of X: products of its first rows with a vector.

        X_[:m] v, k times,    k = ceil(rows / n),   m = rows / k

    Args:
        X: shape (n, d), dense or CSR.
        device, dtype: where and in which type the products are computed.
    Traffic: the rows that are asked for, from wherever the caches have them.
    """
    from logreg_kernels.validation import check_dtype, check_matrix

    matrix: Any = check_matrix(X, check_dtype(dtype))
    vector: Any = np.ones(matrix.shape[1], dtype=dtype)
    n = matrix.shape[0]
    place = _on(device)

    def reads(rows: int) -> Call:
        times = max(1, math.ceil(rows / n))
        part, vector_there = place(matrix[: max(1, round(rows / times))]), place(vector)

        def call() -> None:
            for _ in range(times):
                part @ vector_there

        return call

    return reads


def _on(device: str) -> Callable[[Any], Any]:
    """Brings an array, or CSR, to a device; NumPy's and SciPy's own on the CPU."""
    if device == "cpu":
        return lambda array: array
    import torch

    def place(array: Any) -> Any:
        if hasattr(array, "indptr"):
            starts, columns = torch.from_numpy(array.indptr), torch.from_numpy(array.indices)
            values = torch.from_numpy(array.data)
            return torch.sparse_csr_tensor(starts, columns, values, array.shape).to(device)
        return torch.from_numpy(array).to(device)

    return place


def tune(block_s: Callable[[int], tuple[float, float]], share: float, rows: int) -> int:
    """How many rows to read for the reads to take a share of a block's time.

    Args:
        block_s: seconds of the work of a block, and of the reads of so many rows after it.
        share: the slow-down that is wanted, 0.05 for 5%.
        rows: how many to begin with.
    Returns:
        the number of rows; at least one, so that a share may be exceeded where a single read costs
        more than that.
    """
    for _ in range(_TUNINGS):
        work_s, read_s = np.median([block_s(rows) for _ in range(_BLOCKS)], axis=0)
        rows = max(1, round(rows * share * work_s / read_s))
    return rows
