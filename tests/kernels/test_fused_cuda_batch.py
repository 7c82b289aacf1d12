"""What only `fused-cuda` promises of batches: blocks of models, fixed sums, models apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fused_cuda_cases import (
    assert_close,
    each_fused,
    each_fused_float64,
    new_memory_is_nan,
    with_programs,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import Variant, bits, random_case, to_numpy

from logreg_kernels import bind
from logreg_kernels.fused_cuda.launch import max_batch_features
from logreg_kernels.fused_cuda.objective import FusedCudaBinary


def models(k: int, d: int, dtype: str, seed: int = 1, scale: float = 1.0) -> Any:
    return (scale * np.random.default_rng(seed).standard_normal((k, d))).astype(dtype)


@pytest.mark.slow
@each_fused_float64
@settings(max_examples=20)
@given(
    n=st.integers(2, 200),
    d=st.integers(1, 70) | st.integers(254, 258),
    k=st.integers(1, 35),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_batches_of_any_shape_match_the_reference(
    variant: Variant, n: int, d: int, k: int, l2: float, seed: int
) -> None:
    k = min(k, 3) if d > max_batch_features("float64") else k  # one after the other
    case = random_case(n, d, variant.dtype, seed)
    W = models(k, d, variant.dtype, seed, scale=0.3)
    got = variant.bind(case.X, case.y, l2).value_and_grad_batch(W)
    assert_close(got, bind("numpy", case.X, case.y, l2).value_and_grad_batch(W), rtol=1e-12)


@each_fused
@pytest.mark.parametrize("k", [2, 16, 17])
def test_the_number_of_partial_sums_changes_rounding_only(variant: Variant, k: int) -> None:
    case = random_case(300, 54, variant.dtype)
    W = models(k, 54, variant.dtype, scale=0.3)
    expected = bind("numpy", case.X, case.y, 0.1).value_and_grad_batch(W)
    for max_programs in (1, 3, 1000):
        objective = with_programs(variant, case, max_programs)
        assert_close(objective.value_and_grad_batch(W), expected, rtol=64 * variant.eps)


@each_fused
def test_x_is_read_once_for_sixteen_models(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from logreg_kernels.fused_cuda import device

    grids: list[tuple[int, int]] = []
    monkeypatch.setattr(FusedCudaBinary, "_launch", None)  # none of them goes by itself
    launched = device.batch_partials

    class Watched:
        def __getitem__(self, grid: tuple[int, int]) -> Any:
            grids.append(grid)
            return launched[grid]

    monkeypatch.setattr(device, "batch_partials", Watched())
    case = random_case(33, 7, variant.dtype)
    objective = variant.bind(case.X, case.y)
    for k in (2, 16, 17, 33):
        objective.value_and_grad_batch(models(k, 7, variant.dtype))
    assert [blocks for _, blocks in grids] == [1, 1, 2, 3]


@each_fused
def test_equal_calls_return_equal_bits_from_any_offset(variant: Variant) -> None:
    case = random_case(300, 31, variant.dtype)
    objective = variant.bind(case.X, case.y, l2=0.1)
    W = models(17, 31, variant.dtype)
    expected = bits(objective.value_and_grad_batch(W))
    view = objective.as_coefficients(np.append(0.0, W.ravel()))[1:].view(17, 31)
    with new_memory_is_nan():
        assert bits(objective.value_and_grad_batch(view)) == expected


@each_fused
def test_a_lost_model_does_not_touch_the_others(variant: Variant) -> None:
    case = random_case(70, 7, variant.dtype)
    objective = variant.bind(case.X, case.y, l2=0.1)
    W = models(5, 7, variant.dtype)
    expected_values, expected_grads = map(to_numpy, objective.value_and_grad_batch(W))
    W[2, 3] = np.nan
    values, grads = map(to_numpy, objective.value_and_grad_batch(W))
    others = [0, 1, 3, 4]
    assert np.isnan(values[2])
    assert np.isnan(grads[2]).all()
    np.testing.assert_array_equal(values[others], expected_values[others])
    np.testing.assert_array_equal(grads[others], expected_grads[others])
