"""Handwritten digits: odd ones against even ones, and all ten."""

from __future__ import annotations

from collections.abc import Callable

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bench.problems.problem import Labels, Problem


def digits(l2: float = 1e-3) -> Problem:
    """8 x 8 pixels scaled to [0, 1]: 64 features, 1,347 training and 450 test rows.

    The label is 1 for odd digits: a task that a linear model does not solve exactly. Some pixels
    are blank in every image, so X does not have full column rank.

    Source: Alpaydin and Kaynak (1998), by way of scikit-learn's copy.
    """
    return _split("digits", l2, lambda digit: digit % 2)


def digits10(l2: float = 1e-3) -> Problem:
    """All ten digits, on the rows and features of `digits`: softmax over 640 coefficients."""
    return _split("digits10", l2, lambda digit: digit)


def _split(name: str, l2: float, label: Callable[[Labels], Labels]) -> Problem:
    X, digit = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X / 16.0, label(digit), test_size=0.25, random_state=0, stratify=digit
    )
    return Problem(name, X, y, l2, X_test=X_test, y_test=y_test)
