"""Coordinates without the directions along which f is known to be constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import helmert
from scipy.sparse import csr_array

from bench.optima.rounding import Matrix, Vector
from bench.problems import Problem
from logreg_kernels.contract import CSRMatrix


@dataclass(frozen=True)
class Coordinates:
    """An orthonormal basis B of the w that f depends on.

        w = B v,    f(w + u) = f(w) for every u _|_ B

    With l2 > 0 f depends on every direction, and B is the identity. With l2 = 0 it is constant

        along the coefficient of a feature that is 0 in every row
        where one vector is added to the coefficients of all classes (softmax)

    B leaves out these features. Of the classes it keeps the c - 1 combinations that sum to zero
    (Helmert's). For the minimiser v, w = B v is the minimiser of smallest norm. Both invariances
    are exact in floating point, so no rank is guessed from small numbers. If columns depend on
    each other in another way, the Hessian in v is singular, and no optimum is proved.

    Args:
        features: which columns of X are kept, shape (d,), booleans.
        classes: the basis over classes, shape (c - 1, c), orthonormal rows; None for the identity.
        shape: of w.
    """

    features: NDArray[np.bool_]
    classes: Matrix | None
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Entries of v."""
        n_classes = 1 if len(self.shape) == 1 else self.shape[0]
        combinations = n_classes if self.classes is None else len(self.classes)
        return int(self.features.sum()) * combinations

    @property
    def removed(self) -> str:
        """What B leaves out, in words; empty for nothing."""
        blank = int((~self.features).sum())
        parts = [f"{blank} features that are 0 in every row"] if blank else []
        if self.classes is not None:
            parts.append("one vector added to all classes")
        return " and ".join(parts)

    def reduce(self, grad: Vector) -> Vector:
        """B^T g, shape (size,), of a gradient or of any w."""
        kept = grad.reshape(-1, self.shape[-1])[:, self.features]
        return (kept if self.classes is None else self.classes @ kept).ravel()

    def expand(self, v: Vector) -> Vector:
        """w = B v, of w's shape."""
        kept = v.reshape(-1, int(self.features.sum()))
        kept = kept if self.classes is None else self.classes.T @ kept
        w = np.zeros((kept.shape[0], self.shape[-1]))
        w[:, self.features] = kept
        return w.reshape(self.shape)

    def reduce_hessian(self, H: Matrix) -> Matrix:
        """B^T H B, shape (size, size)."""
        d = self.shape[-1]
        if self.features.all() and self.classes is None:
            return H
        blocks = H.reshape(-1, d, H.shape[1] // d, d)
        blocks = blocks[:, self.features][:, :, :, self.features]
        if self.classes is not None:
            C = self.classes
            blocks = np.einsum("ak,kilj,bl->aibj", C, blocks, C, optimize=True)
        return blocks.reshape(self.size, self.size)

    def project(self, w: Vector) -> Vector:
        """The w of smallest norm with the same f: B B^T w."""
        return self.expand(self.reduce(w))


def coordinates(problem: Problem) -> Coordinates:
    """The coordinates that a problem's optimum is sought and proved in."""
    shape = problem.coefficient_shape
    if problem.l2 > 0:
        return Coordinates(np.ones(problem.n_features, dtype=bool), None, shape)
    classes = helmert(shape[0]) if len(shape) > 1 else None
    return Coordinates(_not_blank(problem.X), classes, shape)


def _not_blank(X: Matrix | CSRMatrix) -> NDArray[np.bool_]:
    """Which columns hold anything but zeros, shape (d,); a sparse X may store some of them."""
    if isinstance(X, csr_array):
        return np.bincount(X.indices[X.data != 0], minlength=X.shape[1]) > 0
    return np.asarray((X != 0).any(axis=0))
