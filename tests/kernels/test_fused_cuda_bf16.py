"""X stored in bfloat16: f and its derivatives are those of the rounded X, in float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from exact import check_against_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import VARIANTS, Case, Variant, each, random_case, read_only

from bench.cells.plan import dtype_refused
from bench.measure.verify import KernelMismatch, verify
from bench.problems import Problem
from logreg_kernels import KERNELS, bind

NAME = "fused-cuda-bf16"
each_bf16 = each([v for v in VARIANTS if v.kernel == NAME])


def unrounded(n: int, d: int, c: int, seed: int = 0) -> Case:
    """X of all of float32's bits."""
    case = random_case(n, d, "float32", seed, c=c)
    X = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return Case(X=read_only(X), y=case.y, w=case.w)


def rounded(case: Case) -> Case:
    """As torch rounds it."""
    X = torch.tensor(case.X).to(torch.bfloat16).to(torch.float32).numpy()
    assert np.abs(X - case.X).max() > 0
    assert (np.abs(X - case.X) <= 2**-8 * np.abs(case.X)).all()
    return Case(X=X, y=case.y, w=case.w)


@each_bf16
@settings(max_examples=10)
@given(
    n=st.integers(0, 40), c=st.integers(2, 4), d=st.integers(1, 12), seed=st.integers(0, 2**32 - 1)
)
def test_it_evaluates_the_rounded_data(variant: Variant, n: int, c: int, d: int, seed: int) -> None:
    case = unrounded(c + n, d, c, seed)
    value, grad = variant.bind(case.X, case.y, l2=0.1).value_and_grad(case.w)
    check_against_exact(variant, value, grad, rounded(case), l2=0.1)


@each_bf16
@pytest.mark.parametrize("c", [2, 3])
def test_wide_rows_and_second_derivatives(variant: Variant, c: int) -> None:
    case = unrounded(9, 300, c)
    case = replace(case, w=np.float32(0.1) * case.w)
    objective: Any = variant.bind(case.X, case.y, l2=0.1)
    reference: Any = bind("numpy", rounded(case).X, case.y, l2=0.1)
    for got, expected in (
        (objective.value_and_grad(case.w)[1], reference.value_and_grad(case.w)[1]),
        (objective.hvp(case.w, case.w), reference.hvp(case.w, case.w)),
    ):
        np.testing.assert_allclose(got.cpu(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@each_bf16
@pytest.mark.parametrize("c", [2, 3])
def test_it_is_verified_with_the_tolerance_of_its_rounding(variant: Variant, c: int) -> None:
    case = unrounded(300, 7, c)
    problem = Problem("unrounded", case.X.astype(np.float64), case.y, l2=0.1)
    objective: Any = variant.bind(case.X, case.y, l2=0.1)
    assert objective.storage_roundoff == 2**-8  # half of the distance from 1 to the next number
    verify(objective, problem)

    class Undeclared:
        storage_roundoff = 0.0

        def __getattr__(self, name: str) -> Any:
            return getattr(objective, name)

    undeclared: Any = Undeclared()
    with pytest.raises(KernelMismatch):
        verify(undeclared, problem)
    wrong: Any = variant.bind(case.X * np.float32(1.1), case.y, l2=0.1)
    with pytest.raises(KernelMismatch):
        verify(wrong, problem)


@each_bf16
def test_float64_and_numbers_out_of_range_are_refused(variant: Variant) -> None:
    with pytest.raises(ValueError, match=r"^fused-cuda-bf16 computes in float32 only; got float64"):
        bind(NAME, [[0.0], [1.0]], [0, 1], device=variant.device)
    with pytest.raises(ValueError, match="the range of bfloat16: scale X"):
        variant.bind([[3.4e38], [1.0]], [0, 1])
    assert KERNELS[NAME].dtypes == ("float32",)  # type: ignore[attr-defined]


def test_a_suite_leaves_its_float64_cells_out() -> None:
    assert dtype_refused(NAME, "float64") == "computes in float32 only, not in float64"
    assert dtype_refused(NAME, "float32") is None
    assert dtype_refused("numpy", "float64") is None
