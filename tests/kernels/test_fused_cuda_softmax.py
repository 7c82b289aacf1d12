"""What only `fused-cuda` promises for more than two classes: fixed sums, and poison."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fused_cuda import assert_close, each_fused, each_fused_float64
from variants import Variant, bits, random_case, to_numpy

from logreg_kernels import bind
from logreg_kernels.fused_cuda import kernel as fused_cuda
from logreg_kernels.fused_cuda.kernel import FusedCuda
from logreg_kernels.fused_cuda.launch import max_coefficients, max_programs
from logreg_kernels.fused_cuda.softmax import FusedCudaSoftmax


def fused(variant: Variant, X: Any, y: Any, l2: float = 0.0) -> FusedCudaSoftmax:
    objective = variant.bind(X, y, l2=l2)
    assert isinstance(objective, FusedCudaSoftmax)
    return objective


@each_fused
@pytest.mark.parametrize("max_programs", [1, 2, 7, 1000])
def test_the_number_of_partial_sums_changes_rounding_only(
    variant: Variant, max_programs: int
) -> None:
    case = random_case(300, 54, variant.dtype, c=3, w_scale=0.3)  # several row blocks
    objective = replace(fused(variant, case.X, case.y, l2=0.1), max_programs=max_programs)
    expected = bind("numpy", case.X, case.y, l2=0.1).value_and_grad(case.w)
    assert_close(objective.value_and_grad(case.w), expected, rtol=64 * variant.eps)


@each_fused
def test_nothing_is_read_before_it_is_written(variant: Variant) -> None:
    case = random_case(300, 54, variant.dtype, c=3)
    objective = fused(variant, case.X, case.y)
    expected = bits(objective.value_and_grad(case.w))
    torch.use_deterministic_algorithms(True)  # then torch fills new memory with NaN
    try:
        assert torch.empty(3).isnan().all()
        assert bits(objective.value_and_grad(case.w)) == expected
    finally:
        torch.use_deterministic_algorithms(False)


@each_fused_float64
@settings(max_examples=15)
@given(
    n=st.integers(0, 150),
    c=st.integers(3, 6),
    d=st.integers(1, 70),
    m=st.integers(1, 90),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_matches_the_reference(
    variant: Variant, n: int, c: int, d: int, m: int, l2: float, seed: int
) -> None:
    case = random_case(c + n, d, variant.dtype, seed, c=c)
    rows = np.random.default_rng(seed).integers(c + n, size=m)
    objective, reference = variant.bind(case.X, case.y, l2), bind("numpy", case.X, case.y, l2)
    for subset in (None, rows):
        expected = reference.value_and_grad(case.w, rows=subset)
        assert_close(objective.value_and_grad(case.w, rows=subset), expected, rtol=1e-12)


@each_fused
@pytest.mark.parametrize(
    ("c", "d", "rows"),
    [(3, 127, None), (3, 127, [4, 4, 1]), (3, 784, None), (3, 1025, [2, 1]), (40, 2, None)],
)
def test_wide_rows_and_many_classes_match_the_reference(
    variant: Variant, c: int, d: int, rows: list[int] | None
) -> None:
    case = random_case(max(5, c), d, variant.dtype, w_scale=0.1, c=c)
    objective, reference = variant.bind(case.X, case.y), bind("numpy", case.X, case.y)
    expected = reference.value_and_grad(case.w, rows=rows)
    assert_close(objective.value_and_grad(case.w, rows=rows), expected, rtol=256 * variant.eps)


@each_fused
@pytest.mark.parametrize("bad", [-1, 40, 2**31, -(2**62)])
def test_a_row_out_of_range_poisons_the_result(variant: Variant, bad: int) -> None:
    # X is a window on a larger array, whose other rows must not be read in place of `bad`.
    case = random_case(44, 31, variant.dtype, c=3)
    objective = fused(variant, case.X[2:42], np.arange(40) % 3)
    value, grad = objective.value_and_grad(case.w, rows=[*range(40), bad])
    assert torch.isnan(value)
    assert torch.isnan(grad).all()
    value, grad = objective.value_and_grad(case.w, rows=range(40))
    assert torch.isfinite(value)
    assert torch.isfinite(grad).all()


@each_fused
def test_without_a_penalty_the_squared_norm_may_overflow(variant: Variant) -> None:
    huge = float(np.sqrt(np.finfo(variant.dtype).max)) * 10
    value, grad = variant.bind(np.zeros((3, 1)), [0, 1, 2]).value_and_grad([[huge]] * 3)
    assert float(value) == pytest.approx(np.log(3.0), rel=2 * variant.eps)
    assert to_numpy(grad).tolist() == [[0.0]] * 3


@each_fused
def test_no_call_after_bind_compiles(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    if FusedCuda().interpreted:
        pytest.skip("the interpreter compiles nothing")
    import triton

    case = random_case(100, 5, variant.dtype, c=3)
    objective = fused(variant, case.X, case.y)
    compiled: list[str] = []
    monkeypatch.setattr(
        triton.knobs.compilation, "listener", lambda **event: compiled.append(event["src"].name)
    )
    odd = objective.as_coefficients(np.zeros(16))[1:].reshape(3, 5)  # not at 16 bytes
    rows = objective.as_rows(np.arange(100))
    objective.value_and_grad(odd)
    for m in (1, 2, 16, 99):
        objective.value_and_grad(odd, rows=rows[-m:])
    objective.hessian(odd)
    assert compiled == []


def test_the_partial_sums_stay_within_their_memory() -> None:
    assert max_programs("cpu", (54,), "float64") == max_programs("cpu", (3, 4), "float32") == 4
    assert max_programs("cpu", (4096, 8192), "float64") == 1
    assert max_programs("cpu", (3000, 8192), "float32") == 2
    assert max_coefficients("float32") == 2 * max_coefficients("float64") == 1 << 26


def test_too_many_coefficients_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_cuda, "max_coefficients", lambda dtype: 11)
    with pytest.raises(
        ValueError, match=r"at most 11 coefficients.* 4 classes have 12: use"
    ) as said:
        FusedCuda().bind(np.ones((4, 3)), np.arange(4), l2=0.0, device="cpu", dtype="float64")
    assert len(str(said.value).splitlines()) == 1
