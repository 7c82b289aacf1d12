"""The contract: what a bound objective takes, what it gives back, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from exact import LOG_2, TAIL, assert_same_but_rounding, check_against_exact
from variants import (
    Case,
    Variant,
    bind_case,
    bits,
    each_variant,
    each_variant_on_cpu,
    overwrite,
    random_case,
    read_only,
    to_numpy,
)

from logreg_kernels import bind


@each_variant
def test_an_objective_says_what_it_is(variant: Variant) -> None:
    case = random_case(33, 7, variant.dtype)
    objective, _ = bind_case(variant, case, l2=0.25)
    assert objective.kernel == variant.kernel
    assert objective.device == variant.device
    assert objective.dtype == variant.dtype
    assert objective.l2 == 0.25
    assert (objective.n_samples, objective.n_features) == (33, 7)
    assert 0 <= objective.bind_times.transfer_s < 60
    assert 0 <= objective.bind_times.compile_s < 600
    objective.synchronize()


def test_bind_by_default_is_float64_on_the_cpu_without_penalty() -> None:
    objective = bind("numpy", [[0.0], [1.0]], [0, 1])
    assert (objective.device, objective.dtype, objective.l2) == ("cpu", "float64", 0.0)


@each_variant
@pytest.mark.parametrize("rows", [None, [1, 1, 0]], ids=["all rows", "mini-batch"])
def test_results_are_arrays_of_the_kernel(variant: Variant, rows: list[int] | None) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    value, grad = objective.value_and_grad(w, rows=rows)
    assert isinstance(float(value), float)
    assert tuple(np.shape(value)) == ()
    assert_like(grad, w, shape=(7,))


@each_variant
@pytest.mark.parametrize("k", [1, 3])
def test_batch_results_are_arrays_of_the_kernel(variant: Variant, k: int) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    values, grads = objective.value_and_grad_batch(objective.as_coefficients(np.ones((k, 7))))
    assert_like(values, w, shape=(k,))
    assert_like(grads, w, shape=(k, 7))


def assert_like(array: Any, w: Any, shape: tuple[int, ...]) -> None:
    """Same library, dtype and device as the coefficients, and nothing left of autograd's graph."""
    assert type(array) is type(w)
    assert tuple(array.shape) == shape
    assert array.dtype == w.dtype
    if isinstance(array, torch.Tensor):
        assert array.device == w.device
        assert not array.requires_grad


@each_variant
@pytest.mark.parametrize("k", [1, 5])
def test_batch_is_k_single_calls(variant: Variant, k: int) -> None:
    case = random_case(1025, 7, variant.dtype)
    objective, _ = bind_case(variant, case)
    W = np.random.default_rng(1).standard_normal((k, 7)).astype(variant.dtype)
    W_before = W.copy()
    values, grads = objective.value_and_grad_batch(objective.as_coefficients(W))
    for w, value, grad in zip(W, to_numpy(values), to_numpy(grads), strict=True):
        single = objective.value_and_grad(objective.as_coefficients(w))
        assert_same_but_rounding(variant, Case(case.X, case.y, w), (value, grad), single)
    np.testing.assert_array_equal(W, W_before)


@each_variant
def test_batch_keeps_the_tails(variant: Variant) -> None:
    objective = variant.bind([[-1.0], [1.0]], [0, 1])  # margins w and w
    values, grads = objective.value_and_grad_batch([[37.5], [-37.5], [0.0], [1e4]])
    expected = [TAIL, 37.5, LOG_2, 0.0]
    slopes = [-TAIL, -1.0, -0.5, 0.0]
    near_zero = variant.near_zero(37.5)
    assert to_numpy(values) == pytest.approx(expected, rel=4 * variant.eps, abs=near_zero)
    assert to_numpy(grads)[:, 0] == pytest.approx(slopes, rel=4 * variant.eps, abs=near_zero)


@each_variant
@pytest.mark.parametrize("m", [1, 33, 1023, 1025])
def test_rows_are_the_mean_over_these_rows(variant: Variant, m: int) -> None:
    case = random_case(101, 5, variant.dtype)
    rows = np.random.default_rng(m).integers(101, size=m)
    rows[-1] = rows[0]  # with m rows out of 101 most of them repeat, and one at least
    objective, w = bind_case(variant, case)
    value, grad = objective.value_and_grad(w, rows=objective.as_rows(rows))
    part = Case(X=case.X[rows], y=case.y[rows], w=case.w)
    check_against_exact(variant, value, grad, part, l2=0.1)


