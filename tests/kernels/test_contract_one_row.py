"""The contract: f and its gradient of one row, at logits of every size.

A problem needs a row of each label, so that one row alone is a mini-batch of one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact import BY_HAND, BY_HAND_SOFTMAX, LOG_2, exact_value_and_grad
from variants import Case, Variant, each_variant, to_numpy

from logreg_kernels import Objective


def one_row_a_class(variant: Variant, c: int) -> Objective:
    """X is 1 in each row, so that w holds the logits, and a row index picks the label."""
    return variant.bind(np.ones((c, 1)), np.arange(c))


def assert_one_row(
    variant: Variant, objective: Objective, label: int, logits: Any, value: float, grad: Any
) -> None:
    """`logits`: that of class 1, a number, for two classes; that of each class for more."""
    w = np.reshape(logits, objective.coefficient_shape)
    got_value, got_grad = objective.value_and_grad(w, rows=[label])
    close = {"rel": 4 * variant.eps, "abs": variant.near_zero(float(np.abs(w).max()))}
    assert float(got_value) == pytest.approx(value, **close)
    expected = np.ravel(np.array(grad, dtype=float))
    assert to_numpy(got_grad).ravel() == pytest.approx(expected, **close)


@each_variant
def test_one_row_by_hand(variant: Variant) -> None:
    objective = one_row_a_class(variant, 2)
    for label, logit, value, grad in BY_HAND:
        assert_one_row(variant, objective, label, logit, value, grad)
    objective = one_row_a_class(variant, 3)
    for logits, label, value, grads in BY_HAND_SOFTMAX:
        assert_one_row(variant, objective, label, logits, value, grads)


# Around the places where implementations change their formula or run out of exponents: exp
# overflows at 88.7 in float32 and at 709.8 in float64, and underflows at 104 and at 745.1;
# log(1 + e) is e from 16.6 and 36.7 on.
LOGITS = [0.3, 1, 2, 5, 10, 15, 16, 17, 19, 21, 25, 33, 36, 38, 45, 87, 89, 103, 105, 500, 709, 746]
LOGITS_SOFTMAX = [0.3, 16.0, 37.0, 88.0, 104.0, 710.0, 746.0]


@each_variant
@pytest.mark.parametrize("c", [2, 3])
def test_one_row_at_logits_of_every_size(variant: Variant, c: int) -> None:
    objective = one_row_a_class(variant, c)
    for size in LOGITS if c == 2 else LOGITS_SOFTMAX:
        for z in (size, -size):
            logits = np.float32([z] if c == 2 else [z, 0.0, z - 1])
            w = logits.astype(np.float64).reshape(objective.coefficient_shape)
            for label in range(c):
                case = Case(X=np.ones((1, 1)), y=np.array([label]), w=w)
                value, grad = exact_value_and_grad(case, l2=0.0)
                assert_one_row(variant, objective, label, w, float(value), grad)


@each_variant
def test_both_labels_by_hand(variant: Variant) -> None:
    for logit in (0.0, 37.5, -37.5, 1000.0, -1000.0, 9984.0, -9984.0):
        value, grad = variant.bind([[logit], [logit]], [0, 1]).value_and_grad([1.0])
        assert float(value) == pytest.approx(abs(logit) / 2 or LOG_2, rel=4 * variant.eps, abs=0)
        expected = abs(logit) / 2  # (sigmoid(z) - 1/2) z
        assert float(grad[0]) == pytest.approx(expected, rel=4 * variant.eps, abs=0)
