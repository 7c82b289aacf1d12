"""X in CSR whose values count how often NumPy and SciPy's compiled functions read them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from bench.counters.reads_numpy import Reads, counted_array, plain

# Of SciPy's compiled functions those that copy entries of X: what they wrote is X's, too.
_COPYING = ("csr_row_index", "csr_row_slice", "get_csr_submatrix", "csr_tocsc")


def counted_csr(X: csr_array, reads: Reads) -> csr_array:
    """X on the same memory, its values as a `CountedArray`; to be used in `counting_sparse`."""
    counted = csr_array(X.shape, dtype=X.dtype)
    counted.indices, counted.indptr = X.indices, X.indptr
    counted.data = counted_array(X.data, reads)
    return counted


@contextmanager
def counting_sparse(reads: Reads) -> Iterator[None]:
    """Count the values that SciPy's compiled functions are handed.

    They take arrays of any class without a word, so that the functions themselves are replaced,
    in every module of scipy.sparse that has them.
    """
    from scipy.sparse import _sparsetools

    functions = {
        name: function
        for name, function in vars(_sparsetools).items()
        if not name.startswith("_") and callable(function)
    }
    replaced = []
    for module in [m for name, m in sys.modules.items() if name.startswith("scipy.sparse")]:
        for name, value in list(vars(module).items()):
            if functions.get(name) is value and value is not None:
                replaced.append((module, name, value))
                setattr(module, name, _counting(name, value, reads))
    try:
        yield
    finally:
        for module, name, value in replaced:
            setattr(module, name, value)


def _counting(name: str, function: Any, reads: Reads) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        handed = [a for a in args if reads.holds(a)]
        made = function(*map(plain, args))
        if name in _COPYING and handed:
            results = made if isinstance(made, tuple) else ()
            copies = [
                a
                for a in (*args, *results)
                if isinstance(a, np.ndarray) and a.dtype == handed[0].dtype and not reads.holds(a)
            ]
            for copy in copies:
                reads.entries += int(copy.size)
                reads.hold(copy)
        else:
            reads.entries += sum(int(a.size) for a in handed)
        return made

    return call
