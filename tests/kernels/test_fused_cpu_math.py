"""The scalar functions and the products of `fused-cpu`, against mpmath and float64 products."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from logreg_kernels.fused_cpu.blocks import padded
from logreg_kernels.fused_cpu.compile import inlined
from logreg_kernels.fused_cpu.math import exp_of_negative, log1p_of_fraction
from logreg_kernels.fused_cpu.products import add_products, add_weighted_rows, row_products

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LOWEST = {np.float32: -110.0, np.float64: -760.0}


@inlined
def exp_all(x: Any, out: Any) -> None:
    """As in the kernel: inside a loop that becomes vector code."""
    for i in range(x.shape[0]):
        out[i] = exp_of_negative(x[i])


@inlined
def log1p_all(x: Any, out: Any) -> None:
    for i in range(x.shape[0]):
        out[i] = log1p_of_fraction(x[i])


def worst_ulp(compiled: Any, exact: Any, x: NDArray[Any]) -> float:
    """Largest error in units of the last place of the exact result, subnormal ones included."""
    out = np.empty_like(x)
    compiled(x, out)
    ulps = []
    with mpmath.workdps(40):
        for got, argument in zip(out, x, strict=True):
            true = exact(mpmath.mpf(float(argument)))
            unit = mpmath.mpf(float(np.spacing(x.dtype.type(float(true)))))
            ulps.append(float(abs(mpmath.mpf(float(got)) - true) / unit))
    return max(ulps)


def anywhere(dtype: Any, low: float) -> NDArray[Any]:
    """Arguments in low ... 0: evenly, near 0 on a log scale, and around multiples of ln 2."""
    rng = np.random.default_rng(0)
    halves = (np.arange(0, int(-low / np.log(2))) + 0.5) * -np.log(2)
    parts = (rng.uniform(low, 0, 3000), -(10.0 ** rng.uniform(-45, 2, 2000)), halves, [0.0, -0.0])
    x = np.concatenate(parts).astype(dtype)
    return x[x >= low]


@each_dtype
def test_exp_over_the_whole_range(dtype: Any) -> None:
    assert worst_ulp(exp_all, mpmath.exp, anywhere(dtype, LOWEST[dtype])) <= 1.25


@each_dtype
def test_log1p_over_the_whole_range(dtype: Any) -> None:
    x = np.exp(anywhere(np.float64, LOWEST[dtype])).astype(dtype)
    assert worst_ulp(log1p_all, mpmath.log1p, x) <= 1.75


@each_dtype
@given(st.floats(-800, 0), st.integers(0, 40))
@settings(max_examples=200)
def test_exp_anywhere(dtype: Any, x: float, length: int) -> None:
    # In any place of an array of any length: vector code and its remainder agree.
    argument = np.full(length + 1, x, dtype=dtype)
    out = np.empty_like(argument)
    exp_all(argument, out)
    assert len(set(out.tolist())) == 1
    assert worst_ulp(exp_all, mpmath.exp, argument[:1]) <= 1.25


@each_dtype
def test_what_is_not_a_number(dtype: Any) -> None:
    x = np.array([np.nan, -np.inf, 0.0, -1e30], dtype=dtype)
    out = np.empty_like(x)
    exp_all(x, out)
    np.testing.assert_array_equal(out, [np.nan, 0.0, 1.0, 0.0])
    log1p_all(np.array([np.nan, 0.0, 1.0, 1e-36], dtype=dtype), out)
    np.testing.assert_array_equal(out, np.log1p(np.array([np.nan, 0.0, 1.0, 1e-36], dtype=dtype)))


@inlined
def both_products(X: Any, first: int, count: int, w: Any, z: Any, r: Any, grad: Any) -> None:
    row_products(X, first, count, w, z, 3)
    add_weighted_rows(X, first, count, r, grad, 3)


@inlined
def tile_products(A: Any, steps: Any, rows: int, terms: int, B: Any, C: Any) -> None:
    add_products(A, 0, steps[0], steps[1], rows, terms, B, C)


@each_dtype
@given(
    n=st.integers(1, 40), d=st.integers(1, 150), first=st.integers(0, 5), seed=st.integers(0, 99)
)
@settings(max_examples=60)
def test_products_of_a_block(dtype: Any, n: int, d: int, first: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((first + n + 1, d)).astype(dtype)
    w, r, grad = (rng.standard_normal(size).astype(dtype) for size in (d, n, d))
    z = np.full(n + 1, 7, dtype=dtype)
    block, wide, before = X[first : first + n].astype(float), w.astype(float), grad.astype(float)
    both_products(X, first, n, w, z, r, grad)
    eps = np.finfo(dtype).eps
    assert (np.abs(z[:n] - block @ wide) <= d * eps * (np.abs(block) @ np.abs(wide))).all()
    assert z[n] == 7  # nothing is written beyond
    spread = np.abs(before) + np.abs(r.astype(float)) @ np.abs(block)
    assert (np.abs(grad - (before + r.astype(float) @ block)) <= (n + 1) * eps * spread).all()


@each_dtype
@given(n=st.integers(1, 30), d=st.integers(1, 30), k=st.integers(1, 80), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_products_with_many_models(dtype: Any, n: int, d: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    eps = np.finfo(dtype).eps
    for A, steps in ((X, (d, 1)), (X.T, (1, d))):
        rows, terms = A.shape
        B = rng.standard_normal((terms, padded(k))).astype(dtype)
        C = rng.standard_normal((rows, padded(k))).astype(dtype)
        expected = C.astype(float) + A.astype(float) @ B.astype(float)
        spread = np.abs(C).astype(float) + np.abs(A).astype(float) @ np.abs(B).astype(float)
        tile_products(X, steps, rows, terms, B, C)
        assert (np.abs(C - expected) <= (terms + 1) * eps * spread).all()
