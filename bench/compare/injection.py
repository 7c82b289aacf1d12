"""Injected slow-downs: further reads of X that take a chosen share of a block's time."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

_ROUNDS = 4
_BLOCKS = 8


def reads_of(X: Any, rows: int, device: str, dtype: str) -> Callable[[], None]:
    """A call that reads a number of rows of X: it multiplies the first m by a vector, k times.

        X_[:m] v,    k = ceil(rows / n),   m = rows / k

    Args:
        X: shape (n, d), dense or CSR.
        device, dtype: where and in which type the products are computed.
    Traffic: the rows that are asked for, from wherever the caches have them.
    """
    # Here, as processes that time cells of the user's own inject nothing, and should start fast.
    import numpy as np

    from logreg_kernels.validation import check_dtype, check_matrix

    matrix: Any = check_matrix(X, check_dtype(dtype))
    times = max(1, math.ceil(rows / matrix.shape[0]))
    part = _on(device, matrix[: max(1, round(rows / times))])
    vector = _on(device, np.ones(matrix.shape[1], dtype=dtype))

    def call() -> None:
        for _ in range(times):
            part @ vector

    return call


def _on(device: str, array: Any) -> Any:
    """A dense or CSR array on a device; on a CPU it is the array itself."""
    if device == "cpu":
        return array
    import torch

    if hasattr(array, "indptr"):
        starts, columns = torch.from_numpy(array.indptr), torch.from_numpy(array.indices)
        values = torch.from_numpy(array.data)
        return torch.sparse_csr_tensor(starts, columns, values, array.shape).to(device)
    return torch.from_numpy(array).to(device)


def rows_for_share(block_s: Callable[[int], tuple[float, float]], share: float) -> int:
    """How many rows to read for the reads to take a share of a block's time.

    Args:
        block_s: of a number of rows, the seconds of a block's work and of the reads after it.
        share: the slow-down that is wanted, 0.05 for 5%.
    Returns:
        the number of rows, at least 1. A single row may cost more than the share.
    """
    rows = 100
    for _ in range(_ROUNDS):
        blocks = [block_s(rows) for _ in range(_BLOCKS)]
        work_s, read_s = median(work for work, _ in blocks), median(read for _, read in blocks)
        rows = max(1, round(rows * share * work_s / read_s))
    return rows
