"""The contract: every kernel returns f and its gradient, to what rounding in its dtype allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact import (
    TAIL,
    assert_same_but_rounding,
    check_against_exact,
    one_rounding,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import (
    Case,
    Variant,
    bind_case,
    each_c,
    each_float64_variant,
    each_variant,
    random_case,
    rows_of,
    to_8_bits,
    to_numpy,
    whole_case,
)

each_rows = pytest.mark.parametrize(
    "rows", [None, [0, 3, 3, 17, 32]], ids=["all rows", "mini-batch"]
)


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
@pytest.mark.parametrize("n", [3, 99, 1026])
def test_the_mean_keeps_the_tail_of_more_classes(variant: Variant, n: int) -> None:
    # Equal terms round alike, so that a plain sum of n of them may be off by n / 2 roundings.
    y = np.arange(n) % 3
    value, grad = variant.bind(np.eye(3)[y], y).value_and_grad(37.5 * np.eye(3))
    close = {"rel": (8 + n / 2) * variant.eps, "abs": variant.near_zero(37.5)}
    assert float(value) == pytest.approx(2 * TAIL, **close)
    assert to_numpy(grad) == pytest.approx(TAIL / 3 * (1 - 3 * np.eye(3)), **close)


@each_variant
@pytest.mark.parametrize(
    ("n", "c", "d"),
    [
        *((1, 2, 1), (1, 2, 33), (33, 2, 1), (33, 2, 7), (33, 2, 33)),
        *((1023, 2, 7), (1025, 2, 1), (1025, 2, 7), (1025, 2, 33)),
        *((1, 3, 1), (1, 10, 64), (3, 3, 3)),
        *((33, 33, 3), (33, 4, 64), (257, 10, 7), (1025, 3, 7)),
    ],
)
def test_error_is_rounding(variant: Variant, n: int, c: int, d: int) -> None:
    case = random_case(max(n, c), d, variant.dtype, seed=n + c + d, c=c)
    objective, w = bind_case(variant, case)
    if n == 1:
        value, grad = objective.value_and_grad(w, rows=[1])
        case = rows_of(case, 1)
    else:
        value, grad = objective.value_and_grad(w)
    check_against_exact(variant, value, grad, case, l2=0.1)


@each_variant
@given(
    n=st.integers(0, 38),
    c=st.just(2) | st.integers(3, 6),
    d=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    l2=st.just(0.0) | st.floats(-8, 2).map(lambda e: 10.0**e),
    w_scale=st.floats(-4, 3).map(lambda e: 10.0**e),
    x_scale=st.floats(-3, 3).map(lambda e: 10.0**e),
)
@settings(max_examples=40)
def test_error_is_rounding_anywhere(
    variant: Variant, n: int, c: int, d: int, seed: int, l2: float, w_scale: float, x_scale: float
) -> None:
    n, c, d = variant.any_of(n, 0, 38), variant.any_of(c, 2, 3, 6), variant.any_of(d, 1, 12)
    case = random_case(c + n, d, variant.dtype, seed, w_scale, c)
    X = to_8_bits(x_scale * case.X.astype(np.float64)).astype(variant.dtype)
    case = Case(X=X, y=case.y, w=case.w)
    objective, w = bind_case(variant, case, l2)
    value, grad = objective.value_and_grad(w)
    check_against_exact(variant, value, grad, case, l2)


@each_variant
@each_c
@pytest.mark.parametrize("m", [1, 33, 1023, 1025])
def test_rows_are_the_mean_over_these_rows(variant: Variant, c: int, m: int) -> None:
    case = random_case(101, 5, variant.dtype, c=c)
    rows = np.random.default_rng(m).integers(101, size=m)
    rows[-1] = rows[0]  # with m rows out of 101 most of them repeat, and one at least
    objective, w = bind_case(variant, case)
    value, grad = objective.value_and_grad(w, rows=objective.as_rows(rows))
    check_against_exact(variant, value, grad, rows_of(case, *rows.tolist()), l2=0.1)


# --- what holds of f and its gradient --------------------------------------------------------


@each_float64_variant
@pytest.mark.parametrize(("c", "d"), [(2, 7), (3, 5)])
@each_rows
def test_gradient_is_the_slope_of_the_value(
    variant: Variant, c: int, d: int, rows: list[int] | None
) -> None:
    case = random_case(33, d, "float64", c=c)
    objective, w = bind_case(variant, case, l2=0.3)

    def value(w: Any) -> float:
        return float(objective.value_and_grad(objective.as_coefficients(w), rows=rows)[0])

    grad = to_numpy(objective.value_and_grad(w, rows=rows)[1])
    h = 1e-3  # five points: truncation h^4 f^(5) / 30, below 1e-12; rounding 3 eps / h, 1e-12
    if c == 2:
        directions = np.eye(d)
    else:
        directions = [np.random.default_rng(seed).uniform(-1, 1, size=(c, d)) for seed in (1, 2)]
    for v in directions:
        w = case.w
        near, far = value(w + h * v) - value(w - h * v), value(w + 2 * h * v) - value(w - 2 * h * v)
        assert (8 * near - far) / (12 * h) == pytest.approx(np.vdot(grad, v), rel=0, abs=1e-11)


@each_variant
def test_one_vector_added_to_all_rows_of_w_changes_nothing(variant: Variant) -> None:
    case = whole_case(variant)
    shifted = Case(case.X, case.y, case.w + np.array([3, -5, 40, 0, 7], dtype=variant.dtype))
    objective, w = bind_case(variant, case, l2=0.0)
    got = objective.value_and_grad(objective.as_coefficients(shifted.w))
    # What the larger logits of the shifted one round explains the difference.
    assert_same_but_rounding(variant, shifted, got, objective.value_and_grad(w), l2=0.0)


@each_variant
@each_rows
def test_without_a_penalty_the_gradient_of_softmax_sums_to_zero(
    variant: Variant, rows: list[int] | None
) -> None:
    case = random_case(257, 5, variant.dtype, c=4)
    objective, w = bind_case(variant, case, l2=0.0)
    grad = to_numpy(objective.value_and_grad(w, rows=rows)[1]).astype(np.float64)
    part = case if rows is None else rows_of(case, *rows)
    _, rounding = one_rounding(part, 0.0)
    assert (np.abs(grad.sum(axis=0)) <= 4 * variant.eps * rounding.sum(axis=0)).all()
    assert np.abs(grad).max() > 0.01


@each_variant
def test_a_lost_run_shows(variant: Variant) -> None:
    # An optimizer that diverges is told apart by a NaN, which no maximum and no zero may swallow.
    objective = variant.bind([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    for rows in (None, [0]):
        assert_all_nan(objective.value_and_grad([np.nan, 1.0], rows=rows))
    case = random_case(33, 3, variant.dtype, c=4)
    objective, _ = bind_case(variant, case)
    for k in (0, 1, 3):
        w = case.w.copy()
        w[k, 1] = np.nan
        for rows in (None, [5]):
            assert_all_nan(objective.value_and_grad(w, rows=rows))


def assert_all_nan(result: tuple[Any, Any]) -> None:
    value, grad = result
    assert np.isnan(float(value))
    assert np.isnan(to_numpy(grad)).all()
