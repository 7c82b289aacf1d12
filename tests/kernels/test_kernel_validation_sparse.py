"""Which sparse data `bind` takes and in what words it refuses the rest, before any kernel runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from csr_cases import scrambled, sparse_case, with_index_type
from variants import VARIANTS, Variant, assert_one_line_with, bits, each, each_csr_variant

from logreg_kernels import KERNELS, bind
from logreg_kernels.validation import DTYPES, check_matrix

each_dense_only_variant = each([v for v in VARIANTS if not KERNELS[v.kernel].takes_csr])

A = sparse_case(12, 5, "float32", 0.4, seed=3)  # exact in both dtypes
FORMS: dict[str, Callable[[], Any]] = {
    **{
        f"{name}_{kind}": lambda name=name, kind=kind: getattr(sp, f"{name}_{kind}")(A.X)
        for name in ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")
        for kind in ("array", "matrix")
    },
    "float64": lambda: sp.csr_array(A.X.astype(np.float64)),
    "unsorted, duplicates, stored zeros": lambda: scrambled(A.X, 0),
    "int64 indices": lambda: with_index_type(sp.csr_array(A.X), np.int64),
    "torch COO": lambda: torch.tensor(A.X).to_sparse(),
    "torch CSR": lambda: torch_compressed("csr"),
    "torch CSC": lambda: torch_compressed("csc"),
    "torch COO with duplicates": lambda: torch.sparse_coo_tensor(
        *torch_duplicates(), size=A.X.shape, check_invariants=True
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta")
def torch_compressed(layout: str) -> torch.Tensor:
    tensor = torch.tensor(A.X)
    return tensor.to_sparse_csr() if layout == "csr" else tensor.to_sparse_csc()


def torch_duplicates() -> tuple[torch.Tensor, torch.Tensor]:
    twice = sp.coo_array(A.X)
    at = torch.tensor(np.array([[*twice.row, *twice.row], [*twice.col, *twice.col]]))
    return at, torch.tensor(np.tile(twice.data / 2, 2))


@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta")
@pytest.mark.parametrize("form", FORMS)
def test_sparse_x_in_any_form(form: str) -> None:
    canonical = sp.csr_array(A.X)
    for dtype in DTYPES:
        matrix = check_matrix(FORMS[form](), dtype)
        assert type(matrix) is sp.csr_array
        assert matrix.dtype == matrix.data.dtype == np.dtype(dtype)
        assert {matrix.indices.dtype, matrix.indptr.dtype} == {np.dtype(np.int32)}
        np.testing.assert_array_equal(matrix.toarray(), A.X)
        for row in range(matrix.shape[0]):
            columns = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            assert (np.diff(columns) > 0).all()
        if "zeros" not in form:
            for part in ("data", "indices", "indptr"):
                np.testing.assert_array_equal(getattr(matrix, part), getattr(canonical, part))


@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta")
@each_csr_variant
def test_each_kernel_takes_other_forms_to_the_last_bit(variant: Variant) -> None:
    expected = bits(variant.bind(sp.csr_array(A.X), A.y, l2=0.1).value_and_grad(A.w))
    for form in ("csc_matrix", "float64", "int64 indices", "torch CSR"):
        assert bits(variant.bind(FORMS[form](), A.y, l2=0.1).value_and_grad(A.w)) == expected


@pytest.mark.parametrize("values", [np.int64, np.uint8, np.bool_, np.longdouble])
def test_sparse_x_of_other_numbers(values: type) -> None:
    X = np.rint(np.abs(A.X) * 3).astype(values)
    matrix = check_matrix(sp.csr_array(X), "float64")
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix.toarray(), X)


def test_duplicates_are_summed_as_scipy_does() -> None:
    X = sp.csr_array((np.full(3, 0.1), [1, 0, 1], [0, 3]), shape=(1, 2))
    matrix = check_matrix(X, "float32")
    assert matrix.indices.tolist() == [0, 1]
    np.testing.assert_array_equal(matrix.toarray(), X.toarray().astype(np.float32))
    np.testing.assert_array_equal(X.indices, [1, 0, 1])


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
def test_canonical_csr_is_not_copied(kind: Any) -> None:
    given_X = kind(A.X)
    matrix = check_matrix(given_X, "float32")
    assert type(matrix) is sp.csr_array
    for part in ("data", "indices", "indptr"):
        assert np.shares_memory(getattr(matrix, part), getattr(given_X, part))


def test_indices_are_int32_where_they_fit() -> None:
    narrow = check_matrix(with_index_type(sp.csr_array(A.X), np.int64), "float32")
    assert {narrow.indices.dtype, narrow.indptr.dtype} == {np.dtype(np.int32)}
    wide = sp.csr_array(([1.0], ([1], [2**31])), shape=(2, 2**31 + 5))
    wide = check_matrix(wide, "float64")
    assert {wide.indices.dtype, wide.indptr.dtype} == {np.dtype(np.int64)}
    assert wide.indices.tolist() == [2**31]


def with_entries(data: Any, indices: Any, indptr: Any) -> sp.csr_array:
    """Twelve rows, the first of them as given."""
    X = sp.csr_array((12, 5))
    X.data, X.indices = np.array(data), np.array(indices, dtype=np.int32)
    X.indptr = np.array([*indptr, *[indptr[-1]] * (13 - len(indptr))], dtype=np.int32)
    return X


BAD: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    "NaN": (
        lambda: with_entries([1, np.nan], [0, 3], [0, 1, 1, 2]),
        ValueError,
        ("X[2, 3] is nan",),
    ),
    "inf": (
        lambda: sp.csc_array(with_entries([1, np.inf], [0, 3], [0, 1, 2])),
        ValueError,
        ("finite", "X[1, 3] is inf", "drop"),
    ),
    "complex": (lambda: sp.csr_array(A.X + 0j), TypeError, ("real numbers", "complex", "encode")),
    "1-D": (lambda: sp.coo_array(A.X[0]), ValueError, ("(n, d)", "got (5,)", "reshape")),
    "no columns": (lambda: sp.csr_array((12, 0)), ValueError, ("one column", "(12, 0)")),
    "no rows": (lambda: sp.coo_array((0, 5)), ValueError, ("at least one row", "(0, 5)")),
    "a column too many": (
        lambda: with_entries([1.0], [5], [0, 1]),
        ValueError,
        ("not a valid CSR matrix", "indices must be < 5"),
    ),
    "rows that go back": (
        lambda: with_entries([1.0, 1.0], [0, 1], [0, 2, 1, 2]),
        ValueError,
        ("not a valid CSR matrix", "indptr"),
    ),
    "too few labels": (lambda: sp.csr_array((13, 5)), ValueError, ("one label per row", "(13,)")),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_sparse_input_is_refused_in_one_line(what: str) -> None:
    make, error, words = BAD[what]
    for dtype in DTYPES:
        with pytest.raises(error) as caught:
            bind("numpy", make(), A.y, dtype=dtype)
        assert_one_line_with(caught.value, words)


@each_csr_variant
def test_every_kernel_is_bound_to_checked_data(variant: Variant) -> None:
    for what in ("NaN", "a column too many", "rows that go back", "too few labels"):
        make, error, words = BAD[what]
        with pytest.raises(error) as caught:
            variant.bind(make(), A.y)
        assert_one_line_with(caught.value, words)


@pytest.mark.filterwarnings("ignore:Sparse BSR tensor support is in beta")
def test_other_layouts_of_torch() -> None:
    with pytest.raises(TypeError, match=r"X is sparse_bsr, 2-D.*pass X\.to_sparse_coo"):
        check_matrix(torch.ones(4, 4).to_sparse_bsr((2, 2)), "float64")
    with pytest.raises(TypeError, match=r"dense dimensions: pass X\.to_dense"):
        check_matrix(torch.ones(4, 4).to_sparse(1), "float64")


def test_beyond_the_range_of_float32() -> None:
    X = sp.csr_array([[0.0, 0.0], [0.0, 1e39]])
    assert check_matrix(X, "float64").nnz == 1
    with pytest.raises(ValueError, match=re.escape("X[1, 1] = 1e+39 is beyond the range of float")):
        check_matrix(X, "float32")


@each_dense_only_variant
def test_a_kernel_for_dense_x_only_says_so(variant: Variant) -> None:
    takes = [k.name for k in KERNELS.values() if k.takes_csr and not k.unavailable(variant.device)]
    X = sp.csr_array(([1.0, 2.0], ([0, 7], [3, 199])), shape=(10, 200))
    with pytest.raises(
        ValueError, match=f"^kernel '{variant.kernel}' takes dense X only"
    ) as caught:
        variant.bind(X, np.arange(10) % 2)
    assert str(caught.value).endswith(
        f"got CSR (10, 200), 0.1% filled: use {', '.join(takes)} (or pass X.toarray())"
    )
