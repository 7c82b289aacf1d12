"""Iris, one species against the rest: the notebook's problem."""

from __future__ import annotations

from typing import Literal

from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from bench.problems.problem import Problem

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
    X, species = load_iris(return_X_y=True)
    y = (species == _SPECIES.index(target)).astype(int)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.33, random_state=42)
    return Problem(f"iris:target={target}", X, y, l2, X_test=X_test, y_test=y_test)
