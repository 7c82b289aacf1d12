"""The contract, with sparse X: every kernel that takes CSR computes what it does of dense X."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from csr_cases import scrambled, sparse_case, with_index_type
from exact import assert_same_but_rounding, check_against_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import Case, Variant, bits, each_c, each_csr_variant, offers, to_numpy

from logreg_kernels import KERNELS, Objective, bind


def bind_both(variant: Variant, case: Case, l2: float = 0.1) -> tuple[Objective, Objective, Any]:
    """Sparse, dense, and w."""
    sparse = variant.bind(sp.csr_array(case.X), case.y, l2=l2)
    return sparse, variant.bind(case.X, case.y, l2=l2), sparse.as_coefficients(case.w)


# --- values ----------------------------------------------------------------------------------


@each_csr_variant
@given(
    n=st.integers(4, 40),
    d=st.integers(1, 12),
    c=st.sampled_from([2, 3, 4]),
    filled=st.sampled_from([0.0, 0.02, 0.2, 1.0]),
    seed=st.integers(0, 2**32 - 1),
    l2=st.sampled_from([0.0, 1e-3, 10.0]),
    scale=st.floats(-3, 3).map(lambda e: 10.0**e),
)
@settings(max_examples=25)
def test_error_is_rounding_anywhere(
    variant: Variant, n: int, d: int, c: int, filled: float, seed: int, l2: float, scale: float
) -> None:
    case = sparse_case(n, d, variant.dtype, filled, seed, c)
    w = (scale * case.w.astype(np.float64)).astype(variant.dtype)
    case = Case(X=case.X, y=case.y, w=w)
    sparse, dense, w = bind_both(variant, case, l2)
    got = sparse.value_and_grad(w)
    check_against_exact(variant, *got, case, l2)
    assert_same_but_rounding(variant, case, got, dense.value_and_grad(w), l2)
    again = variant.bind(scrambled(case.X, seed), case.y, l2=l2)
    assert_same_but_rounding(variant, case, again.value_and_grad(w), got, l2)


@each_csr_variant
@each_c
@pytest.mark.parametrize("entries", [[], [(2, 1)], [(0, 0), (0, 5), (6, 0), (6, 5)]], ids=len)
def test_few_entries(variant: Variant, c: int, entries: list[tuple[int, int]]) -> None:
    X = np.zeros((7, 6), dtype=variant.dtype)
    for entry in entries:
        X[entry] = 1.5
    w = np.linspace(-1, 1, 6 if c == 2 else 6 * c).reshape(6 if c == 2 else (c, 6))
    case = Case(X=X, y=np.arange(7) % c, w=w.astype(variant.dtype))
    sparse, _, w = bind_both(variant, case)
    check_against_exact(variant, *sparse.value_and_grad(w), case, l2=0.1)
    for rows in ([0], [1, 1], [6, 2, 0, 2]):
        part = Case(X=X[rows], y=case.y[rows], w=case.w)
        check_against_exact(variant, *sparse.value_and_grad(w, rows=rows), part, l2=0.1)


@each_csr_variant
@each_c
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(1, 60))
@settings(max_examples=15)
def test_rows_are_the_mean_over_these_rows(variant: Variant, c: int, seed: int, m: int) -> None:
    case = sparse_case(23, 9, variant.dtype, 0.15, seed, c)
    rows = np.random.default_rng(seed).integers(23, size=m)
    rows[-1] = rows[0]
    sparse, _, w = bind_both(variant, case)
    got = sparse.value_and_grad(w, rows=sparse.as_rows(rows))
    check_against_exact(variant, *got, Case(X=case.X[rows], y=case.y[rows], w=case.w), l2=0.1)
    assert bits(sparse.value_and_grad(w, rows=rows - 23)) == bits(got)  # counted from the end


@each_csr_variant
@pytest.mark.parametrize("rows", [[23], [-24], [0, 10**6]], ids=repr)
def test_rows_that_are_not_there(variant: Variant, rows: list[int]) -> None:
    sparse, _, w = bind_both(variant, sparse_case(23, 9, variant.dtype, 0.15, 0))
    with pytest.raises(IndexError):
        sparse.value_and_grad(w, rows=rows)


@each_csr_variant
@pytest.mark.parametrize("k", [1, 5])
def test_batch_is_k_single_calls(variant: Variant, k: int) -> None:
    case = sparse_case(301, 9, variant.dtype, 0.15, seed=k)
    sparse, _, _ = bind_both(variant, case)
    W = np.random.default_rng(1).standard_normal((k, 9)).astype(variant.dtype)
    values, grads = (to_numpy(part) for part in sparse.value_and_grad_batch(W))
    assert (values.shape, grads.shape) == ((k,), (k, 9))
    assert values.dtype == grads.dtype == variant.dtype
    for w, value, grad in zip(W, values, grads, strict=True):
        single = sparse.value_and_grad(sparse.as_coefficients(w))
        assert_same_but_rounding(variant, Case(case.X, case.y, w), (value, grad), single)


@each_csr_variant
@each_c
def test_hessian_and_its_products_are_those_of_dense_x(variant: Variant, c: int) -> None:
    case = sparse_case(61, 7, variant.dtype, 0.3, seed=c, c=c)
    sparse, dense, w = bind_both(variant, case)
    v = sparse.as_coefficients(np.random.default_rng(1).standard_normal(case.w.shape))
    for method, arguments in (("hessian", (w,)), ("hvp", (w, v))):
        if not offers(sparse, method):
            continue
        got, expected = (getattr(f, method)(*arguments) for f in (sparse, dense))
        assert type(got) is type(w)
        got, expected = to_numpy(got), to_numpy(expected)
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        # p (1 - p) and entries of X are of size 1, logits of size 10.
        np.testing.assert_allclose(got, expected, rtol=0, atol=40 * variant.eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_c
def test_values_of_the_reference(dtype: str, c: int) -> None:
    case = sparse_case(61, 7, dtype, 0.3, seed=c, c=c)
    f: Any = bind("numpy", sp.csr_array(case.X), case.y, l2=0.1, dtype=dtype)
    models = np.stack([case.w, -2 * case.w, 0 * case.w])
    expected = [float(f.value_and_grad(w)[0]) for w in models]
    eps = float(np.finfo(dtype).eps)
    assert f.value_batch(models) == pytest.approx(expected, rel=16 * eps)
    assert f.nll(case.w).mean() + 0.05 * (case.w**2).sum() == pytest.approx(expected[0], rel=1e-5)


def test_many_values_are_summed_pairwise() -> None:
    # Added one by one, 2^17 equal float32 are off by more than a thousand roundings.
    n = 1 << 17
    f: Any = bind("numpy", sp.csr_array((n, 3)), np.arange(n) % 2, dtype="float32")
    assert f.value_batch(np.ones((2, 3))) == pytest.approx(np.log(2), rel=1e-6)


@each_csr_variant
@each_c
def test_results_are_like_w(variant: Variant, c: int) -> None:
    case = sparse_case(23, 9, variant.dtype, 0.15, seed=1, c=c)
    sparse, _, w = bind_both(variant, case)
    assert (sparse.n_samples, sparse.n_features) == (23, 9)
    assert sparse.coefficient_shape == case.w.shape
    for rows in (None, [1, 1, 0]):
        with torch.no_grad():
            value, grad = sparse.value_and_grad(w, rows=rows)
        assert tuple(np.shape(value)) == ()
        assert type(grad) is type(w)
        assert (grad.shape, grad.dtype) == (w.shape, w.dtype)
        assert grad.flags.c_contiguous if isinstance(grad, np.ndarray) else grad.is_contiguous()
        assert bits(sparse.value_and_grad(w, rows=rows)) == bits((value, grad))


A = sparse_case(12, 5, "float32", 0.4, seed=3)  # exact in both dtypes


@pytest.mark.slow
@each_csr_variant
@each_c
def test_wide_indices(variant: Variant, c: int) -> None:
    # Where they don't fit, a kernel gets int64, which no test has the memory to need.
    case = sparse_case(23, 9, variant.dtype, 0.15, seed=1, c=c)
    kernel: Any = KERNELS[variant.kernel]
    where = {"l2": 0.1, "device": variant.device, "dtype": variant.dtype}
    wide = kernel.bind(with_index_type(sp.csr_array(case.X), np.int64), case.y, **where)
    sparse, _, w = bind_both(variant, case)
    for rows in (None, [3, 3, 0]):
        got, expected = (f.value_and_grad(w, rows=rows) for f in (wide, sparse))
        part = case if rows is None else Case(case.X[rows], case.y[rows], case.w)
        assert_same_but_rounding(variant, part, got, expected)


@each_csr_variant
@pytest.mark.parametrize("make", [sp.csr_array, sp.csc_array, lambda X: scrambled(X, 0)])
def test_x_is_left_as_it_was(variant: Variant, make: Callable[[Any], Any]) -> None:
    X = make(A.X)
    parts = (X.data, X.indices, X.indptr)
    before = [part.copy() for part in parts]
    objective: Any = variant.bind(X, A.y, l2=0.1)
    w = objective.as_coefficients(A.w)
    objective.value_and_grad(w)
    objective.value_and_grad(w, rows=[0, 1])
    objective.value_and_grad_batch(objective.as_coefficients([A.w, A.w]))
    for method, arguments in (("hessian", (w,)), ("hvp", (w, w))):
        if offers(objective, method):
            getattr(objective, method)(*arguments)
    for mine, part, now in zip(before, parts, (X.data, X.indices, X.indptr), strict=True):
        assert part is now
        np.testing.assert_array_equal(mine, part)


@each_csr_variant
def test_read_only_x(variant: Variant) -> None:
    X = sp.csr_array(A.X.astype(variant.dtype))
    expected = bits(variant.bind(X, A.y).value_and_grad(A.w))
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    for rows in (None, [1, 0, 1]):
        got = variant.bind(X, A.y).value_and_grad(A.w, rows=rows)
        assert (bits(got) == expected) == (rows is None)


# --- memory ----------------------------------------------------------------------------------


@each_csr_variant
@each_c
def test_nothing_is_made_dense(variant: Variant, c: int) -> None:
    n, d, entries = 1_000, 200_000, 20_000
    rng = np.random.default_rng(0)
    at = (rng.integers(n, size=entries), rng.integers(d, size=entries))
    X = sp.coo_array((rng.standard_normal(entries), at), shape=(n, d))
    dense_bytes = n * d * np.dtype(variant.dtype).itemsize

    def evaluate(X: Any) -> tuple[Any, Any]:
        objective: Any = variant.bind(X, np.arange(n) % c, l2=1e-3)
        w = objective.as_coefficients(np.full(objective.coefficient_shape, 0.5))
        value, grad = objective.value_and_grad(w)
        objective.value_and_grad(w, rows=np.arange(0, n, 3))
        if offers(objective, "hvp"):
            objective.hvp(w, w)
        if c == 2:
            ones = np.ones((2, X.shape[1]))
            objective.value_and_grad_batch(objective.as_coefficients(ones))
        return value, grad

    evaluate(X.tocsr()[:, :50])  # what compiling takes is no copy of X
    resident_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    value, grad = evaluate(X)
    _, peak = tracemalloc.get_traced_memory()  # of NumPy's arrays
    tracemalloc.stop()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident_before  # of torch's
    assert peak < dense_bytes / 10
    assert resident * 1024 < dense_bytes / 4
    assert np.isfinite(float(value))
    assert np.isfinite(to_numpy(grad)).all()
