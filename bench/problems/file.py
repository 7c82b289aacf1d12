"""The user's own data, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_svmlight_file
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from bench.problems.problem import Problem


def file(path: str, target: str = "", l2: float = 1e-3, standardise: bool = True) -> Problem:
    """Any CSV, Parquet, NPZ or svmlight file with numeric features and a binary target.

    Args:
        path: .csv, .tsv or .parquet with a header line; .npz with arrays `X` and `y`; .svmlight,
            .svm or .libsvm.
        target: the label's column (default: the last one). Its two values may be anything; the
            larger one, in sorted order, becomes 1.
        l2: penalty >= 0.
        standardise: scale features to mean 0 and variance 1, as measured on the training rows.

    A quarter of the rows, stratified by label, is kept for testing.
    Raises:
        ValueError: no such column, more or fewer than two classes, or text among the features.
        OSError: the file can't be read.
    """
    X, labels = _read(Path(path), target)
    classes = np.unique(labels)
    if len(classes) != 2:
        shown = ", ".join(map(str, classes[:5])) + (", ..." if len(classes) > 5 else "")
        raise ValueError(f"the target needs two classes; found {len(classes)}: {shown}")
    y = (labels == classes[1]).astype(np.intp)
    Problem(path, X, y, l2)  # refuses NaN and the like before a split or scaling meets them
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    if standardise:
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    return Problem(path, X, y, l2, X_test=X_test, y_test=y_test)


def _read(path: Path, target: str) -> tuple[Any, np.ndarray]:
    if not path.is_file():
        raise OSError(f"no file {str(path)!r}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with np.load(path) as arrays:
            if not {"X", "y"} <= set(arrays):
                raise ValueError(f"needs arrays X and y; found {', '.join(arrays) or 'none'}")
            return arrays["X"], arrays["y"]
    if suffix in (".svmlight", ".svm", ".libsvm"):
        X, y = load_svmlight_file(str(path))
        return X.toarray(), y
    if suffix == ".parquet":
        frame = pd.read_parquet(path)
    elif suffix in (".csv", ".tsv"):
        frame = pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",")
    else:
        raise ValueError(
            f"can't read {suffix or 'a file without suffix'!r}: use .csv, .tsv, "
            ".parquet, .npz or .svmlight"
        )
    column = target or str(frame.columns[-1])
    if column not in frame.columns:
        raise ValueError(f"no column {column!r}; there are {', '.join(map(str, frame.columns))}")
    features = frame.drop(columns=column)
    text = [str(c) for c in features.columns if features[c].dtype.kind not in "fiub"]
    if text:
        raise ValueError(f"columns {', '.join(text[:5])} hold text: encode or drop them")
    if frame[column].isna().any():
        raise ValueError(f"column {column!r} has missing labels: drop those rows")
    return features.to_numpy(dtype=float), frame[column].to_numpy()
