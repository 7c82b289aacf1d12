"""Bad input is refused here, once for all kernels, in one line that says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from logreg_kernels.contract import Array, DType, FloatMatrix

DTYPES: tuple[DType, ...] = ("float32", "float64")


def check_dtype(dtype: object) -> DType:
    """The dtype's name, from a name or from NumPy's or torch's dtype object."""
    name = str(dtype).removeprefix("torch.")
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        name = np.dtype(dtype).name
    for known in DTYPES:
        if name == known:
            return known
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {name!r}")


def check_l2(l2: float) -> float:
    """`l2` as a finite float >= 0."""
    try:
        value = float(l2)
    except (TypeError, ValueError):
        raise TypeError(f"l2 must be a number >= 0; got {l2!r}") from None
    if not (np.isfinite(value) and value >= 0.0):
        raise ValueError(f"l2 must be finite and >= 0; got {value!r}")
    return value


def check_matrix(X: Array, dtype: DType) -> FloatMatrix:
    """`X` as a finite, row-contiguous (n, d) array of `dtype`; copied only where it must be.

    Raises:
        TypeError: X is sparse, or its entries are not real numbers.
        ValueError: X is not 2-D, has no rows or columns, or holds NaN, inf or values
            beyond the range of `dtype`.
    """
    if hasattr(X, "tocsr"):
        raise TypeError("X is sparse, and no kernel here takes that yet: pass X.toarray()")
    raw = _real_numbers(X, "X")
    if raw.ndim != 2:
        raise ValueError(f"X must have shape (n, d); got {raw.shape}: use X.reshape(n, d)")
    if 0 in raw.shape:
        raise ValueError(f"X must have at least one row and one column; got shape {raw.shape}")
    with np.errstate(over="ignore"):
        matrix: FloatMatrix = np.ascontiguousarray(raw, dtype=dtype)
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        found = raw[row, column]
        if np.isfinite(found):
            raise ValueError(
                f"X[{row}, {column}] = {found!s} is beyond the range of {dtype}: scale X"
            )
        raise ValueError(
            f"X must be finite; X[{row}, {column}] is {found!s}: drop or impute such rows"
        )
    return matrix


def check_labels(y: Array, n_samples: int) -> NDArray[np.intp]:
    """`y` as integers 0 and 1, shape (n,), both of them present.

    Raises:
        TypeError: the labels are not numbers.
        ValueError: wrong length, a label other than 0 and 1, or one class only.
    """
    raw = _real_numbers(y, "y")
    if raw.shape != (n_samples,):
        raise ValueError(
            f"y must have one label per row of X, shape ({n_samples},); got {raw.shape}"
        )
    classes = np.unique(raw)
    if not np.isin(classes, (0, 1)).all():
        found = ", ".join(f"{c:g}" for c in classes[:5]) + (", ..." if len(classes) > 5 else "")
        hint = "map -1 to 0" if -1 in classes else "recode them"
        raise ValueError(f"labels must be 0 and 1; found {found}: {hint}")
    if len(classes) < 2:
        raise ValueError(
            f"y must hold both classes; all {n_samples} labels are {classes[0]:g}: nothing to fit"
        )
    return raw.astype(np.intp)


def check_coefficients(w: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `w` has the shape asked for. Looks at the shape only."""
    if tuple(w.shape) != shape:
        raise ValueError(f"w must have shape {shape}; got {tuple(w.shape)}")


def check_models(W: Array, n_features: int) -> None:
    """Raise ValueError unless `W` is (k, d) with k >= 1. Looks at the shape only."""
    if W.ndim != 2 or W.shape[0] < 1 or W.shape[1] != n_features:
        raise ValueError(f"W must have shape (k, {n_features}), k >= 1; got {tuple(W.shape)}")


def check_rows(rows: Array) -> None:
    """Raise ValueError unless `rows` is (m,) with m >= 1. Looks at the shape only."""
    if rows.ndim != 1 or rows.shape[0] < 1:
        raise ValueError(
            f"rows must be a list of at least one row index; got shape {tuple(rows.shape)}"
        )


def _real_numbers(values: Array, name: str) -> NDArray[Any]:
    """A NumPy view or copy of `values`, refused unless it holds real numbers or booleans."""
    if hasattr(values, "detach"):  # a torch tensor, wherever it lies
        values = values.detach().cpu()
    try:
        raw = np.asarray(values)
    except ValueError as error:
        raise TypeError(f"{name} must be an array of numbers: {error}") from None
    if raw.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers; got dtype {raw.dtype}: encode it first")
    return raw
