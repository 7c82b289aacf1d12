"""What only `fused-cuda` promises of its Hessians: blocks of columns, fixed sums, odd offsets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fused_cuda_cases import (
    assert_near,
    each_fused,
    each_fused_float64,
    new_memory_is_nan,
    with_programs,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import Variant, bits, random_case, to_numpy

from logreg_kernels import bind
from logreg_kernels.fused_cuda.launch import gram_options


def direction(w: Any, seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal(w.shape).astype(w.dtype)


@each_fused_float64
@settings(max_examples=15)
@given(
    n=st.integers(0, 300),
    c=st.integers(2, 5),
    d=st.integers(1, 70),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_of_any_shape_match_the_reference(
    variant: Variant, n: int, c: int, d: int, l2: float, seed: int
) -> None:
    case = random_case(c + n, d, variant.dtype, seed, c=c)
    objective, reference = variant.bind(case.X, case.y, l2), bind("numpy", case.X, case.y, l2)
    v = direction(case.w, seed)
    assert_near(objective.hvp(case.w, v), reference.hvp(case.w, v), rtol=1e-12)  # type: ignore[attr-defined]


@pytest.mark.slow
@each_fused_float64
@settings(max_examples=8)
@given(
    n=st.integers(2, 100),
    d=st.integers(1, 66) | st.integers(127, 130),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_hessian_of_any_shape_matches_the_reference(
    variant: Variant, n: int, d: int, l2: float, seed: int
) -> None:
    case = random_case(n, d, variant.dtype, seed, w_scale=0.3)
    H = variant.bind(case.X, case.y, l2).hessian(case.w)  # type: ignore[attr-defined]
    expected = bind("numpy", case.X, case.y, l2).hessian(case.w)  # type: ignore[attr-defined]
    assert_near(H, expected, rtol=1e-12)
    np.testing.assert_array_equal(to_numpy(H), to_numpy(H).T)


@pytest.mark.slow
@each_fused
@pytest.mark.parametrize("d", [54, 65])
def test_the_number_of_partial_sums_changes_rounding_only(variant: Variant, d: int) -> None:
    assert gram_options(d)["BLOCK_D"] == 64  # 65 columns are two blocks
    case = random_case(300, d, variant.dtype, w_scale=0.3)
    reference: Any = bind("numpy", case.X, case.y, 0.1)
    v = direction(case.w)
    product, H = reference.hvp(case.w, v), reference.hessian(case.w)
    for max_programs in (1, 2, 7, 1000):
        objective = with_programs(variant, case, max_programs)
        assert_near(objective.hvp(case.w, v), product, rtol=64 * variant.eps)
        assert_near(objective.hessian(case.w), H, rtol=64 * variant.eps)


@each_fused
@pytest.mark.parametrize(("c", "d"), [(2, 31), (3, 3)])
def test_equal_calls_return_equal_bits_from_any_offset(variant: Variant, c: int, d: int) -> None:
    case = random_case(300, d, variant.dtype, c=c)
    objective: Any = variant.bind(case.X, case.y, 0.1)
    v = direction(case.w)
    expected = bits((objective.hvp(case.w, v), objective.hessian(case.w)))
    padded = [objective.as_coefficients(np.append(0.0, a.ravel())) for a in (case.w, v)]
    w, v = (tensor[1:].view(case.w.shape) for tensor in padded)
    assert w.data_ptr() % 16
    with new_memory_is_nan():
        assert bits((objective.hvp(w, v), objective.hessian(w))) == expected


@each_fused
@pytest.mark.parametrize("d", [784, 1025])
@pytest.mark.parametrize("c", [2, 3])
def test_products_of_wide_rows_match_the_reference(variant: Variant, c: int, d: int) -> None:
    case = random_case(9, d, variant.dtype, w_scale=0.1, c=c)
    objective: Any = variant.bind(case.X, case.y)
    reference: Any = bind("numpy", case.X, case.y)
    v = direction(case.w)
    assert_near(objective.hvp(case.w, v), reference.hvp(case.w, v), rtol=256 * variant.eps)


@each_fused
@pytest.mark.parametrize("c", [2, 3])
@pytest.mark.parametrize("d", [2, 65])
def test_nan_coefficients_give_nan(variant: Variant, c: int, d: int) -> None:
    case = random_case(5, d, variant.dtype, c=c)
    objective: Any = variant.bind(case.X, case.y)
    w = case.w.copy()
    w.flat[0] = np.nan
    assert torch.isnan(objective.hvp(w, case.w)).all()
    if c == 2:
        assert torch.isnan(objective.hessian(w)).all()
