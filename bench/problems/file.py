"""The user's own data, from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from bench.problems.problem import Problem
from bench.problems.readers import read

_FEWEST_ROWS_A_CLASS = 4  # a quarter of them is one test row


def file(path: str, target: str = "", l2: float = 1e-3, standardise: bool = True) -> Problem:
    """Any CSV, Parquet, NPZ or svmlight file with numeric features and a column of classes.

    A quarter of the rows, stratified by label, is kept for testing.

    Args:
        path: .csv, .tsv or .parquet with a header line; .npz with arrays `X` and `y`; .svmlight,
            .svm or .libsvm.
        target: the label's column (default: the last one). Its values may be anything; in sorted
            order they become 0, 1, ..., c - 1. Two are fitted by w, more by softmax.
        l2: penalty >= 0.
        standardise: scale features to mean 0 and variance 1, as measured on the training rows.
    Raises:
        ValueError: no such column, fewer than two classes, one of fewer than 4 rows, or text
            among the features.
        OSError: the file can't be read.
    """
    X, labels = read(Path(path), target)
    if len(labels) and pd.isna(labels).any():
        raise ValueError("some labels are missing or nan: drop those rows")
    classes, y, rows = np.unique(labels, return_inverse=True, return_counts=True)
    shown = ", ".join(map(str, classes[:5])) + (", ..." if len(classes) > 5 else "")
    if len(classes) == 1:
        raise ValueError(f"the target needs at least two classes; found 1: {shown}")
    if len(classes) > max(2, len(labels) // _FEWEST_ROWS_A_CLASS):
        raise ValueError(
            f"the target has {len(classes)} values in {len(labels)} rows ({shown}), too many for "
            "classes: is it a measurement, or another column's?"
        )
    whole = Problem(path, X, y, l2)  # refuses NaN and the like before a split or scaling
    if rows.min() < _FEWEST_ROWS_A_CLASS:
        rarer = classes[rows.argmin()]
        raise ValueError(
            f"a test split needs at least {_FEWEST_ROWS_A_CLASS} rows of each class; "
            f"class {rarer} has {rows.min()}"
        )
    X, X_test, y, y_test = train_test_split(
        whole.X, whole.y, test_size=0.25, random_state=0, stratify=whole.y
    )
    if standardise:
        with np.errstate(over="ignore", invalid="ignore"):
            scaler = StandardScaler().fit(X)
            X, X_test = scaler.transform(X), scaler.transform(X_test)
        if not (np.isfinite(X).all() and np.isfinite(X_test).all()):
            raise ValueError("a feature's range is too wide to scale: rescale it first")
    return Problem(path, X, y, l2, X_test=X_test, y_test=y_test)
