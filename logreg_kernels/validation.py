"""Refuses bad input once for all kernels, in one line that says what to do."""

from __future__ import annotations

import re
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_array, coo_array, csc_array, csr_array, issparse

from logreg_kernels.contract import DTYPES, Array, CSRMatrix, DType, FloatMatrix, Labels, Matrix

_REAL_KINDS = "fiub"  # NumPy's letters for floats, integers with and without sign, booleans
_LARGEST_INT32 = int(np.iinfo(np.int32).max)


def check_dtype(dtype: object) -> DType:
    """The dtype's name, from a name or from NumPy's or torch's dtype object."""
    name = str(dtype).removeprefix("torch.")
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        name = np.dtype(dtype).name
    for known in DTYPES:
        if name == known:
            return known
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {name!r}")


def check_l2(l2: SupportsFloat | str | bytes, dtype: DType = "float64") -> float:
    """`l2` as a float >= 0, finite in `dtype`."""
    try:
        if isinstance(l2, str | bytes):
            raise TypeError  # although float() reads text
        value = float(l2)
    except (TypeError, ValueError):
        raise TypeError(f"l2 must be a number >= 0; got {l2!r}") from None
    if not (np.isfinite(value) and value >= 0.0):
        raise ValueError(f"l2 must be finite and >= 0; got {value!r}")
    if value > float(np.finfo(dtype).max):
        raise ValueError(f"l2 = {value!r} is beyond the range of {dtype}: use float64")
    return value


def check_matrix(X: Array, dtype: DType, name: str = "X") -> Matrix:
    """`X` as a finite (n, d) array of `dtype`, copied only where it must be.

    Sparse X becomes canonical CSR (see `_check_csr`). Any other becomes row-contiguous.

    Args:
        name: what the messages call it.
    Raises:
        TypeError: its entries are not real numbers, or it is a sparse torch tensor in another
            layout than COO, CSR or CSC.
        ValueError: X is not 2-D, has no rows or columns, its indices are not those of a matrix,
            or it holds NaN, inf or values beyond the range of `dtype`.
    """
    if _is_sparse(X):
        return _check_csr(X, dtype, name)
    raw = _real_numbers(X, name)
    _check_shape(raw, name)
    with np.errstate(over="ignore"):
        matrix: FloatMatrix = np.ascontiguousarray(raw, dtype=dtype)
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise _not_finite(name, row, column, raw[row, column], dtype)
    return matrix


def _is_sparse(X: Array) -> bool:
    """Whether `X` is a sparse array, matrix or tensor, of SciPy or of torch."""
    return issparse(X) or _torch_layout(X).startswith("sparse_")


def _check_csr(X: Array, dtype: DType, name: str) -> CSRMatrix:
    """`X` as a finite `scipy.sparse.csr_array` of `dtype`, (n, d), in canonical form.

    In each row the column indices are sorted, and duplicates are summed as `X.toarray()` does it.
    Stored zeros stay. Indices are int32 where they fit, which halves what products read of them.
    X is never made dense and never written into. What has this form already is shared, not copied.
    """
    if not issparse(X):
        X = _from_torch(X, name)
    _check_real(X, name)
    _check_shape(X, name)
    raw = _checked_indices(X, name)
    if not raw.has_canonical_format:
        raw = raw.copy()
        raw.sum_duplicates()
    with np.errstate(over="ignore"):
        data = raw.data.astype(dtype, copy=False)
    finite = np.isfinite(data)
    if not finite.all():
        at = int(np.flatnonzero(~finite)[0])
        row = int(np.searchsorted(raw.indptr, at, side="right")) - 1
        raise _not_finite(name, row, raw.indices[at], raw.data[at], dtype)
    fits = max(*raw.shape, raw.nnz) <= _LARGEST_INT32
    index = np.int32 if fits else np.int64
    parts = (data, raw.indices.astype(index, copy=False), raw.indptr.astype(index, copy=False))
    matrix = csr_array(parts, shape=raw.shape)
    matrix.has_canonical_format = True
    return matrix


