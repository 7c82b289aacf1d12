"""Proof that a problem has no optimum: its classes can be separated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, eye_array, hstack

from bench.optima.rounding import Vector, gamma, unit_roundoff
from bench.problems import Problem

_U = unit_roundoff("float64")
# Nonzeros of the linear programme: a minute on two cores.
_MOST_NONZEROS = 4_000_000
_TIME_LIMIT_S = 60.0
# Up to this size the results of the linear programme's solver count as zero.
_FEASIBLE = 1e-6


class Separation(NamedTuple):
    """A proof that f has no minimiser at l2 = 0.

    Args:
        w: of unit norm, of `coefficient_shape`; no row is on its wrong side.
        margin: the smallest positive one.
        undecided: how many (row, wrong class) pairs have a margin of exactly 0.
    """

    w: Vector
    margin: float
    undecided: int

    @property
    def sentence(self) -> str:
        """The proof in words, and what to do."""
        if not self.undecided:
            how = (
                "linearly separable (a unit w leaves every row a margin of at least "
                f"{self.margin:.2g}"
            )
        else:
            how = (
                "quasi-separable (a unit w puts no row on the wrong side, and leaves "
                f"{self.undecided} margins exactly 0 and the others at least {self.margin:.2g}"
            )
        return f"the classes are {how}), so without a penalty there is no optimum: set l2 > 0"


def prove_separable(problem: Problem, w: Vector) -> Separation | None:
    """The proof that no optimum exists, if `w` is one.

    The margins of a row are (w_y - w_k) . x over the wrong classes k, or s x . w with s = 2 y - 1
    for two classes. If all are >= 0 and one is > 0, f(u + t w) falls for ever as t grows, from
    any u: no minimiser exists. If all are > 0, the infimum is 0.

    A margin counts as positive only beyond its own rounding error, and as zero only where each of
    its products is exactly 0. Otherwise there is no proof.

    Source: Albert and Anderson (1984), "On the existence of maximum likelihood estimates in
        logistic regression models", theorems 1 and 2.
    """
    norm = float(np.linalg.norm(w))
    if norm == 0 or not np.isfinite(norm):
        return None
    direction = w / norm
    margins, spread = _margins(problem, direction)
    positive = margins > gamma(problem.n_features + 2, _U) * spread
    zero = spread == 0
    if not (positive | zero).all() or zero.all():
        return None
    return Separation(direction, float(margins[positive].min()), int(zero.sum()))


def find_separation(problem: Problem) -> tuple[Separation | None, str]:
    """A separation by linear programming; without one, None and the reason.

        max sum_i s_i   subject to   margin_i(w) >= s_i,  0 <= s_i <= 1

    Any w that puts no row on its wrong side can be scaled up. So at the maximum s_i is 1 for every
    margin that some such w makes positive, and 0 for the rest. A margin that is zero by structure
    may be computed as nearly zero. So small entries of w are also set to zero and nearly equal
    classes made equal. `prove_separable` checks both this w and the solver's own.

    Source: Konis (2007), "Linear programming algorithms for detecting separated data in binary
        logistic regression models", section 3, with his sum of margins made bounded.
    """
    A = _margin_rows(problem)
    if A is None:
        return None, "the linear programme that looks for a separation would be too large"
    w = _programme(A)
    if w is not None:
        w = w.reshape(problem.coefficient_shape)
        for candidate in (w, _snapped(w)):
            separation = prove_separable(problem, candidate)
            if separation is not None:
                return separation, ""
    return None, "linear programming finds no w that separates the classes beyond rounding"


def _margins(problem: Problem, w: Vector) -> tuple[Vector, Vector]:
    """All margins, and the sums of the absolute values of their products, both flat."""
    if w.ndim == 1:
        margins = (2 * problem.y - 1) * (problem.X @ w)
        return margins, abs(problem.X) @ np.abs(w)
    all_margins, all_spreads = [], []
    for label in range(problem.n_classes):
        X = problem.X[problem.y == label]
        ahead = np.delete(w[label] - w, label, axis=0)
        all_margins.append((X @ ahead.T).ravel())
        all_spreads.append((abs(X) @ np.abs(ahead).T).ravel())
    return np.concatenate(all_margins), np.concatenate(all_spreads)


def _margin_rows(problem: Problem) -> csr_array | None:
    """A with one row a margin: margins = A w.ravel(); None where it would be too large."""
    n, d = problem.X.shape
    c = problem.n_classes
    nonzeros = problem.X.nnz if isinstance(problem.X, csr_array) else np.count_nonzero(problem.X)
    if nonzeros * (1 if c == 2 else 2 * (c - 1)) > _MOST_NONZEROS:
        return None
    X = coo_array(problem.X)
    row, column = (at.astype(np.intp) for at in X.coords)
    entry, label = X.data, problem.y[row]
    if c == 2:
        return csr_array(coo_array(((2 * label - 1) * entry, (row, column)), shape=(n, d)))
    parts = []
    for wrong in range(c):
        on = label != wrong
        at = (row * c + wrong)[on]
        parts.append((entry[on], at, (label * d + column)[on]))
        parts.append((-entry[on], at, (wrong * d + column)[on]))
    data, rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    A = csr_array(coo_array((data, (rows, columns)), shape=(n * c, c * d)))
    return A[np.diff(A.indptr) > 0]  # the pairs of a row and its own label are empty


def _programme(A: csr_array) -> Vector | None:
    """The maximising w; None if no margin can be positive, or the time limit was reached."""
    n_margins, size = A.shape
    result = linprog(
        np.concatenate([np.zeros(size), -np.ones(n_margins)]),
        A_ub=hstack([-A / np.abs(A).max(), eye_array(n_margins)], format="csr"),
        b_ub=np.zeros(n_margins),
        bounds=[(None, None)] * size + [(0.0, 1.0)] * n_margins,
        method="highs",
        options={"time_limit": _TIME_LIMIT_S},
    )
    if result.x is None or not -result.fun > _FEASIBLE:
        return None
    return np.asarray(result.x[:size])


def _snapped(w: Vector) -> Vector:
    """Small entries made 0, and classes whose coefficients are nearly equal made equal."""
    w = np.where(np.abs(w) <= _FEASIBLE * np.abs(w).max(), 0.0, w)
    if w.ndim > 1:
        for k in range(1, len(w)):
            for j in range(k):
                if np.abs(w[k] - w[j]).max() <= _FEASIBLE * np.abs(w).max():
                    w[k] = w[j]
                    break
    return w
