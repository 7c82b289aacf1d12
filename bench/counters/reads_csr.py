"""X in CSR whose values count how often NumPy and SciPy's compiled functions read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import _sparsetools, csr_array

from bench.counters.reads_numpy import Reads, counted_array, plain
from bench.counters.replacing import replacing

# Those of SciPy's compiled functions that copy entries of X. What they wrote counts as X, too.
_COPYING = ("csr_row_index", "csr_row_slice", "get_csr_submatrix", "csr_tocsc")


def counted_csr(X: csr_array, reads: Reads) -> csr_array:
    """X on the same memory, with values in a `CountedArray`; for use within `counting_sparse`."""
    counted = csr_array(X.shape, dtype=X.dtype)
    counted.indices, counted.indptr = X.indices, X.indptr
    counted.data = counted_array(X.data, reads)
    return counted


@contextmanager
def counting_sparse(reads: Reads) -> Iterator[None]:
    """Count the values that SciPy's compiled functions are given.

    They don't ask an array's class, so that the functions themselves are replaced, in every module
    of scipy.sparse that has them.
    """
    functions = {
        name: function
        for name, function in vars(_sparsetools).items()
        if not name.startswith("_") and callable(function)
    }

    def counting(name: str, value: Any) -> Any:
        is_function = value is not None and functions.get(name) is value
        return _counting(name, value, reads) if is_function else None

    with replacing("scipy.sparse", counting):
        yield


def _counting(name: str, function: Any, reads: Reads) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        given = [a for a in args if reads.holds(a)]
        made = function(*map(plain, args))
        if name in _COPYING and given:
            results = made if isinstance(made, tuple) else ()
            copies = [
                a
                for a in (*args, *results)
                if isinstance(a, np.ndarray) and a.dtype == given[0].dtype and not reads.holds(a)
            ]
            for copy in copies:
                reads.entries += int(copy.size)
                reads.hold(copy)
        else:
            reads.entries += sum(int(a.size) for a in given)
        return made

    return call
