"""The contract: what a bound objective takes and refuses, gives back, and leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from exact import LOG_2, TAIL, assert_same_but_rounding
from variants import (
    Case,
    Variant,
    assert_one_line_with,
    bind_case,
    bits,
    each_c,
    each_variant,
    each_variant_on_cpu,
    overwrite,
    random_case,
    read_only,
    to_numpy,
    whole_case,
)

each_rows = pytest.mark.parametrize("rows", [None, [1, 1, 0]], ids=["all rows", "mini-batch"])


def assert_like(array: Any, w: Any, shape: tuple[int, ...]) -> None:
    """Same library, dtype and device as the coefficients, and nothing left of autograd's graph."""
    assert type(array) is type(w)
    assert tuple(array.shape) == shape
    assert array.dtype == w.dtype
    if isinstance(array, torch.Tensor):
        assert array.device == w.device
        assert not array.requires_grad


# --- what it is, and what it returns ---------------------------------------------------------


@each_variant
@each_c
def test_an_objective_says_what_it_is(variant: Variant, c: int) -> None:
    objective, _ = bind_case(variant, random_case(33, 7, variant.dtype, c=c), l2=0.25)
    assert (objective.kernel, objective.device) == (variant.kernel, variant.device)
    assert (objective.dtype, objective.l2) == (variant.dtype, 0.25)
    assert (objective.n_samples, objective.n_features) == (33, 7)
    assert objective.coefficient_shape == ((7,) if c == 2 else (4, 7))
    assert 0 <= objective.bind_times.transfer_s < 60
    assert 0 <= objective.bind_times.compile_s < 600
    objective.synchronize()


@each_variant
@each_c
@each_rows
def test_results_are_arrays_of_the_kernel(variant: Variant, c: int, rows: list[int] | None) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype, c=c))
    value, grad = objective.value_and_grad(w, rows=rows)
    assert isinstance(float(value), float)
    assert tuple(np.shape(value)) == ()
    assert_like(grad, w, shape=objective.coefficient_shape)


@each_variant
@each_c
def test_two_calls_agree_to_the_last_bit(variant: Variant, c: int) -> None:
    n, d = (1025, 7) if c == 2 else (700, 31)
    objective, w = bind_case(variant, random_case(n, d, variant.dtype, c=c))
    rows = objective.as_rows(np.arange(0, n, 2))
    assert bits(objective.value_and_grad(w)) == bits(objective.value_and_grad(w))
    assert bits(objective.value_and_grad(w, rows)) == bits(objective.value_and_grad(w, rows))


@each_variant
@each_c
@each_rows
def test_results_belong_to_the_caller(variant: Variant, c: int, rows: list[int] | None) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype, c=c))
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
@each_c
def test_x_and_y_are_left_as_they_were(variant: Variant, c: int) -> None:
    case = random_case(33, 3, variant.dtype, c=c)
    X, y = case.X.copy(), case.y.astype(variant.dtype)
    objective = variant.bind(X, y, l2=0.1)
    objective.value_and_grad(case.w)
    objective.value_and_grad(case.w, rows=[0, 1])
    if c == 2:
        objective.value_and_grad_batch([case.w, case.w])
    np.testing.assert_array_equal(X, case.X)
    np.testing.assert_array_equal(y, case.y)


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


# --- coefficients ----------------------------------------------------------------------------


@each_variant
@each_c
def test_coefficients_of_any_kind(variant: Variant, c: int) -> None:
    case = whole_case(variant, c)
    objective, _ = bind_case(variant, case)
    w = case.w.astype(np.float64)
    expected_w = objective.as_coefficients(w)
    expected = objective.value_and_grad(expected_w)
    odd = torch.zeros(w.size + 1, dtype=torch.float64)
    odd[1:] = torch.tensor(w.ravel())
    for form in (
        w.tolist(),
        w.astype(np.float32),
        w,
        read_only(w),
        np.asfortranarray(w),
        np.repeat(w, 2, axis=-1)[..., ::2],
        w[::-1].copy()[::-1],
        torch.tensor(w),
        torch.tensor(w, dtype=torch.float32),
        torch.tensor(w.T.copy()).T if c > 2 else torch.tensor(w),
        odd[1:].reshape(w.shape),
        odd.to(getattr(torch, variant.dtype))[1:].reshape(w.shape),
    ):
        same = objective.as_coefficients(form)
        assert_like(same, expected_w, shape=w.shape)
        assert bits((same,)) == bits((expected_w,))
        if c == 2:  # a copy of a transposed W keeps its order in memory, and so its order of sums
            assert bits(objective.value_and_grad(same)) == bits(expected)
        assert_same_but_rounding(variant, case, objective.value_and_grad(form), expected)


