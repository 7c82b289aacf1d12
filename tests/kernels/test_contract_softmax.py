"""The contract, with more than two classes: values, calls and refusals."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from exact import (
    BY_HAND_SOFTMAX,
    TAIL,
    assert_same_but_rounding,
    check_against_exact,
    exact_value_and_grad,
    one_rounding,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from variants import (
    Case,
    Variant,
    bind_case,
    bits,
    each_float64_variant,
    each_variant,
    each_variant_on_cpu,
    overwrite,
    random_case,
    read_only,
    to_8_bits,
    to_numpy,
)

from logreg_kernels import Objective


@each_variant
def test_an_objective_says_what_it_is(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype, c=4))
    assert objective.coefficient_shape == (4, 7)
    assert (objective.kernel, objective.device) == (variant.kernel, variant.device)
    assert (objective.dtype, objective.l2) == (variant.dtype, 0.1)
    assert (objective.n_samples, objective.n_features) == (33, 7)
    for rows in (None, [1, 1, 0]):
        value, grad = objective.value_and_grad(w, rows=rows)
        assert tuple(np.shape(value)) == ()
        assert type(grad) is type(w)
        assert (grad.shape, grad.dtype) == (w.shape, w.dtype)
        if isinstance(grad, torch.Tensor):
            assert grad.device == w.device
            assert not grad.requires_grad


@each_variant
def test_two_classes_have_one_w(variant: Variant) -> None:
    objective = variant.bind([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    assert objective.coefficient_shape == (2,)
    assert tuple(objective.value_and_grad([0.5, -0.5])[1].shape) == (2,)
    with pytest.raises(ValueError, match=r"w must have shape \(2,\)"):
        objective.value_and_grad([[0.5, -0.5], [0.0, 0.0]])


# --- values ----------------------------------------------------------------------------------


def assert_one_row(
    variant: Variant, logits: tuple[float, ...], label: int, value: Any, grad: Any
) -> None:
    """X is 1 in each row, so that W holds the logits; a mini-batch picks the label."""
    W = np.array(logits)[:, None]
    got_value, got_grad = one_row_a_class(variant, len(logits)).value_and_grad(W, rows=[label])
    near_zero = variant.near_zero(float(np.abs(W).max()))
    close = {"rel": 4 * variant.eps, "abs": near_zero}
    assert float(got_value) == pytest.approx(float(value), **close)
    assert to_numpy(got_grad)[:, 0] == pytest.approx(np.array(grad, dtype=float), **close)


@cache
def one_row_a_class(variant: Variant, c: int, d: int = 1) -> Objective:
    return variant.bind(np.ones((c, d)), np.arange(c))


@each_variant
@pytest.mark.parametrize(("logits", "label", "value", "grad"), BY_HAND_SOFTMAX)
def test_one_row_by_hand(
    variant: Variant,
    logits: tuple[float, ...],
    label: int,
    value: float,
    grad: tuple[float, ...],
) -> None:
    assert_one_row(variant, logits, label, value, grad)


# Where exp and log1p run out of digits or exponents, as for two classes.
@each_variant
@pytest.mark.parametrize("label", [0, 1, 2])
def test_one_row_at_logits_of_every_size(variant: Variant, label: int) -> None:
    for logit in (0.3, 16.0, 37.0, 88.0, 104.0, 710.0, 746.0):
        for logits in ((logit, 0.0, logit - 1), (-logit, 0.0, -logit - 1)):
            logits = tuple(float(z) for z in np.float32(logits))
            case = Case(X=np.ones((1, 1)), y=np.array([label]), w=np.array(logits)[:, None])
            value, grad = exact_value_and_grad(case, l2=0.0)
            assert_one_row(variant, logits, label, value, grad[:, 0])


@each_variant
@pytest.mark.parametrize("n", [3, 99, 1026])
def test_the_mean_keeps_the_tail(variant: Variant, n: int) -> None:
    # Every row is right by 37.5: a sum that meets anything of size 1 loses them all. Equal terms
    # round alike, so that a plain sum of n of them may be off by n / 2 roundings.
    y = np.arange(n) % 3
    value, grad = variant.bind(np.eye(3)[y], y).value_and_grad(37.5 * np.eye(3))
    close = {"rel": (8 + n / 2) * variant.eps, "abs": variant.near_zero(37.5)}
    assert float(value) == pytest.approx(2 * TAIL, **close)
    assert to_numpy(grad) == pytest.approx(TAIL / 3 * (1 - 3 * np.eye(3)), **close)


@each_variant
@pytest.mark.parametrize(
    ("n", "c", "d"),
    [
        *((1, 3, 1), (1, 10, 64), (3, 3, 3)),
        *((33, 33, 3), (33, 4, 64), (257, 10, 7), (1025, 3, 7)),
    ],
)
def test_error_is_rounding(variant: Variant, n: int, c: int, d: int) -> None:
    case = random_case(max(n, c), d, variant.dtype, seed=n + c + d, c=c)
    objective, w = bind_case(variant, case)
    if n == 1:
        value, grad = objective.value_and_grad(w, rows=[1])
        case = Case(X=case.X[1:2], y=case.y[1:2], w=case.w)
    else:
        value, grad = objective.value_and_grad(w)
    check_against_exact(variant, value, grad, case, l2=0.1)


@each_variant
@given(
    n=st.integers(0, 30),
    c=st.integers(3, 6),
    d=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    l2=st.just(0.0) | st.floats(-8, 2).map(lambda e: 10.0**e),
    w_scale=st.floats(-4, 3).map(lambda e: 10.0**e),
    x_scale=st.floats(-3, 3).map(lambda e: 10.0**e),
)
@settings(max_examples=15)
def test_error_is_rounding_anywhere(
    variant: Variant, n: int, c: int, d: int, seed: int, l2: float, w_scale: float, x_scale: float
) -> None:
    n, c, d = variant.any_of(n, 0, 30), variant.any_of(c, 3, 6), variant.any_of(d, 1, 12)
    case = random_case(c + n, d, variant.dtype, seed, w_scale, c)
    X = to_8_bits(x_scale * case.X.astype(np.float64)).astype(variant.dtype)
    case = Case(X=X, y=case.y, w=case.w)
    objective, w = bind_case(variant, case, l2)
    value, grad = objective.value_and_grad(w)
    check_against_exact(variant, value, grad, case, l2)


@each_variant
@pytest.mark.parametrize("m", [1, 33, 1025])
def test_rows_are_the_mean_over_these_rows(variant: Variant, m: int) -> None:
    case = random_case(101, 5, variant.dtype, c=4)
    rows = np.random.default_rng(m).integers(101, size=m)
    rows[-1] = rows[0]  # with m rows out of 101 most of them repeat, and one at least
    objective, w = bind_case(variant, case)
    value, grad = objective.value_and_grad(w, rows=objective.as_rows(rows))
    part = Case(X=case.X[rows], y=case.y[rows], w=case.w)
    check_against_exact(variant, value, grad, part, l2=0.1)


@each_float64_variant
@pytest.mark.parametrize("rows", [None, [0, 3, 3, 17, 32]], ids=["all rows", "mini-batch"])
def test_gradient_is_the_slope_of_the_value(variant: Variant, rows: list[int] | None) -> None:
    case = random_case(33, 5, "float64", c=3)
    objective, w = bind_case(variant, case, l2=0.3)

    def value(w: Any) -> float:
        return float(objective.value_and_grad(objective.as_coefficients(w), rows=rows)[0])

    grad = to_numpy(objective.value_and_grad(w, rows=rows)[1])
    h = 1e-3  # five points, as for two classes
    for seed in (1, 2):
        w, v = case.w, np.random.default_rng(seed).uniform(-1, 1, size=(3, 5))
        near, far = value(w + h * v) - value(w - h * v), value(w + 2 * h * v) - value(w - 2 * h * v)
        assert (8 * near - far) / (12 * h) == pytest.approx(np.vdot(grad, v), rel=0, abs=1e-11)


def whole_case(variant: Variant) -> Case:
    """Entries of few bits, so that adding to W rounds nothing."""
    rng = np.random.default_rng(0)
    X = rng.integers(-8, 9, size=(65, 5)) / 8
    y = np.append([2, 0, 3, 1], rng.integers(4, size=61))
    w = rng.integers(-16, 17, size=(4, 5)) / 4
    return Case(X.astype(variant.dtype), y, w.astype(variant.dtype))


@each_variant
def test_one_vector_added_to_all_rows_of_w_changes_nothing(variant: Variant) -> None:
    case = whole_case(variant)
    shifted = Case(case.X, case.y, case.w + np.array([3, -5, 40, 0, 7], dtype=variant.dtype))
    objective, w = bind_case(variant, case, l2=0.0)
    got = objective.value_and_grad(objective.as_coefficients(shifted.w))
    # What the larger logits of the shifted one round explains the difference.
    assert_same_but_rounding(variant, shifted, got, objective.value_and_grad(w), l2=0.0)


@each_variant
@pytest.mark.parametrize("rows", [None, [0, 3, 3, 17, 32]], ids=["all rows", "mini-batch"])
def test_without_a_penalty_the_gradient_sums_to_zero(
    variant: Variant, rows: list[int] | None
) -> None:
    case = random_case(257, 5, variant.dtype, c=4)
    objective, w = bind_case(variant, case, l2=0.0)
    grad = to_numpy(objective.value_and_grad(w, rows=rows)[1]).astype(np.float64)
    part = case if rows is None else Case(case.X[rows], case.y[rows], case.w)
    _, rounding = one_rounding(part, 0.0)
    assert (np.abs(grad.sum(axis=0)) <= 4 * variant.eps * rounding.sum(axis=0)).all()
    assert np.abs(grad).max() > 0.01


@each_variant
@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_lost_run_shows(variant: Variant, k: int) -> None:
    case = random_case(33, 3, variant.dtype, c=4)
    objective, _ = bind_case(variant, case)
    w = case.w.copy()
    w[k, 1] = np.nan
    for rows in (None, [5]):
        value, grad = objective.value_and_grad(w, rows=rows)
        assert np.isnan(float(value))
        assert np.isnan(to_numpy(grad)).all()


# --- calls -----------------------------------------------------------------------------------


@each_variant
def test_two_calls_agree_to_the_last_bit(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(700, 31, variant.dtype, c=3))
    rows = objective.as_rows(np.arange(0, 700, 2))
    assert bits(objective.value_and_grad(w)) == bits(objective.value_and_grad(w))
    assert bits(objective.value_and_grad(w, rows)) == bits(objective.value_and_grad(w, rows))


@each_variant
@pytest.mark.parametrize("rows", [None, [1, 1, 0]], ids=["all rows", "mini-batch"])
def test_results_belong_to_the_caller(variant: Variant, rows: list[int] | None) -> None:
    objective, w = bind_case(variant, random_case(33, 3, variant.dtype, c=4))
    w_before = to_numpy(w)
    first = objective.value_and_grad(w, rows=rows)
    first_bits = bits(first)
    np.testing.assert_array_equal(to_numpy(w), w_before)
    objective.value_and_grad(-3 * w_before, rows=rows)
    same_w = objective.as_coefficients(w)
    overwrite(w, 1.0)
    assert bits(first) == first_bits
    overwrite(first[1], np.nan)
    assert bits(objective.value_and_grad(same_w, rows=rows)) == first_bits


@each_variant
def test_rows_and_coefficients_of_any_kind(variant: Variant) -> None:
    case = whole_case(variant)
    objective, _ = bind_case(variant, case)
    w, rows = case.w, np.array([3, 0, 32, 3])
    part = Case(case.X[rows], case.y[rows], w)
    expected = objective.value_and_grad(objective.as_coefficients(w), objective.as_rows(rows))
    odd = torch.zeros(w.size + 1, dtype=torch.float64)
    odd[1:] = torch.tensor(w.ravel())
    for form in (
        w.tolist(),
        read_only(w),
        w.astype(np.float32),
        np.asfortranarray(w),
        np.repeat(w, 2, axis=1)[:, ::2],
        w[::-1].copy()[::-1],
        torch.tensor(w.T.copy()).T,
        odd[1:].reshape(w.shape),
        odd.to(getattr(torch, variant.dtype))[1:].reshape(w.shape),
    ):
        same = objective.as_coefficients(form)
        assert bits((same,)) == bits((objective.as_coefficients(w),))
        direct = objective.value_and_grad(form, rows=rows)
        assert_same_but_rounding(variant, part, direct, expected)
    for indices in (rows.tolist(), read_only(rows), rows.astype(np.int16), torch.tensor(rows)):
        assert bits(objective.value_and_grad(w, rows=indices)) == bits(expected)


@each_variant_on_cpu
@pytest.mark.parametrize("row", [33, -34])
def test_a_row_that_is_not_there_never_gives_a_number(variant: Variant, row: int) -> None:
    # On a GPU, torch answers such a row by an assertion that ends the process's use of CUDA.
    objective, w = bind_case(variant, random_case(33, 3, variant.dtype, c=4))
    try:
        value, grad = objective.value_and_grad(w, rows=[0, row])
    except IndexError:
        return
    assert np.isnan(float(value))
    assert np.isnan(to_numpy(grad)).all()


# --- input -----------------------------------------------------------------------------------


FORMS_OF_Y: dict[str, Callable[[NDArray[np.intp]], Any]] = {
    "list": lambda y: y.tolist(),
    "float32": lambda y: y.astype(np.float32),
    "read-only": read_only,
    "reversed view": lambda y: y[::-1].copy()[::-1],
    "torch int32": lambda y: torch.tensor(y, dtype=torch.int32),
}


@each_variant
def test_y_in_any_form(variant: Variant) -> None:
    case = random_case(33, 3, variant.dtype, c=4)
    rows = [0, 1, 2, 3, 32]
    expected = bits(variant.bind(case.X, case.y).value_and_grad(case.w, rows=rows))
    for make in FORMS_OF_Y.values():
        objective = variant.bind(read_only(case.X), make(case.y))
        assert bits(objective.value_and_grad(read_only(case.w), rows=rows)) == expected


@each_variant
def test_x_and_y_are_left_as_they_were(variant: Variant) -> None:
    case = random_case(33, 3, variant.dtype, c=4)
    X, y = case.X.copy(), case.y.copy()
    objective = variant.bind(X, y, l2=0.1)
    objective.value_and_grad(case.w)
    objective.value_and_grad(case.w, rows=[0, 1])
    np.testing.assert_array_equal(X, case.X)
    np.testing.assert_array_equal(y, case.y)


@each_variant
@pytest.mark.parametrize("shape", [(), (3,), (12,), (3, 3), (5, 3), (4, 2), (3, 4), (1, 4, 3)])
def test_w_of_another_shape(variant: Variant, shape: tuple[int, ...]) -> None:
    objective = one_row_a_class(variant, 4, 3)
    with pytest.raises(ValueError, match="w must have shape") as caught:
        objective.value_and_grad(np.zeros(shape))
    assert f"(4, 3); got {shape}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@each_variant
@pytest.mark.parametrize("shape", [(2, 4, 3), (4, 3), (1, 3)])
def test_batches_are_refused(variant: Variant, shape: tuple[int, ...]) -> None:
    objective = one_row_a_class(variant, 4, 3)
    with pytest.raises(ValueError, match=r"^value_and_grad_batch takes two classes") as caught:
        objective.value_and_grad_batch(np.zeros(shape))
    assert "has 4: call value_and_grad" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@each_variant
@pytest.mark.parametrize("rows", [[], [[0, 1]], [0.0, 1.0]], ids=repr)
def test_rows_that_are_no_row_indices(variant: Variant, rows: Any) -> None:
    objective = one_row_a_class(variant, 4, 3)
    with pytest.raises((ValueError, TypeError), match="row ind"):
        objective.value_and_grad(np.zeros((4, 3)), rows=np.array(rows))
