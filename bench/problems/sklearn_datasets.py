"""Data sets that come with scikit-learn: iris, wine, breast cancer and handwritten digits."""

from __future__ import annotations

from typing import Literal

from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from bench.problems.problem import Labels, Matrix, Problem
from bench.problems.split import split_problem

_SPECIES = ("setosa", "versicolor", "virginica")


def iris(
    target: Literal["setosa", "versicolor", "virginica"] = "virginica", l2: float = 0.0
) -> Problem:
    """Raw features, no intercept, no penalty: 100 training and 50 test rows, 4 features.

    `target` is the species to tell from the two others. `virginica` is the notebook's setting.
    `setosa` is linearly separable: without a penalty it has no optimum.

    Source: probml/pyprobml, notebooks/book1/10/logreg_pytorch.ipynb;
        Fisher (1936), "The use of multiple measurements in taxonomic problems".
    """
    X, species = load_iris(return_X_y=True)
    return _notebook_split(f"iris:target={target}", X, species == _SPECIES.index(target), l2)


def iris3(l2: float = 1e-3) -> Problem:
    """All three species, on the rows and features of `iris`: the notebook's last section.

    Setosa is separable from the two others: without a penalty there is no optimum.
    """
    X, species = load_iris(return_X_y=True)
    return _notebook_split("iris3", X, species, l2)


def _notebook_split(name: str, X: Matrix, y: Labels, l2: float) -> Problem:
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.33, random_state=42)
    return Problem(name, X, y, l2, X_test=X_test, y_test=y_test)


def wine(l2: float = 1e-3) -> Problem:
    """Three classes, 13 features of mean 0 and variance 1, 133 training and 45 test rows.

    Linearly separable: without a penalty it has no optimum.

    Source: Aeberhard, Coomans and de Vel (1992), by way of scikit-learn's copy.
    """
    X, y = load_wine(return_X_y=True)
    return split_problem("wine", X, y, l2, stratify=y, standardise=True)


def breast_cancer(l2: float = 1e-3) -> Problem:
    """All 569 rows, 30 features of mean 0 and variance 1, no intercept.

    There is no test split. With every row in training the classes overlap, so that an optimum
    exists without a penalty, too. Three quarters of the rows are linearly separable.

    Source: Street, Wolberg and Mangasarian (1993), by way of scikit-learn's copy.
    """
    X, y = load_breast_cancer(return_X_y=True)
    return Problem("breast_cancer", StandardScaler().fit_transform(X), y, l2)


def digits(l2: float = 1e-3) -> Problem:
    """8 x 8 pixels scaled to [0, 1]: 64 features, 1,347 training and 450 test rows.

    The label is 1 for odd digits: a task that a linear model does not solve exactly. Some pixels
    are blank in every image, so X does not have full column rank.

    Source: Alpaydin and Kaynak (1998), by way of scikit-learn's copy.
    """
    X, digit = load_digits(return_X_y=True)
    return split_problem("digits", X / 16.0, digit % 2, l2, stratify=digit)


def digits10(l2: float = 1e-3) -> Problem:
    """All ten digits, on the rows and features of `digits`: softmax over 640 coefficients."""
    X, digit = load_digits(return_X_y=True)
    return split_problem("digits10", X / 16.0, digit, l2, stratify=digit)
