"""A problem with a test split."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from bench.problems.problem import Labels, Matrix, Problem
from logreg_kernels.contract import CSRMatrix


def split_problem(
    name: str,
    X: Matrix | CSRMatrix,
    y: Labels,
    l2: float,
    *,
    stratify: Labels,
    standardise: bool = False,
) -> Problem:
    """Keep a quarter of the rows for testing, in the same order of rows every time.

    Args:
        stratify: the values whose shares are the same in both parts, shape (n,).
        standardise: scale a dense X to mean 0 and variance 1, as measured on the training rows.
    Raises:
        ValueError: a feature's range is too wide to be scaled.
    """
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=stratify)
    if standardise:
        with np.errstate(over="ignore", invalid="ignore"):
            scaler = StandardScaler().fit(X)
            X, X_test = scaler.transform(X), scaler.transform(X_test)
        if not (np.isfinite(X).all() and np.isfinite(X_test).all()):
            raise ValueError("a feature's range is too wide to scale: rescale it first")
    return Problem(name, X, y, l2, X_test=X_test, y_test=y_test)