@each_variant
def test_rows_of_any_integer_array(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    rows = np.array([3, 0, 32, 3])
    expected = bits(objective.value_and_grad(w, rows=objective.as_rows(rows)))
    for form in (
        [3, 0, 32, 3],
        rows.astype(np.int16),
        rows.astype(np.uint8),
        rows,
        read_only(rows),
        objective.as_rows(read_only(rows)),
        rows.astype(np.int32),
        np.array([3, 32, 0, 3])[[0, 2, 1, 3]],
        np.array([3, -1, 0, -1, 32, -1, 3, -1])[::2],
        np.array([3, 32, 0, 3])[::-1],
        torch.tensor(rows, device=variant.device),
    ):
        assert bits(objective.value_and_grad(w, rows=form)) == expected
    assert rows.tolist() == [3, 0, 32, 3]


@each_variant_on_cpu
@pytest.mark.parametrize("row", [33, -34])
def test_a_row_that_is_not_there_never_gives_a_number(variant: Variant, row: int) -> None:
    # On a GPU, torch answers such a row by an assertion that ends the process's use of CUDA.
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    try:
        value, grad = objective.value_and_grad(w, rows=[0, row])
    except IndexError:
        return
    assert np.isnan(float(value))
    assert np.isnan(to_numpy(grad)).all()


@each_variant
def test_two_calls_agree_to_the_last_bit(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(1025, 7, variant.dtype))
    rows = objective.as_rows(np.arange(0, 1025, 2))
    W = objective.as_coefficients(np.random.default_rng(1).standard_normal((3, 7)))
    assert bits(objective.value_and_grad(w)) == bits(objective.value_and_grad(w))
    assert bits(objective.value_and_grad(w, rows)) == bits(objective.value_and_grad(w, rows))
    assert bits(objective.value_and_grad_batch(W)) == bits(objective.value_and_grad_batch(W))


@each_variant
@pytest.mark.parametrize("rows", [None, [1, 1, 0]], ids=["all rows", "mini-batch"])
def test_results_belong_to_the_caller(variant: Variant, rows: list[int] | None) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    w_before = to_numpy(w)
    first = objective.value_and_grad(w, rows=rows)
    first_bits = bits(first)
    np.testing.assert_array_equal(to_numpy(w), w_before)  # w was read, not written

    objective.value_and_grad(-3 * w_before, rows=rows)
    assert bits(first) == first_bits  # no buffer is shared with the second call
    same_w = objective.as_coefficients(w)
    overwrite(w, 1.0)
    assert bits(first) == first_bits  # nor with w, which optimizers update in place
    overwrite(first[1], np.nan)
    assert bits(objective.value_and_grad(same_w, rows=rows)) == first_bits  # nor with the kernel


@each_variant
def test_batch_results_belong_to_the_caller(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    W = objective.as_coefficients(np.stack([to_numpy(w), -to_numpy(w)]))
    W_before = to_numpy(W)
    first = objective.value_and_grad_batch(W)
    first_bits = bits(first)
    np.testing.assert_array_equal(to_numpy(W), W_before)
    objective.value_and_grad_batch(-3 * W_before)
    overwrite(W, 1.0)
    assert bits(first) == first_bits


@each_variant
def test_two_objectives_share_nothing(variant: Variant) -> None:
    case, other = (random_case(33, 7, variant.dtype, seed=seed) for seed in (0, 1))
    objective, w = bind_case(variant, case)
    before = bits(objective.value_and_grad(w))
    other_objective, _ = bind_case(variant, other, l2=3.0)
    other_objective.value_and_grad(w)
    assert bits(objective.value_and_grad(w)) == before


@each_variant
def test_works_inside_no_grad(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    W = objective.as_coefficients(np.ones((2, 7)))
    expected = bits(objective.value_and_grad(w)) + bits(objective.value_and_grad_batch(W))
    with torch.no_grad():  # where hand-written torch optimizers update their parameters
        got = bits(objective.value_and_grad(w)) + bits(objective.value_and_grad_batch(W))
    assert got == expected


@each_variant
def test_coefficients_of_any_kind(variant: Variant) -> None:
    case = random_case(33, 7, variant.dtype)
    objective, _ = bind_case(variant, case)
    w = np.arange(-3, 4) / 8  # exact in both dtypes
    expected = objective.value_and_grad(objective.as_coefficients(w))
    for form in (
        w.tolist(),
        w.astype(np.float32),
        w.astype(np.float64),
        read_only(w),
        np.repeat(w, 2)[::2],
        w[::-1].copy()[::-1],
        torch.tensor(w),
        torch.tensor(w, dtype=torch.float32),
    ):
        got = objective.value_and_grad(objective.as_coefficients(form))
        assert bits(got) == bits(expected)
        direct = objective.value_and_grad(form)
        assert_same_but_rounding(variant, Case(case.X, case.y, w), direct, expected)
        assert_like(objective.as_coefficients(form), objective.as_coefficients(w), shape=(7,))


@each_variant
def test_as_coefficients_copies(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    before = to_numpy(w)
    copy = objective.as_coefficients(w)
    overwrite(copy, 1.0)
    np.testing.assert_array_equal(to_numpy(w), before)
