"""The contract: the Hessian, of the kernels that have one; `numpy` always has."""

from __future__ import annotations

import numpy as np
import pytest
from exact import TAIL, exact_hessian
from variants import VARIANTS, Variant, each, random_case, to_numpy


def has_hessian(variant: Variant) -> bool:
    if variant.unavailable is not None:
        return False
    return hasattr(variant.bind([[0.0], [1.0]], [0, 1]), "hessian")


WITH_HESSIAN = [variant for variant in VARIANTS if has_hessian(variant)]
each_variant_with_hessian = each(WITH_HESSIAN)
each_float64_variant_with_hessian = each([v for v in WITH_HESSIAN if v.dtype == "float64"])


def test_numpy_has_one_in_both_dtypes() -> None:
    assert {Variant("numpy", "cpu", dtype) for dtype in ("float32", "float64")} <= set(WITH_HESSIAN)


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
    error = np.abs(H.astype(np.float64) - np.array(exact_hessian(case, 0.1), dtype=np.float64))
    assert (error <= 4 * variant.eps * one_rounding).all()


@each_variant_with_hessian
def test_hessian_is_symmetric_and_no_less_than_l2(variant: Variant) -> None:
    case = random_case(33, 7, variant.dtype)
    H = to_numpy(variant.bind(case.X, case.y, l2=0.1).hessian(case.w))
    np.testing.assert_allclose(H, H.T, rtol=0, atol=4 * variant.eps * np.abs(H).max())
    assert np.linalg.eigvalsh(H.astype(np.float64)).min() >= 0.1 * (1 - 8 * variant.eps)


@each_float64_variant_with_hessian
def test_hessian_is_the_slope_of_the_gradient(variant: Variant) -> None:
    case = random_case(33, 7, "float64")
    objective = variant.bind(case.X, case.y, l2=0.3)

    def grad(w: np.ndarray) -> np.ndarray:
        return to_numpy(objective.value_and_grad(objective.as_coefficients(w))[1])

    H = to_numpy(objective.hessian(objective.as_coefficients(case.w)))
    h = 1e-3
    for j, step in enumerate(h * np.eye(7)):
        w = case.w
        near, far = grad(w + step) - grad(w - step), grad(w + 2 * step) - grad(w - 2 * step)
        np.testing.assert_allclose((8 * near - far) / (12 * h), H[j], rtol=0, atol=1e-11)


@each_variant_with_hessian
def test_curvature_keeps_the_tail(variant: Variant) -> None:
    # p (1 - p) at a logit of 37.5, where 1 - p rounds to 0.
    for sign in (1.0, -1.0):
        H = variant.bind([[1.0], [-1.0]], [0, 1]).hessian([37.5 * sign])
        assert float(H[0, 0]) == pytest.approx(TAIL, rel=8 * variant.eps, abs=0)


@each_variant_with_hessian
@pytest.mark.parametrize("w", [[0.0] * 6, [[0.0] * 7], 0.0], ids=repr)
def test_w_of_another_shape(variant: Variant, w: object) -> None:
    case = random_case(33, 7, variant.dtype)
    with pytest.raises(ValueError, match=r"w must have shape \(7,\)"):
        variant.bind(case.X, case.y).hessian(w)
