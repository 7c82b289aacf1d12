"""A problem: frozen data and a penalty, with a fingerprint of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from logreg_kernels.contract import CSRMatrix, coefficient_shape
from logreg_kernels.validation import check_l2, check_label_values, check_labels, check_matrix

Matrix = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Problem:
    """Minimise the mean logistic NLL of (X, y) plus l2/2 ||w||^2; there is no intercept.

    Two classes are fitted by w (d,), more by softmax with W (c, d).

    Args:
        name: the spec it was loaded by, or any name of the user's.
        X: design matrix, (n, d); a sparse one, in any format, is kept as CSR.
        y: labels in {0, 1}, or in {0, ..., c - 1}, (n,).
        l2: penalty >= 0.
        X_test, y_test: an optional test split, (m, d) and (m,).
    Raises:
        ValueError, TypeError: the data can't be fitted; the message says why and what to do.
    """

    name: str
    X: Matrix | CSRMatrix
    y: Labels
    l2: float = 0.0
    X_test: Matrix | CSRMatrix | None = field(default=None, kw_only=True)
    y_test: Labels | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        X = check_matrix(self.X, "float64")
        self._set("X", _frozen(X, self.X))
        self._set("y", _frozen(check_labels(self.y, X.shape[0]), self.y))
        self._set("l2", check_l2(self.l2))
        if (self.X_test is None) != (self.y_test is None):
            raise ValueError("a test split needs both X_test and y_test")
        if self.X_test is not None and self.y_test is not None:
            X_test = check_matrix(self.X_test, "float64", name="X_test")
            if X_test.shape[1] != X.shape[1]:
                raise ValueError(f"X_test has {X_test.shape[1]} columns, X has {X.shape[1]}")
            self._set("X_test", _frozen(X_test, self.X_test))
            # A test split may hold one class only, since nothing is fitted to it.
            y_test = check_label_values(self.y_test, X_test.shape[0], "y_test", self.n_classes)
            self._set("y_test", _frozen(y_test, self.y_test))

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])

    @cached_property
    def n_classes(self) -> int:
        """The labels are 0 ... n_classes - 1."""
        return int(self.y.max()) + 1

    @property
    def coefficient_shape(self) -> tuple[int, ...]:
        """Shape of w: (d,) for two classes, (c, d) for more."""
        return coefficient_shape(self.y, self.n_features)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything that determines the optimum and the scores."""
        digest = hashlib.sha256()
        for array in (self.X, self.y, self.X_test, self.y_test):
            for part in _content(array):
                digest.update(part)
        digest.update(f"l2={self.l2!r};classes={self.n_classes}".encode())
        return digest.hexdigest()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # a frozen dataclass has no other way


def _frozen(array: Any, given: Any) -> Any:
    """A checked array or CSR matrix, read-only; memory that the caller could still write is copied.

    Args:
        array: the checked form of `given`, which may share its memory.
        given: the caller's own.
    """
    if not issparse(array):
        shared = isinstance(given, np.ndarray) and np.may_share_memory(array, given)
        result = array.copy() if shared and given.flags.writeable else array.view()
        result.flags.writeable = False
        return result
    source = given if issparse(given) else array  # a tensor's memory can always be written
    parts = [
        _frozen(getattr(array, part), getattr(source, part, None))
        for part in ("data", "indices", "indptr")
    ]
    matrix = csr_array(tuple(parts), shape=array.shape)
    matrix.has_canonical_format = True  # as checked; SciPy need not look again
    return matrix


def _content(array: Any) -> Iterator[bytes | memoryview]:
    """What the digest reads of an array: equal for equal numbers, whatever format they came in.

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
