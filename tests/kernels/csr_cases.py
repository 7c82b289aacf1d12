"""Sparse X for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from variants import Case


def sparse_case(n: int, d: int, dtype: str, filled: float, seed: int, c: int = 2) -> Case:
    """Dense, with most entries 0; each entry alone is there by chance."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < filled)
    y = rng.permutation(np.arange(n) % c)
    w = rng.standard_normal(d if c == 2 else (c, d))
    return Case(X=X.astype(dtype), y=y, w=w.astype(dtype))


def scrambled(X: Any, seed: int) -> sp.csr_array:
    """The same matrix with columns in any order, entries in two parts, and stored zeros."""
    rng = np.random.default_rng(seed)
    A = sp.csr_array(X)
    row = np.repeat(np.arange(X.shape[0]), np.diff(A.indptr))
    parts = [(row, A.indices, A.data / 2), (row, A.indices, A.data / 2)]  # exact, each
    parts.append((rng.integers(X.shape[0], size=5), rng.integers(X.shape[1], size=5), np.zeros(5)))
    row, column, data = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = rng.permutation(len(row))
    order = order[np.argsort(row[order], kind="stable")]
    indptr = np.concatenate([[0], np.bincount(row, minlength=X.shape[0]).cumsum()])
    return sp.csr_array((data[order].astype(X.dtype), column[order], indptr), shape=X.shape)


def with_index_type(X: sp.csr_array, index: type) -> sp.csr_array:
    X = X.copy()
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X
