"""Iris: one species against the rest, the notebook's problem, and all three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from numpy.typing import NDArray
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from bench.problems.problem import Labels, Problem

_SPECIES = ("setosa", "versicolor", "virginica")


def iris(
    target: Literal["setosa", "versicolor", "virginica"] = "virginica", l2: float = 0.0
) -> Problem:
    """Raw features, no intercept, no penalty: 100 training and 50 test rows, 4 features.

    `virginica` is the notebook's setting. `setosa` is linearly separable: without a penalty it
    has no optimum.

    Source: probml/pyprobml, notebooks/book1/10/logreg_pytorch.ipynb;
        Fisher (1936), "The use of multiple measurements in taxonomic problems".
    """
    return _split(f"iris:target={target}", l2, lambda y: y == _SPECIES.index(target))


def iris3(l2: float = 1e-3) -> Problem:
    """All three species, on the rows and features of `iris`: the notebook's last section.

    Setosa is separable from the two others: without a penalty there is no optimum.
    """
    return _split("iris3", l2, lambda y: y)


def _split(name: str, l2: float, label: Callable[[Labels], NDArray[Any]]) -> Problem:
    """The notebook's split of the rows, with labels made of the species."""
    X, species = load_iris(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, label(species), test_size=0.33, random_state=42)
    return Problem(name, X, y, l2, X_test=X_test, y_test=y_test)
