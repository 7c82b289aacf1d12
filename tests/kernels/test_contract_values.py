"""The contract: every kernel returns f and its gradient, to what rounding in its dtype allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact import BY_HAND, LOG_2, TAIL, check_against_exact, exact_value_and_grad
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import (
    Case,
    Variant,
    each_float64_variant,
    each_variant,
    random_case,
    to_8_bits,
    to_numpy,
)

from logreg_kernels import Objective


def assert_one_row(
    variant: Variant, objective: Objective, label: int, logit: float, value: float, grad: float
) -> None:
    got_value, got_grad = objective.value_and_grad([logit], rows=[label])
    near_zero = variant.near_zero(logit)
    assert float(got_value) == pytest.approx(value, rel=4 * variant.eps, abs=near_zero)
    assert float(got_grad[0]) == pytest.approx(grad, rel=4 * variant.eps, abs=near_zero)


@each_variant
@pytest.mark.parametrize(("label", "logit", "value", "grad"), BY_HAND)
def test_one_row_by_hand(
    variant: Variant, label: int, logit: float, value: float, grad: float
) -> None:
    # A problem needs both labels, so one row alone is a mini-batch of one.
    objective = variant.bind([[1.0], [1.0]], [0, 1])
    assert_one_row(variant, objective, label, logit, value, grad)


# Around the places where implementations change their formula or run out of exponents: exp
# overflows at 88.7 in float32 and at 709.8 in float64, and underflows at 104 and at 745.1;
# log(1 + e) is e from 16.6 and 36.7 on.
LOGITS = [0.3, 1, 2, 5, 10, 15, 16, 17, 19, 21, 25, 33, 36, 38, 45, 87, 89, 103, 105, 500, 709, 746]


@each_variant
@pytest.mark.parametrize("label", [0, 1])
def test_one_row_at_logits_of_every_size(variant: Variant, label: int) -> None:
    objective = variant.bind([[1.0], [1.0]], [0, 1])
    for logit in [*LOGITS, *(-z for z in LOGITS)]:
        logit = float(np.float32(logit))
        case = Case(X=np.array([[1.0]]), y=np.array([label]), w=np.array([logit]))
        value, (grad,) = exact_value_and_grad(case, l2=0.0)
        assert_one_row(variant, objective, label, logit, float(value), float(grad))


@each_variant
@pytest.mark.parametrize("logit", [0.0, 37.5, -37.5, 1000.0, -1000.0, 9984.0, -9984.0])
def test_both_labels_by_hand(variant: Variant, logit: float) -> None:
    value, grad = variant.bind([[logit], [logit]], [0, 1]).value_and_grad([1.0])
    assert float(value) == pytest.approx(abs(logit) / 2 or LOG_2, rel=4 * variant.eps, abs=0)
    expected = abs(logit) / 2  # (sigmoid(z) - 1/2) z
    assert float(grad[0]) == pytest.approx(expected, rel=4 * variant.eps, abs=0)


@each_variant
@pytest.mark.parametrize("n", [2, 33, 1023, 1025])
def test_the_mean_keeps_the_tail(variant: Variant, n: int) -> None:
    # Every row is right with margin 37.5: a sum that meets anything of size 1 loses them all.
    y = np.arange(n) % 2
    value, grad = variant.bind((2.0 * y - 1)[:, None], y).value_and_grad([37.5])
    near_zero = variant.near_zero(37.5)
    assert float(value) == pytest.approx(TAIL, rel=8 * variant.eps, abs=near_zero)
    assert float(grad[0]) == pytest.approx(-TAIL, rel=8 * variant.eps, abs=near_zero)


@each_variant
@pytest.mark.parametrize("d", [1, 7, 33])
@pytest.mark.parametrize("n", [1, 33, 1023, 1025])
def test_error_is_rounding(variant: Variant, n: int, d: int) -> None:
    case = random_case(max(n, 2), d, variant.dtype, seed=n + d)
    objective = variant.bind(case.X, case.y, l2=0.1)
    if n == 1:
        value, grad = objective.value_and_grad(objective.as_coefficients(case.w), rows=[1])
        case = Case(X=case.X[1:2], y=case.y[1:2], w=case.w)
    else:
        value, grad = objective.value_and_grad(objective.as_coefficients(case.w))
    check_against_exact(variant, value, grad, case, l2=0.1)


@each_variant
@given(
    n=st.integers(2, 40),
    d=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    l2=st.just(0.0) | st.floats(-8, 2).map(lambda e: 10.0**e),
    w_scale=st.floats(-4, 3).map(lambda e: 10.0**e),
    x_scale=st.floats(-3, 3).map(lambda e: 10.0**e),
)
@settings(max_examples=25)
def test_error_is_rounding_anywhere(
    variant: Variant, n: int, d: int, seed: int, l2: float, w_scale: float, x_scale: float
) -> None:
    n, d = variant.any_of(n, 2, 17, 40), variant.any_of(d, 1, 5, 12)
    case = random_case(n, d, variant.dtype, seed, w_scale)
    X = to_8_bits(x_scale * case.X.astype(np.float64)).astype(variant.dtype)
    case = Case(X=X, y=case.y, w=case.w)
    objective = variant.bind(case.X, case.y, l2=l2)
    value, grad = objective.value_and_grad(objective.as_coefficients(case.w))
    check_against_exact(variant, value, grad, case, l2)


@each_float64_variant
@pytest.mark.parametrize("rows", [None, [0, 3, 3, 17, 32]], ids=["all rows", "mini-batch"])
def test_gradient_is_the_slope_of_the_value(variant: Variant, rows: list[int] | None) -> None:
    case = random_case(33, 7, "float64")
    objective = variant.bind(case.X, case.y, l2=0.3)

    def value(w: Any) -> float:
        return float(objective.value_and_grad(objective.as_coefficients(w), rows=rows)[0])

    _, grad = objective.value_and_grad(objective.as_coefficients(case.w), rows=rows)
    h = 1e-3  # five points: truncation h^4 f^(5) / 30, below 1e-12; rounding 3 eps / h, 1e-12
    for j, step in enumerate(h * np.eye(7)):
        w = case.w
        near, far = value(w + step) - value(w - step), value(w + 2 * step) - value(w - 2 * step)
        assert (8 * near - far) / (12 * h) == pytest.approx(to_numpy(grad)[j], rel=0, abs=1e-11)


@each_variant
def test_a_lost_run_shows(variant: Variant) -> None:
    # An optimizer that diverges is told apart by a NaN, which no maximum may swallow.
    objective = variant.bind([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    value, grad = objective.value_and_grad([np.nan, 1.0])
    assert np.isnan(float(value))
    assert np.isnan(to_numpy(grad)).all()
