"""What only `fused-cuda` promises of f and its gradient: fixed sums, poison, one compilation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
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
from logreg_kernels.fused_cuda.kernel import FusedCuda, compile_for

each_c = pytest.mark.parametrize("c", [2, 3])


# --- sums ------------------------------------------------------------------------------------


@each_fused
@each_c
@pytest.mark.parametrize("rows", [None, [5, 0, 299, 5]], ids=["all rows", "mini-batch"])
def test_two_binds_agree_to_the_last_bit(variant: Variant, c: int, rows: list[int] | None) -> None:
    case = random_case(300, 31, variant.dtype, c=c)
    expected = bits(variant.bind(case.X, case.y, l2=0.1).value_and_grad(case.w, rows=rows))
    objective = variant.bind(case.X, case.y, l2=0.1)
    results = [objective.value_and_grad(w, rows=rows) for w in (case.w, -case.w, case.w)]
    assert bits(results[0]) == bits(results[2]) == expected
    with new_memory_is_nan():
        assert bits(objective.value_and_grad(case.w, rows=rows)) == expected


@each_fused
@pytest.mark.parametrize(("n", "c"), [(700, 2), (300, 3)])
def test_the_number_of_partial_sums_changes_rounding_only(variant: Variant, n: int, c: int) -> None:
    case = random_case(n, 54, variant.dtype, c=c, w_scale=1.0 if c == 2 else 0.3)
    expected = bind("numpy", case.X, case.y, l2=0.1).value_and_grad(case.w)
    for max_programs in (1, 2, 7, 1000):
        objective = with_programs(variant, case, max_programs)
        assert_close(objective.value_and_grad(case.w), expected, rtol=64 * variant.eps)


@each_fused
def test_the_reduction_goes_through_several_tiles(variant: Variant) -> None:
    # Launched by itself, with tiles far smaller than those that are shipped.
    from logreg_kernels.fused_cuda.device import reduce_partials

    n_rows, n_programs, d, block_p, block_k, l2 = 50, 19, 11, 4, 2, 0.1
    rng = np.random.default_rng(0)
    sums, nlls = rng.normal(size=(n_programs, d)), rng.random(n_programs)
    w = rng.normal(size=d)

    def place(array: Any) -> torch.Tensor:
        return torch.tensor(array, dtype=getattr(torch, variant.dtype), device=variant.device)

    value, grad = place(np.nan), place(np.full(d, np.nan))
    reduce_partials[(-(-d // block_k) + 1,)](
        place(np.concatenate([sums.ravel(), nlls])),
        place(w),
        place([l2]),
        value,
        grad,
        n_rows,
        n_programs,
        N_COEFFICIENTS=d,
        BLOCK_P=block_p,
        BLOCK_K=block_k,
        BATCH=False,
    )
    expected = nlls.sum() / n_rows + 0.5 * l2 * w @ w, sums.sum(axis=0) / n_rows + l2 * w
    assert_close((value, grad), expected, rtol=16 * variant.eps)


# --- shapes ----------------------------------------------------------------------------------


@pytest.mark.slow
@each_fused_float64
@settings(max_examples=40)
@given(
    n=st.integers(0, 600),
    c=st.just(2) | st.integers(3, 6),
    d=st.integers(1, 70),
    m=st.integers(1, 90),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_matches_the_reference(
    variant: Variant, n: int, c: int, d: int, m: int, l2: float, seed: int
) -> None:
    n = c + (n if c == 2 else n // 4)
    case = random_case(n, d, variant.dtype, seed, c=c)
    rows = np.random.default_rng(seed).integers(n, size=m)
    objective, reference = variant.bind(case.X, case.y, l2), bind("numpy", case.X, case.y, l2)
    for subset in (None, rows):
        expected = reference.value_and_grad(case.w, rows=subset)
        assert_close(objective.value_and_grad(case.w, rows=subset), expected, rtol=1e-12)


@each_fused
@pytest.mark.parametrize(
    ("c", "d"), [*((2, 127), (2, 784), (2, 1025), (2, 5000)), *((3, 127), (3, 1025), (40, 2))]
)
def test_wide_rows_and_many_classes_match_the_reference(variant: Variant, c: int, d: int) -> None:
    case = random_case(max(9, c), d, variant.dtype, w_scale=0.1, c=c)
    objective, reference = variant.bind(case.X, case.y), bind("numpy", case.X, case.y)
    for rows in (None, [8, 8, 1]):
        expected = reference.value_and_grad(case.w, rows=rows)
        assert_close(objective.value_and_grad(case.w, rows=rows), expected, rtol=256 * variant.eps)


# --- numbers at the edge ---------------------------------------------------------------------


@each_fused
@each_c
def test_a_row_out_of_range_poisons_the_result(variant: Variant, c: int) -> None:
    # X is a window on a larger array, whose other rows must not be read in place of `bad`.
    case = random_case(44, 31, variant.dtype, c=c)
    objective = variant.bind(case.X[2:42], np.arange(40) % c)
    for bad in (-1, 40, 2**31, 2**62, -(2**62)):
        value, grad = objective.value_and_grad(case.w, rows=[*range(40), bad])
        assert torch.isnan(value)
        assert torch.isnan(grad).all()
    value, grad = objective.value_and_grad(case.w, rows=range(40))
    assert torch.isfinite(value)
    assert torch.isfinite(grad).all()


@each_fused
def test_the_penalty_has_the_precision_of_the_data(variant: Variant) -> None:
    # 0.1 as float32 is off by 1.5e-9. X = 0 leaves the penalty alone in the gradient.
    w = np.array([1.0, -3.0], dtype=variant.dtype)
    value, grad = variant.bind(np.zeros((2, 2)), [0, 1], l2=0.1).value_and_grad(w)
    expected = np.asarray(0.1, dtype=variant.dtype) * w
    np.testing.assert_array_equal(to_numpy(grad), expected)
    assert float(value) == pytest.approx(np.log(2.0) + 0.5, rel=2 * variant.eps)


@each_fused
@each_c
def test_without_a_penalty_the_squared_norm_may_overflow(variant: Variant, c: int) -> None:
    huge = float(np.sqrt(np.finfo(variant.dtype).max)) * 10
    objective = variant.bind(np.zeros((c, 1)), np.arange(c))
    value, grad = objective.value_and_grad(np.full(objective.coefficient_shape, huge))
    assert float(value) == pytest.approx(np.log(c), rel=2 * variant.eps)
    assert not to_numpy(grad).any()


# --- compilation -----------------------------------------------------------------------------


@each_fused
@each_c
def test_both_variants_are_launched_to_compile_them(
    variant: Variant, c: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(33, 7, variant.dtype, c=c)
    objective: Any = variant.bind(case.X, case.y)
    launched: list[tuple[int, bool]] = []
    value_and_grad = type(objective).value_and_grad

    def watched(self: Any, w: Any, rows: Any = None) -> Any:
        launched.append((self.n_samples, rows is None))
        return value_and_grad(self, w, rows)

    monkeypatch.setattr(type(objective), "value_and_grad", watched)
    compile_for(objective)
    assert launched == [(1, True), (1, False)]
    launched.clear()
    monkeypatch.setattr(FusedCuda, "interpreted", False)
    monkeypatch.setattr(FusedCuda, "unavailable", lambda self, device: None)
    again = variant.bind(case.X, case.y)
    assert launched == [(1, True), (1, False)]
    assert again.bind_times.compile_s > 0


@each_fused
@each_c
def test_no_call_after_bind_compiles(
    variant: Variant, c: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if FusedCuda().interpreted:
        pytest.skip("the interpreter compiles nothing")
    import triton

    case = random_case(100, 5, variant.dtype, c=c)
    objective: Any = variant.bind(case.X, case.y)
    compiled: list[str] = []
    monkeypatch.setattr(
        triton.knobs.compilation, "listener", lambda **event: compiled.append(event["src"].name)
    )
    padded = objective.as_coefficients(np.append(0.0, case.w.ravel()))
    odd = padded[1:].reshape(case.w.shape)  # not at 16 bytes
    rows = objective.as_rows(np.arange(100))
    objective.value_and_grad(odd)
    for m in (1, 2, 16, 99):
        objective.value_and_grad(odd, rows=rows[-m:])
    objective.hvp(odd, odd)
    objective.hessian(odd)
    if c == 2:
        objective.value_and_grad_batch(torch.stack([odd] * 3))
    assert compiled == []
