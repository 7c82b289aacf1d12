"""A problem: frozen data and a penalty, with a fingerprint of its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logreg_kernels.contract import coefficient_shape
from logreg_kernels.validation import check_l2, check_label_values, check_labels, check_matrix

Matrix = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Problem:
    """Minimise the mean logistic NLL of (X, y) plus l2/2 ||w||^2; there is no intercept.

    Two classes are fitted by w (d,), more by softmax with W (c, d).

    Args:
        name: the spec it was loaded by, or any name of the user's.
        X: design matrix, (n, d).  y: labels in {0, 1}, or in {0, ..., c - 1}, (n,).
        l2: penalty >= 0.
        X_test, y_test: an optional test split, (m, d) and (m,).
    Raises:
        ValueError, TypeError: the data can't be fitted; the message says why and what to do.
    """

    name: str
    X: Matrix
    y: Labels
    l2: float = 0.0
    X_test: Matrix | None = field(default=None, kw_only=True)
    y_test: Labels | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        X = check_matrix(self.X, "float64")
        self._freeze("X", X)
        self._freeze("y", check_labels(self.y, X.shape[0]))
        object.__setattr__(self, "l2", check_l2(self.l2))
        if (self.X_test is None) != (self.y_test is None):
            raise ValueError("a test split needs both X_test and y_test")
        if self.X_test is not None and self.y_test is not None:
            X_test = check_matrix(self.X_test, "float64", name="X_test")
            if X_test.shape[1] != X.shape[1]:
                raise ValueError(f"X_test has {X_test.shape[1]} columns, X has {X.shape[1]}")
            self._freeze("X_test", X_test)
            # A test split may be of one class: it is only scored on.
            y_test = check_label_values(self.y_test, len(X_test), "y_test", self.n_classes)
            self._freeze("y_test", y_test)

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
            if array is None:
                digest.update(b"none;")
            else:
                digest.update(f"{array.dtype.str}{array.shape};".encode())
                digest.update(np.ascontiguousarray(array).data)
        digest.update(f"l2={self.l2!r};classes={self.n_classes}".encode())
        return digest.hexdigest()

    def _freeze(self, name: str, array: NDArray[Any]) -> None:
        # The fingerprint must stay true: memory that the caller could still write is copied.
        theirs = getattr(self, name)
        shared = isinstance(theirs, np.ndarray) and np.may_share_memory(array, theirs)
        frozen = array.copy() if shared and theirs.flags.writeable else array.view()
        frozen.flags.writeable = False
        object.__setattr__(self, name, frozen)
