"""The contract: the Hessian and its products, of the kernels that have them, as `numpy` has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from exact import TAIL, exact_hessian, logits_and_spread, probabilities
from variants import (
    Case,
    Variant,
    bind_case,
    bits,
    each_float64_variant,
    each_variant,
    offers,
    random_case,
    read_only,
    to_numpy,
)

from logreg_kernels import bind

each_case = pytest.mark.parametrize(("c", "d"), [(2, 7), (3, 4), (5, 3)])


def bind_with(method: str, variant: Variant, case: Case, l2: float = 0.1) -> tuple[Any, Any]:
    """The objective and w; the test is skipped where the kernel lacks the method."""
    objective, w = bind_case(variant, case, l2)
    if not offers(objective, method):
        pytest.skip(f"{variant.kernel} has no {method}")
    return objective, w


@pytest.mark.parametrize("y", [[0, 1], [0, 1, 2]])
def test_the_reference_has_both(y: list[int]) -> None:
    objective = bind("numpy", np.ones((len(y), 1)), y)
    assert offers(objective, "hessian")
    assert offers(objective, "hvp")


@each_variant
@pytest.mark.parametrize(
    ("n", "c", "d", "w_scale"),
    [
        *((2, 2, 1, 1.0), (33, 2, 7, 0.0), (33, 2, 7, 1.0), (33, 2, 7, 30.0), (257, 2, 5, 1.0)),
        *((3, 3, 1, 1.0), (33, 4, 3, 0.0), (33, 4, 3, 1.0), (33, 4, 3, 30.0), (129, 3, 2, 1.0)),
    ],
)
def test_hessian_is_exact_to_rounding(
    variant: Variant, n: int, c: int, d: int, w_scale: float
) -> None:
    case = random_case(n, d, variant.dtype, w_scale=w_scale, c=c)
    objective, w = bind_with("hessian", variant, case)
    H = to_numpy(objective.hessian(w))
    assert H.shape == (case.w.size, case.w.size)
    assert H.dtype == variant.dtype
    error = np.abs(H.astype(np.float64) - exact_hessian(case, 0.1).astype(np.float64))
    assert (error <= 4 * variant.eps * hessian_rounding(case, 0.1)).all()


def hessian_rounding(case: Case, l2: float) -> Any:
    """What each entry of H moves by if every logit and product is off by 1, relatively."""
    n, d = case.X.shape
    X = np.abs(case.X.astype(np.float64))
    Z, spread = logits_and_spread(case)
    if case.w.ndim == 1:
        # p (1 - p) moves by no more than itself, relatively, where its logit does: by spread.
        tail = np.exp(-np.abs(Z[:, 1]))
        weight = tail / (1 + tail) ** 2 * (1 + spread[:, 1])
        return (X.T * weight) @ X / n + l2 * np.eye(d)
    # d log p_k = dz_k - sum_l p_l dz_l, which is at most twice the largest spread; and there are
    # two probabilities in each product, of which 1 - p_k is a sum.
    c = len(case.w)
    P, others = probabilities(Z)
    pairs = P[:, :, None] * P[:, None, :]
    pairs[:, np.arange(c), np.arange(c)] = P * others
    pairs *= (1 + 2 * spread.max(axis=1))[:, None, None]
    blocks = np.einsum("nkl,ni,nj->kilj", pairs, X, X) / n
    return blocks.reshape(c * d, c * d) + l2 * np.eye(c * d)


@each_variant
@each_case
def test_hessian_is_symmetric_and_no_less_than_l2(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, variant.dtype, c=c)
    objective, _ = bind_with("hessian", variant, case)
    H = to_numpy(objective.hessian(case.w))
    np.testing.assert_allclose(H, H.T, rtol=0, atol=4 * variant.eps * np.abs(H).max())
    assert np.linalg.eigvalsh(H.astype(np.float64)).min() >= 0.1 * (1 - 8 * variant.eps)


@each_float64_variant
@each_case
def test_hessian_is_the_slope_of_the_gradient(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, "float64", c=c)
    objective, _ = bind_with("hessian", variant, case, l2=0.3)

    def grad(w: np.ndarray) -> np.ndarray:
        return to_numpy(objective.value_and_grad(objective.as_coefficients(w))[1]).ravel()

    H = to_numpy(objective.hessian(objective.as_coefficients(case.w)))
    h = 1e-3
    for j, step in enumerate(h * np.eye(case.w.size)):
        w, step = case.w, step.reshape(case.w.shape)
        near, far = grad(w + step) - grad(w - step), grad(w + 2 * step) - grad(w - 2 * step)
        np.testing.assert_allclose((8 * near - far) / (12 * h), H[j], rtol=0, atol=1e-11)


@each_variant
def test_curvature_keeps_the_tail(variant: Variant) -> None:
    # p (1 - p) at a logit of 37.5, where 1 - p rounds to 0.
    case = Case(np.array([[1.0], [-1.0]]), np.array([0, 1]), np.array([0.0]))
    objective, _ = bind_with("hessian", variant, case, l2=0.0)
    for sign in (1.0, -1.0):
        H = objective.hessian([37.5 * sign])
        assert float(H[0, 0]) == pytest.approx(TAIL, rel=8 * variant.eps, abs=0)


@each_variant
def test_curvature_of_more_classes_keeps_the_tail(variant: Variant) -> None:
    H = variant.bind(np.ones((3, 1)), [0, 1, 2]).hessian([[0.0], [37.5], [0.0]])
    expected = TAIL * np.array([[1, -1, 0], [-1, 2, -1], [0, -1, 1]])
    assert to_numpy(H) == pytest.approx(expected, rel=8 * variant.eps, abs=TAIL * variant.eps)


@each_variant
@each_case
@pytest.mark.parametrize("w_scale", [0.0, 1.0, 30.0])
def test_hvp_is_the_hessian_times_v(variant: Variant, c: int, d: int, w_scale: float) -> None:
    case = random_case(33, d, variant.dtype, w_scale=w_scale, c=c)
    objective, w = bind_with("hvp", variant, case)
    v = np.random.default_rng(1).standard_normal(case.w.shape).astype(variant.dtype)
    product = objective.hvp(w, objective.as_coefficients(v))
    assert type(product) is type(w)
    assert (tuple(product.shape), product.dtype) == (case.w.shape, w.dtype)
    expected = to_numpy(objective.hessian(w)).astype(np.float64) @ v.ravel()
    # s_k = p_k (u_k - p.u) from u = V x: what its parts may be off by, relatively, as above.
    Z, spread = logits_and_spread(case)
    P, _ = probabilities(Z)
    size = np.abs(case.X) @ np.abs(np.stack([0 * v, v]) if c == 2 else v).T
    parts = P * (size + (P * size).sum(axis=1, keepdims=True))
    parts *= 1 + 2 * spread.max(axis=1, keepdims=True)
    one_rounding = (parts.T @ np.abs(case.X) / 33)[-(1 if c == 2 else c) :].reshape(v.shape)
    error = np.abs(to_numpy(product) - expected.reshape(v.shape))
    assert (error <= 4 * variant.eps * (one_rounding + 0.1 * np.abs(v))).all()


@each_variant
@each_case
def test_hvp_leaves_its_arguments_alone(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, variant.dtype, c=c)
    objective, w = bind_with("hvp", variant, case)
    v = objective.as_coefficients(-2 * case.w)
    first = objective.hvp(w, v)
    first_bits = bits((first,))
    assert bits((objective.hvp(w, v),)) == first_bits
    assert bits((objective.hvp(read_only(case.w), read_only(-2 * case.w)),)) == first_bits
    assert bits((w, v)) == bits((case.w, -2 * case.w))
    objective.hvp(v, w)
    assert bits((first,)) == first_bits
    with torch.no_grad():
        assert bits((objective.hvp(w, v),)) == first_bits


@each_variant
@each_case
def test_w_and_v_of_another_shape(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, variant.dtype, c=c)
    objective, w = bind_case(variant, case)
    for wrong in (0.0, case.w[:-1], case.w[None], case.w.ravel()[:1]):
        if offers(objective, "hessian"):
            with pytest.raises(ValueError, match=r"^w must have shape"):
                objective.hessian(wrong)
        if offers(objective, "hvp"):
            for arguments, name in (((w, wrong), "v"), ((wrong, w), "w")):
                with pytest.raises(ValueError, match=f"^{name} must have shape"):
                    objective.hvp(*arguments)
