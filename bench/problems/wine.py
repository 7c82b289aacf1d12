"""Wines of three cultivars, standardised."""

from __future__ import annotations

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from bench.problems.problem import Problem


def wine(l2: float = 1e-3) -> Problem:
    """Three classes, 13 features of mean 0 and variance 1, 133 training and 45 test rows.

    Linearly separable: without a penalty it has no optimum.

    Source: Aeberhard, Coomans and de Vel (1992), by way of scikit-learn's copy.
    """
    X, y = load_wine(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    return Problem("wine", X, y, l2, X_test=X_test, y_test=y_test)
