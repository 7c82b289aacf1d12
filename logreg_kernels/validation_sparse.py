"""Makes canonical CSR of sparse design matrices of any format, or refuses them in one line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from scipy.sparse import bsr_array, coo_array, csc_array, csr_array, issparse

from logreg_kernels.contract import Array, CSRMatrix, DType

REAL_KINDS = "fiub"  # NumPy's letters for floats, integers with and without sign, booleans
_LARGEST_INT32 = int(np.iinfo(np.int32).max)


def is_sparse(X: Array) -> bool:
    """Whether `X` is a sparse array, matrix or tensor, of SciPy or of torch."""
    return issparse(X) or _torch_layout(X).startswith("sparse_")


def check_csr(X: Array, dtype: DType, name: str = "X") -> CSRMatrix:
    """`X` as a finite `scipy.sparse.csr_array` of `dtype`, (n, d), in canonical form.

    In each row the column indices are sorted, and duplicates are summed as `X.toarray()` does it.
    Stored zeros stay. Indices are int32 where they fit, which halves what products read of them.
    X is never made dense and never written into. What has this form already is shared, not copied.

    Args:
        X: sparse, as `is_sparse` says: any format of SciPy, or a torch tensor in COO, CSR or CSC.
        name: what the messages call it.
    Raises:
        TypeError: its entries are not real numbers, or it is a torch tensor of another layout.
        ValueError: X is not 2-D, has no rows or columns, its indices are not those of a matrix,
            or it holds NaN, inf or values beyond the range of `dtype`.
    """
    if not issparse(X):
        X = _from_torch(X, name)
    check_real(X, name)
    check_shape(X, name)
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
        raise not_finite(name, row, raw.indices[at], raw.data[at], dtype)
    fits = max(*raw.shape, raw.nnz) <= _LARGEST_INT32
    index = np.int32 if fits else np.int64
    parts = (data, raw.indices.astype(index, copy=False), raw.indptr.astype(index, copy=False))
    matrix = csr_array(parts, shape=raw.shape)
    matrix.has_canonical_format = True
    return matrix


def check_real(X: Array, name: str) -> None:
    """Raise TypeError unless an array holds real numbers or booleans."""
    if X.dtype.kind not in REAL_KINDS:
        raise TypeError(f"{name} must hold real numbers; got dtype {X.dtype}: encode it first")


def check_shape(X: Array, name: str) -> None:
    """Raise ValueError unless an array is (n, d), n and d >= 1."""
    if X.ndim != 2:
        raise ValueError(f"{name} must have shape (n, d); got {X.shape}: use X.reshape(n, d)")
    if 0 in X.shape:
        raise ValueError(f"{name} must have at least one row and one column; got shape {X.shape}")


def not_finite(name: str, row: int, column: int, found: Any, dtype: DType) -> ValueError:
    """The error for an entry of X that is not finite, or not in the range of `dtype`."""
    where = f"{name}[{row}, {column}]"
    if np.isfinite(found):
        return ValueError(f"{where} = {found!s} is beyond the range of {dtype}: scale {name}")
    return ValueError(f"{name} must be finite; {where} is {found!s}: drop or impute such rows")


def filled(X: CSRMatrix) -> str:
    """How much of a CSR matrix is stored, in words: "0.2% filled"."""
    n, d = X.shape
    return f"{100 * X.nnz / n / d:.2g}% filled"


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