@each_variant
def test_as_coefficients_copies(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    before = to_numpy(w)
    copy = objective.as_coefficients(w)
    overwrite(copy, 1.0)
    np.testing.assert_array_equal(to_numpy(w), before)


@each_variant
def test_w_of_another_shape_is_refused(variant: Variant) -> None:
    objective = variant.bind(np.eye(3), [0, 1, 0])
    for w in (0.0, [], [0.0] * 2, [0.0] * 4, [[0.0] * 3], [[0.0]] * 3, [[0.0] * 3] * 2):
        with pytest.raises(ValueError, match="w must have shape") as caught:
            objective.value_and_grad(w)
        assert_one_line_with(caught.value, ("(3,)", f"got {np.shape(w)}"))
    objective = variant.bind(np.ones((4, 3)), [0, 1, 2, 3])
    for shape in ((), (3,), (12,), (3, 3), (5, 3), (4, 2), (3, 4), (1, 4, 3)):
        with pytest.raises(ValueError, match="w must have shape") as caught:
            objective.value_and_grad(np.zeros(shape))
        assert_one_line_with(caught.value, (f"(4, 3); got {shape}",))


# --- rows: what they mean is in test_contract_values.py --------------------------------------


@each_variant
@each_c
def test_rows_of_any_integer_array(variant: Variant, c: int) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype, c=c))
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
@each_c
@pytest.mark.parametrize("row", [33, -34])
def test_a_row_that_is_not_there_never_gives_a_number(variant: Variant, c: int, row: int) -> None:
    # On a GPU, torch answers such a row by an assertion that ends the process's use of CUDA.
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype, c=c))
    try:
        value, grad = objective.value_and_grad(w, rows=[0, row])
    except IndexError:
        return
    assert np.isnan(float(value))
    assert np.isnan(to_numpy(grad)).all()


BAD_ROWS: list[tuple[Any, type[Exception], tuple[str, ...]]] = [
    ([], ValueError, ("at least one row index", "(0,)")),
    ([[0, 1]], ValueError, ("at least one row index", "(1, 2)")),
    (3, ValueError, ("at least one row index", "()")),
    (np.arange(12) < 4, TypeError, ("integers", "bool", "mask")),
    (np.array([0.0, 1.0]), TypeError, ("integers", "float64")),
]


@each_variant
@each_c
def test_what_is_no_row_index_is_refused(variant: Variant, c: int) -> None:
    objective, w = bind_case(variant, random_case(12, 3, variant.dtype, c=c))
    for rows, error, words in BAD_ROWS:
        with pytest.raises(error) as caught:
            objective.value_and_grad(w, rows=rows)
        assert_one_line_with(caught.value, words)
        with pytest.raises(error):
            objective.value_and_grad(w, rows=torch.tensor(rows, device=variant.device))


# --- batches of models -----------------------------------------------------------------------


@each_variant
@pytest.mark.parametrize("k", [1, 5])
def test_batch_is_k_single_calls(variant: Variant, k: int) -> None:
    case = random_case(1025, 7, variant.dtype)
    objective, w = bind_case(variant, case)
    models = np.random.default_rng(1).standard_normal((k, 7)).astype(variant.dtype)
    W = objective.as_coefficients(models)
    values, grads = first = objective.value_and_grad_batch(W)
    assert_like(values, w, shape=(k,))
    assert_like(grads, w, shape=(k, 7))
    np.testing.assert_array_equal(to_numpy(W), models)
    assert bits(objective.value_and_grad_batch(W)) == bits(first)
    for w, value, grad in zip(models, to_numpy(values), to_numpy(grads), strict=True):
        single = objective.value_and_grad(objective.as_coefficients(w))
        assert_same_but_rounding(variant, Case(case.X, case.y, w), (value, grad), single)


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
def test_models_of_another_shape_are_refused(variant: Variant) -> None:
    objective = variant.bind(np.eye(3), [0, 1, 0])
    for W in ([0.0] * 3, [[0.0] * 2], [[0.0]] * 3, np.empty((0, 3))):
        with pytest.raises(ValueError, match="W must have shape") as caught:
            objective.value_and_grad_batch(W)
        assert_one_line_with(caught.value, ("(k, 3)", "k >= 1", f"got {np.shape(W)}"))


@each_variant
def test_batches_of_more_classes_are_refused(variant: Variant) -> None:
    objective = variant.bind(np.ones((4, 3)), [0, 1, 2, 3])
    for shape in ((2, 4, 3), (4, 3), (1, 3)):
        with pytest.raises(ValueError, match=r"^value_and_grad_batch takes two classes") as caught:
            objective.value_and_grad_batch(np.zeros(shape))
        assert_one_line_with(caught.value, ("has 4: call value_and_grad",))
