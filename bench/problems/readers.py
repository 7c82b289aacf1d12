"""Readers of the formats that `file` takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.datasets import load_svmlight_file

from bench.errors import InputError

XAndLabels: TypeAlias = tuple[Any, NDArray[Any]]

_MOST_COLUMNS = 10**8  # beyond it is a mistake in the file, not data
_CSR = ("data", "indices", "indptr", "shape")


def read(path: Path, target: str) -> XAndLabels:
    """X (n, d) and labels (n,) of a CSV, TSV, Parquet, NPZ or svmlight file, as they stand there.

    X of an svmlight file is sparse, and so is that of an NPZ file with the arrays of a CSR matrix.

    Args:
        path: its suffix names the format.
        target: the label's column in a table; empty for the last one.
    Raises:
        ValueError: the content is not of the format that the suffix names, or holds no numbers.
        OSError: there is no such file, or it can't be opened.
    """
    if not path.is_file():
        raise OSError(f"no file {str(path)!r}")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _columns(_text_table(path, "\t" if suffix == ".tsv" else ","), target)
    if suffix == ".parquet":
        return _columns(_parquet(path), target)
    if suffix == ".npz":
        return _arrays(path)
    if suffix in (".svmlight", ".svm", ".libsvm"):
        return _svmlight(path)
    found = repr(suffix) if suffix else "a file without suffix"
    raise ValueError(f"can't read {found}: use .csv, .tsv, .parquet, .npz or .svmlight")


def _text_table(path: Path, separator: str) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep=separator, low_memory=False)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text: save it as UTF-8") from None
    except pd.errors.EmptyDataError:
        raise ValueError("is empty: it needs a header line and rows") from None
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        why = str(error).rpartition("C error: ")[2].strip().rstrip(".")
        raise ValueError(f"is not a CSV table: {why}") from None


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError:
        raise ValueError("reading Parquet needs pyarrow: pip install pyarrow") from None
    except Exception as error:  # each engine raises errors of its own
        raise ValueError(f"is not a Parquet file: {error}") from None


def _columns(frame: pd.DataFrame, target: str) -> XAndLabels:
    if frame.empty:
        raise ValueError("has no rows: it needs a header line and rows below it")
    column = target or str(frame.columns[-1])
    if column not in frame.columns:
        raise ValueError(f"no column {column!r}; there are {', '.join(map(str, frame.columns))}")
    features = frame.drop(columns=column)
    if features.empty:
        raise ValueError(
            f"has one column only, {column!r}: features and a target are separated by commas"
        )
    text = [str(c) for c in features.columns if features[c].dtype.kind not in "fiub"]
    if text:
        raise ValueError(f"columns {', '.join(text[:5])} hold text: encode or drop them")
    if frame[column].isna().any():
        raise ValueError(f"column {column!r} has missing labels: drop those rows")
    return features.to_numpy(dtype=float), frame[column].to_numpy()


def _arrays(path: Path) -> XAndLabels:
    garbage = "is not an NPZ file of plain numbers that NumPy can read"
    with _refusing(garbage), path.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        arrays = {}
        for name in () if isinstance(loaded, np.ndarray) else loaded:
            try:
                arrays[name] = loaded[name]
            except ValueError as error:
                if "pickle" in str(error):
                    raise InputError(f"array {name} holds Python objects: save numbers") from None
                raise
    if isinstance(loaded, np.ndarray):
        raise ValueError("holds one plain array: it needs arrays X and y, see numpy.savez")
    if set(_CSR) <= set(arrays):
        return _csr(arrays)
    if not {"X", "y"} <= set(arrays):
        raise ValueError(f"needs arrays X and y; found {', '.join(arrays) or 'none'}")
    return arrays["X"], arrays["y"]


def _csr(arrays: dict[str, NDArray[Any]]) -> XAndLabels:
    """X and labels from the arrays that `scipy.sparse.save_npz` writes, and an array `y`."""
    if "y" not in arrays:
        parts = ", ".join(f"{part}=X.{part}" for part in _CSR)
        raise ValueError(f"holds a sparse X without labels: use numpy.savez(path, y=y, {parts})")
    if "format" in arrays and arrays["format"].item() not in (b"csr", "csr"):
        raise ValueError("holds a sparse X in another format than CSR: save X.tocsr()")
    try:
        n, d = (int(size) for size in arrays["shape"])
        X = csr_array(tuple(arrays[part] for part in _CSR[:3]), shape=(n, d))
    except (ValueError, TypeError):
        raise ValueError(f"{', '.join(_CSR)} are not those of a CSR matrix") from None
    return X, arrays["y"]


def _svmlight(path: Path) -> XAndLabels:
    with _refusing("is not an svmlight file: rows of `label index:value`"):
        X, labels = load_svmlight_file(str(path))
    n, d = X.shape
    if n == 0:
        raise ValueError("is empty: svmlight needs rows of `label index:value`")
    if d > _MOST_COLUMNS:
        raise ValueError(f"{d} columns are more than can be fitted here: check the indices")
    return csr_array(X), labels


@contextmanager
def _refusing(garbage: str) -> Iterator[None]:
    """Raise ValueError with the message `garbage` for whatever a reader of binary files raises.

    On garbage they raise almost any error, such as those of zlib, zipfile and struct.
    """
    try:
        yield
    except (MemoryError, InputError):
        raise
    except Exception as error:
        raise ValueError(garbage) from error
