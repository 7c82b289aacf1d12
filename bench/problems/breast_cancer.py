"""Wisconsin breast cancer, standardised."""

from __future__ import annotations

from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from bench.problems.problem import Problem


def breast_cancer(l2: float = 1e-3) -> Problem:
    """All 569 rows, 30 features of mean 0 and variance 1, no intercept.

    There is no test split: with every row in training the classes overlap, so that an optimum
    exists without a penalty, too; three quarters of the rows are linearly separable.

    Source: Street, Wolberg and Mangasarian (1993), by way of scikit-learn's copy.
    """
    X, y = load_breast_cancer(return_X_y=True)
    return Problem("breast_cancer", StandardScaler().fit_transform(X), y, l2)
