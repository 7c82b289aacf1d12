"""Data that nobody can change any more, and what a fingerprint reads of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse


def frozen(array: Any, given: Any) -> Any:
    """A checked array or CSR matrix, read-only; memory that the caller could still write is copied.

    Args:
        array: what the checks made of `given`, on the same memory or not.
        given: the caller's own.
    """
    if not issparse(array):
        return _frozen(array, given)
    parts = ("data", "indices", "indptr")
    theirs = [getattr(given, part, None) for part in parts]
    if not issparse(given):  # a tensor: whatever it is made of can be written
        theirs = [getattr(array, part) for part in parts]
    mine = [_frozen(getattr(array, part), its) for part, its in zip(parts, theirs, strict=True)]
    matrix = csr_array(tuple(mine), shape=array.shape)
    matrix.has_canonical_format = True  # as checked; SciPy need not look again
    return matrix


def content(array: Any) -> Iterator[bytes | memoryview]:
    """What a digest is to read: equal for equal numbers, whichever format they were given in.

    Zeros that a sparse matrix stores are not part of it. A dense matrix never equals a sparse
    one: they have the same optimum, but not the same run times.
    """
    if array is None:
        yield b"none;"
        return
    parts = [array]
    layout = ""
    if issparse(array):
        if not array.data.all():
            array = array.copy()
            array.eliminate_zeros()
        parts, layout = [array.indptr, array.indices, array.data], "csr"
    yield f"{layout}{array.dtype.str}{array.shape};".encode()
    for part in parts:
        yield np.ascontiguousarray(part).data


def _frozen(array: NDArray[Any], given: Any) -> NDArray[Any]:
    shared = isinstance(given, np.ndarray) and np.may_share_memory(array, given)
    result = array.copy() if shared and given.flags.writeable else array.view()
    result.flags.writeable = False
    return result
