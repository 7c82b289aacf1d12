"""The user's own data, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse

from bench.problems.problem import Matrix, Problem
from bench.problems.readers import read
from bench.problems.split import split_problem
from logreg_kernels.contract import CSRMatrix

_FEWEST_ROWS_A_CLASS = 4  # a quarter of them is one test row
# From this share of filled entries on, products with a dense X take less time and no more memory.
_DENSE_FROM = 0.25
_MOST_BYTES = 1 << 40

Layout = Literal["auto", "dense", "csr"]


def file(
    path: str,
    target: str = "",
    l2: float = 1e-3,
    standardise: bool | None = None,
    layout: Layout = "auto",
) -> Problem:
    """Any CSV, Parquet, NPZ or svmlight file with numeric features and a column of classes.

    A quarter of the rows, stratified by label, is kept for testing.

    Args:
        path: .csv, .tsv or .parquet with a header line; .npz with arrays `X` and `y`, or `y` and
            the `data`, `indices`, `indptr` and `shape` of a CSR matrix; .svmlight, .svm or .libsvm.
        target: the label's column (default: the last one). Its values may be anything. In sorted
            order they become 0, 1, ..., c - 1. Two classes are fitted by w, more by softmax.
        l2: penalty >= 0.
        standardise: scale features to mean 0 and variance 1, as measured on the training rows.
            The default is to scale a dense X only: scaling would fill a sparse one.
        layout: dense or csr, to convert what the file holds. auto keeps a sparse X sparse if less
            than a quarter of its entries are stored.
    Raises:
        ValueError: no such column, fewer than two classes, a class of fewer than 4 rows, text
            among the features, or a sparse X to be standardised.
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
            "classes: is it a measurement, or the wrong column?"
        )
    whole = Problem(path, X, y, l2)  # refuses NaN and the like before a split or scaling
    if rows.min() < _FEWEST_ROWS_A_CLASS:
        rarer = classes[rows.argmin()]
        raise ValueError(
            f"a test split needs at least {_FEWEST_ROWS_A_CLASS} rows of each class; "
            f"class {rarer} has {rows.min()}"
        )
    laid_out = _laid_out(whole.X, layout)
    if standardise and issparse(laid_out):
        raise ValueError(
            "standardise=yes would fill a sparse X: use standardise=no, or layout=dense"
        )
    if standardise is None:
        standardise = not issparse(laid_out)
    return split_problem(path, laid_out, whole.y, l2, stratify=whole.y, standardise=standardise)


def _laid_out(X: Matrix | CSRMatrix, layout: Layout) -> Matrix | CSRMatrix:
    if not isinstance(X, csr_array):
        return csr_array(X) if layout == "csr" else X
    n, d = X.shape
    if layout == "csr" or (layout == "auto" and X.nnz < _DENSE_FROM * n * d):
        return X
    if n * d * 8 > _MOST_BYTES:
        raise ValueError(f"{n} rows by {d} columns do not fit into memory: use layout=csr")
    return np.asarray(X.toarray())
