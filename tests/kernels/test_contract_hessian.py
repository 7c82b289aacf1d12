"""The contract: the Hessian and its products, of the kernels that have them, as `numpy` has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact import TAIL, exact_hessian, logits_and_spread, probabilities
from variants import VARIANTS, Variant, bind_case, bits, each, random_case, read_only, to_numpy


def has(variant: Variant, method: str) -> bool:
    if variant.unavailable is not None:
        return False
    classes = ([0, 1], [0, 1, 2])
    return all(method in variant.bind(np.ones((len(y), 1)), y).offers for y in classes)


WITH_HESSIAN = [variant for variant in VARIANTS if has(variant, "hessian")]
WITH_HVP = [variant for variant in VARIANTS if has(variant, "hvp")]
each_variant_with_hessian = each(WITH_HESSIAN)
each_variant_with_both = each([v for v in WITH_HVP if v in WITH_HESSIAN])
each_variant_with_hvp = each(WITH_HVP)
each_case = pytest.mark.parametrize(("c", "d"), [(2, 7), (3, 4), (5, 3)])
each_float64_variant_with_hessian = each([v for v in WITH_HESSIAN if v.dtype == "float64"])


def test_numpy_has_one_in_both_dtypes() -> None:
    both = {Variant("numpy", "cpu", dtype) for dtype in ("float32", "float64")}
    assert both <= set(WITH_HESSIAN)
    assert both <= set(WITH_HVP)


@each_variant_with_hessian
@pytest.mark.parametrize(("n", "d"), [(2, 1), (33, 7), (257, 5)])
@pytest.mark.parametrize("w_scale", [0.0, 1.0, 30.0])
def test_hessian_is_exact_to_rounding(variant: Variant, n: int, d: int, w_scale: float) -> None:
    case = random_case(n, d, variant.dtype, w_scale=w_scale)
    objective = variant.bind(case.X, case.y, l2=0.1)
    H = to_numpy(objective.hessian(objective.as_coefficients(case.w)))
    assert H.shape == (d, d)
    assert H.dtype == variant.dtype
    # p (1 - p) moves by no more than itself, relatively, where its logit does: by spread.
    X = np.abs(case.X.astype(np.float64))
    spread = X @ np.abs(case.w.astype(np.float64))
    tail = np.exp(-np.abs(case.X.astype(np.float64) @ case.w.astype(np.float64)))
    weight = tail / (1 + tail) ** 2 * (1 + spread)
    one_rounding = (X.T * weight) @ X / n + 0.1 * np.eye(d)
    error = np.abs(H.astype(np.float64) - exact_hessian(case, 0.1).astype(np.float64))
    assert (error <= 4 * variant.eps * one_rounding).all()


@each_variant_with_hessian
@pytest.mark.parametrize(("n", "c", "d"), [(3, 3, 1), (33, 4, 3), (129, 3, 2)])
@pytest.mark.parametrize("w_scale", [0.0, 1.0, 30.0])
def test_hessian_of_more_classes_is_exact_to_rounding(
    variant: Variant, n: int, c: int, d: int, w_scale: float
) -> None:
    case = random_case(n, d, variant.dtype, w_scale=w_scale, c=c)
    objective, w = bind_case(variant, case)
    H = to_numpy(objective.hessian(w))
    assert H.shape == (c * d, c * d)
    assert H.dtype == variant.dtype
    # d log p_k = dz_k - sum_l p_l dz_l, which is at most twice the largest spread; and there are
    # two probabilities in each product, of which 1 - p_k is a sum.
    Z, spread = logits_and_spread(case)
    P, others = probabilities(Z)
    pairs = P[:, :, None] * P[:, None, :]
    pairs[:, np.arange(c), np.arange(c)] = P * others
    pairs *= (1 + 2 * spread.max(axis=1))[:, None, None]
    X = np.abs(case.X.astype(np.float64))
    one_rounding = np.einsum("nkl,ni,nj->kilj", pairs, X, X).reshape(c * d, c * d) / n
    one_rounding += 0.1 * np.eye(c * d)
    error = np.abs(H.astype(np.float64) - exact_hessian(case, 0.1).astype(np.float64))
    assert (error <= 4 * variant.eps * one_rounding).all()


@each_variant_with_hessian
@each_case
def test_hessian_is_symmetric_and_no_less_than_l2(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, variant.dtype, c=c)
    H = to_numpy(variant.bind(case.X, case.y, l2=0.1).hessian(case.w))
    np.testing.assert_allclose(H, H.T, rtol=0, atol=4 * variant.eps * np.abs(H).max())
    assert np.linalg.eigvalsh(H.astype(np.float64)).min() >= 0.1 * (1 - 8 * variant.eps)


@each_float64_variant_with_hessian
@each_case
def test_hessian_is_the_slope_of_the_gradient(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, "float64", c=c)
    objective = variant.bind(case.X, case.y, l2=0.3)

    def grad(w: np.ndarray) -> np.ndarray:
        return to_numpy(objective.value_and_grad(objective.as_coefficients(w))[1]).ravel()

    H = to_numpy(objective.hessian(objective.as_coefficients(case.w)))
    h = 1e-3
    for j, step in enumerate(h * np.eye(case.w.size)):
        w, step = case.w, step.reshape(case.w.shape)
        near, far = grad(w + step) - grad(w - step), grad(w + 2 * step) - grad(w - 2 * step)
        np.testing.assert_allclose((8 * near - far) / (12 * h), H[j], rtol=0, atol=1e-11)


@each_variant_with_hessian
def test_curvature_keeps_the_tail(variant: Variant) -> None:
    # p (1 - p) at a logit of 37.5, where 1 - p rounds to 0.
    for sign in (1.0, -1.0):
        H = variant.bind([[1.0], [-1.0]], [0, 1]).hessian([37.5 * sign])
        assert float(H[0, 0]) == pytest.approx(TAIL, rel=8 * variant.eps, abs=0)


@each_variant_with_hessian
def test_curvature_of_more_classes_keeps_the_tail(variant: Variant) -> None:
    H = variant.bind(np.ones((3, 1)), [0, 1, 2]).hessian([[0.0], [37.5], [0.0]])
    expected = TAIL * np.array([[1, -1, 0], [-1, 2, -1], [0, -1, 1]])
    assert to_numpy(H) == pytest.approx(expected, rel=8 * variant.eps, abs=TAIL * variant.eps)


@each_variant_with_both
@each_case
@pytest.mark.parametrize("w_scale", [0.0, 1.0, 30.0])
def test_hvp_is_the_hessian_times_v(variant: Variant, c: int, d: int, w_scale: float) -> None:
    case = random_case(33, d, variant.dtype, w_scale=w_scale, c=c)
    objective, w = bind_case(variant, case)
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


@each_variant_with_hvp
@each_case
def test_hvp_leaves_its_arguments_alone(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, variant.dtype, c=c)
    objective, w = bind_case(variant, case)
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


@each_variant_with_hessian
@pytest.mark.parametrize("w", [[0.0] * 6, [[0.0] * 7], 0.0], ids=repr)
def test_w_of_another_shape(variant: Variant, w: object) -> None:
    case = random_case(33, 7, variant.dtype)
    with pytest.raises(ValueError, match=r"w must have shape \(7,\)"):
        variant.bind(case.X, case.y).hessian(w)


@each_variant_with_hvp
@each_case
def test_v_of_another_shape(variant: Variant, c: int, d: int) -> None:
    case = random_case(33, d, variant.dtype, c=c)
    objective, w = bind_case(variant, case)
    for wrong in (0.0, case.w[:-1], case.w[None], case.w.ravel()[:1]):
        for arguments, name in (((w, wrong), "v"), ((wrong, w), "w")):
            with pytest.raises(ValueError, match=f"^{name} must have shape"):
                objective.hvp(*arguments)