def filled(X: CSRMatrix) -> str:
    """How much of a CSR matrix is stored, in words: "0.2% filled"."""
    n, d = X.shape
    return f"{100 * X.nnz / n / d:.2g}% filled"


def check_labels(y: Array, n_samples: int) -> Labels:
    """`y` as integers 0 ... c - 1, shape (n,), each of them present, c >= 2.

    Raises:
        TypeError: the labels are not numbers.
        ValueError: wrong length, other labels, a class without a row, or one class only.
    """
    labels = check_label_values(y, n_samples)
    rows = np.bincount(labels)
    if np.count_nonzero(rows) == 1:
        raise ValueError(
            f"y must hold both classes; all {n_samples} labels are {labels[0]}: nothing to fit"
        )
    if not rows.all():
        empty = int(np.flatnonzero(rows == 0)[0])
        found = _listed(np.flatnonzero(rows))
        raise ValueError(
            f"labels must be 0 and 1, or 0 ... c - 1 with no gap; found {found} but no {empty}: "
            "recode them, numpy.unique(y, return_inverse=True)[1]"
        )
    return labels


def check_label_values(
    y: Array, n_samples: int, name: str = "y", n_classes: int | None = None
) -> Labels:
    """As `check_labels`, but a class may be missing.

    Args:
        n_classes: labels must be below it; None for any.
    """
    raw = _real_numbers(y, name)
    if raw.shape != (n_samples,):
        hint = "use y.ravel()" if raw.size == n_samples else "pass the labels of these rows"
        raise ValueError(
            f"{name} must have one label per row of X, shape ({n_samples},); "
            f"got {raw.shape}: {hint}"
        )
    classes = np.unique(raw)
    whole = np.isfinite(classes).all() and (classes == np.floor(classes)).all()
    # More classes than rows can't each have a row, and counting them might fill the memory.
    top = (n_samples if n_classes is None else n_classes) - 1
    if not whole or classes[0] < 0 or classes[-1] > max(top, 1):
        hint = "map -1 to 0" if -1 in classes else "recode them"
        labels = "labels" if name == "y" else f"{name} labels"
        wanted = "0 and 1, or 0 ... c - 1"
        if n_classes is not None:
            wanted = "0 and 1" if n_classes == 2 else f"0 ... {n_classes - 1}"
        raise ValueError(f"{labels} must be {wanted}; found {_listed(classes)}: {hint}")
    return raw.astype(np.intp)


def _listed(classes: NDArray[Any]) -> str:
    return ", ".join(f"{c:g}" for c in classes[:5]) + (", ..." if len(classes) > 5 else "")


def check_coefficients(w: Array, shape: tuple[int, ...], name: str = "w") -> None:
    """Raise ValueError unless `w` has the shape asked for. Looks at the shape only."""
    if tuple(w.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}; got {tuple(w.shape)}")


def check_models(W: Array, coefficient_shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `W` holds k >= 1 models. Looks at the shape only."""
    shape = tuple(W.shape)
    if shape[1:] != coefficient_shape or shape[0] < 1:
        wanted = ", ".join(map(str, coefficient_shape))
        raise ValueError(f"W must have shape (k, {wanted}), k >= 1; got {shape}")


def check_rows(rows: Array) -> None:
    """Raise unless `rows` is (m,) with m >= 1, of integers. Looks at shape and dtype only.

    Raises:
        ValueError: rows is empty or not one-dimensional.  TypeError: rows are not integers.
    """
    if rows.ndim != 1 or rows.shape[0] < 1:
        raise ValueError(
            f"rows must be a list of at least one row index; got shape {tuple(rows.shape)}"
        )
    # torch's dtypes have no kind: the first letter of their name serves.
    kind = getattr(rows.dtype, "kind", None) or str(rows.dtype).removeprefix("torch.")[0]
    if kind not in "iu":
        raise TypeError(
            f"rows must hold row indices, integers; got {rows.dtype}: "
            "for a mask pass the positions where it is true"
        )


def _real_numbers(values: Array, name: str) -> NDArray[Any]:
    """A NumPy view or copy of `values`, refused unless it holds real numbers or booleans."""
    if hasattr(values, "detach"):  # a torch tensor, wherever it lies
        values = values.detach().cpu()
    try:
        raw = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers: {error}") from None
    if raw.dtype == object and hasattr(values, "columns"):
        raw = _frame_of_real_numbers(values, name)
    _check_real(raw, name)
    return raw


def _frame_of_real_numbers(frame: Any, name: str) -> NDArray[Any]:
    """A DataFrame, column by column: mixed numbers and booleans are objects to NumPy as a whole."""
    columns = []
    for label, column in frame.items():
        columns.append(np.asarray(column))
        if columns[-1].dtype.kind not in _REAL_KINDS:
            raise TypeError(
                f"{name} must hold real numbers; column {label!r} has dtype {column.dtype}: "
                "encode it first"
            )
    return np.column_stack(columns) if columns else np.empty(frame.shape)


def _check_real(X: Array, name: str) -> None:
    """Raise TypeError unless an array holds real numbers or booleans."""
    if X.dtype.kind not in _REAL_KINDS:
        raise TypeError(f"{name} must hold real numbers; got dtype {X.dtype}: encode it first")


def _check_shape(X: Array, name: str) -> None:
    """Raise ValueError unless an array is (n, d), n and d >= 1."""
    if X.ndim != 2:
        raise ValueError(f"{name} must have shape (n, d); got {X.shape}: use X.reshape(n, d)")
    if 0 in X.shape:
        raise ValueError(f"{name} must have at least one row and one column; got shape {X.shape}")


def _not_finite(name: str, row: int, column: int, found: Any, dtype: DType) -> ValueError:
    """The error for an entry of X that is not finite, or not in the range of `dtype`."""
    where = f"{name}[{row}, {column}]"
    if np.isfinite(found):
        return ValueError(f"{where} = {found!s} is beyond the range of {dtype}: scale {name}")
    return ValueError(f"{name} must be finite; {where} is {found!s}: drop or impute such rows")


def _checked_indices(X: Array, name: str) -> CSRMatrix:
    """`X` as CSR, with indices checked: compiled code trusts them. Shared where it is CSR."""
    compressed = {"csr": csr_array, "csc": csc_array, "bsr": bsr_array}.get(X.format)
    try:
        if compressed is not None:
            # A new object on the same memory: SciPy's check trims the arrays of the one it checks.
            X = compressed((X.data, X.indices, X.indptr), shape=X.shape)
            X.check_format(full_check=True)
        # Only CSR itself shares memory with the result.
        return csr_array(X)
    except (ValueError, IndexError) as error:
        why = re.sub(r"\s+", " ", str(error)).rstrip(".")
        raise ValueError(f"{name} is not a valid {X.format.upper()} matrix: {why}") from None


def _torch_layout(X: Array) -> str:
    """A torch tensor's layout ("strided", "sparse_csr", ...); empty for anything else."""
    return str(getattr(X, "layout", "")).removeprefix("torch.") if hasattr(X, "detach") else ""


def _from_torch(X: Array, name: str) -> Any:
    """A sparse torch tensor, wherever it lies, as SciPy's array of the same format."""
    layout, shape = _torch_layout(X), tuple(X.shape)
    X = X.detach().cpu()
    if X.sparse_dim() != X.ndim:
        raise TypeError(f"{name} has dense dimensions: pass X.to_dense()")
    if layout == "sparse_coo":
        X = X.coalesce()
        return coo_array((X.values().numpy(), tuple(X.indices().numpy())), shape=shape)
    if layout not in ("sparse_csr", "sparse_csc") or X.ndim != 2:
        raise TypeError(f"{name} is {layout}, {X.ndim}-D, and not read: pass X.to_sparse_coo()")
    if layout == "sparse_csr":
        parts = (X.values().numpy(), X.col_indices().numpy(), X.crow_indices().numpy())
        return csr_array(parts, shape=shape)
    parts = (X.values().numpy(), X.row_indices().numpy(), X.ccol_indices().numpy())
    return csc_array(parts, shape=shape)
