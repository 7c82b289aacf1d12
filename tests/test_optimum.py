"""The optimum and its proof, against mpmath, scikit-learn and linear programming."""

from __future__ import annotations

import dataclasses
import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import bench
from bench.measure.reference import reference_objective
from bench.measure.rounding import gradient_error, unit_roundoff
from bench.problems import Problem, load_problem
from bench.score.optimum import certify, find_separator, prove_separable, solve
from bench.score.optimum_cache import load_or_solve

WITH_OPTIMUM = [
    "iris",
    "iris:target=versicolor",
    "breast_cancer",
    "breast_cancer:l2=0",
    "digits",
    "synthetic:n=2000,d=30",
    "synthetic:n=1000,d=20,cond=1e6,l2=0",
]


def random_problem(seed: int, n: int, d: int, l2: float) -> Problem:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * rng.uniform(0.1, 3.0, d)
    y = (rng.random(n) < 0.5).astype(int)
    y[:2] = (0, 1)
    return Problem("random", X, y, l2)


def f_in_50_digits(problem: Problem, w: np.ndarray) -> mpmath.mpf:
    with mpmath.workdps(50):
        total = mpmath.mpf(0)
        weights = [mpmath.mpf(float(value)) for value in w]
        for row, label in zip(problem.X, problem.y, strict=True):
            z = mpmath.fdot(weights, [mpmath.mpf(float(x)) for x in row])
            total += mpmath.log1p(mpmath.exp(-z if label else z))
        penalty = mpmath.mpf(problem.l2) / 2 * mpmath.fdot(weights, weights)
        return total / problem.n_samples + penalty


@pytest.mark.parametrize("spec", WITH_OPTIMUM)
def test_the_optimum_is_proved_to_a_relative_bound_of_1e_12(spec: str) -> None:
    optimum = bench.optimum(spec)
    assert optimum.exists is True
    assert 0 <= optimum.gap_bound <= 1e-12 * optimum.f
    assert optimum.reason


@pytest.mark.parametrize("spec", ["iris", "breast_cancer", "synthetic:n=300,d=10"])
def test_f_agrees_with_50_digits(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    exact = f_in_50_digits(problem, optimum.w)
    assert abs(optimum.f - exact) <= 1e-14 * exact


@pytest.mark.parametrize(
    "spec", ["iris:l2=0.01", "breast_cancer", "digits", "synthetic:n=2000,d=30"]
)
def test_scikit_learn_lands_on_the_same_w(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    # scikit-learn's C weighs the sum of the losses: C = 1 / (n l2).
    model = LogisticRegression(
        C=1 / (problem.n_samples * problem.l2),
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-14,
        max_iter=1000,
    ).fit(problem.X, problem.y)
    np.testing.assert_allclose(model.coef_.ravel(), optimum.w, rtol=1e-6, atol=1e-8)
    value, _ = reference_objective(problem).value_and_grad(model.coef_.ravel())
    assert optimum.f <= value + 1e-15
    assert value - optimum.f <= 1e-12


@pytest.mark.parametrize("spec", ["iris:target=setosa", "synthetic:n=30,d=25,l2=0"])
def test_separable_data_are_proved_to_have_no_optimum(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    assert optimum.exists is False
    assert ((2 * problem.y - 1) * (problem.X @ optimum.w)).min() > 0
    assert "set l2 > 0" in optimum.reason
    assert math.isinf(optimum.gap_bound)
    assert solve(dataclasses.replace(problem, l2=1e-3)).exists is True


def test_collinear_columns_without_penalty_are_unknown_with_the_reason() -> None:
    problem = random_problem(seed=0, n=60, d=3, l2=0.0)
    twice = Problem("twice", np.column_stack([problem.X, problem.X[:, 0]]), problem.y, 0.0)
    optimum = solve(twice)
    assert optimum.exists is None
    assert "collinear" in optimum.reason
    assert solve(dataclasses.replace(twice, l2=1e-6)).exists is True


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 60),
    d=st.integers(1, 8),
    l2=st.sampled_from([0.0, 1e-8, 1e-3, 1.0]),
    distance=st.sampled_from([1e-6, 1e-3, 0.1, 1.0]),
)
def test_the_bound_holds_wherever_it_is_claimed(
    seed: int, n: int, d: int, l2: float, distance: float
) -> None:
    """f(w) - f* <= gap_bound at random points near the optimum, not only where Newton ends."""
    problem = random_problem(seed, n, d, l2)
    optimum = solve(problem)
    assume(optimum.exists)
    step = np.random.default_rng(seed + 1).standard_normal(d)
    claim = certify(problem, optimum.w + distance * step / np.linalg.norm(step))
    if claim.exists:
        rounding = 1e-15 * max(1.0, claim.f)
        assert claim.f - optimum.f <= claim.gap_bound + optimum.gap_bound + rounding
    else:
        assert l2 == 0.0


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), d=st.integers(1, 6))
def test_without_penalty_an_optimum_exists_exactly_where_no_separator_does(
    seed: int, n: int, d: int
) -> None:
    problem = random_problem(seed, n, d, l2=0.0)
    optimum = solve(problem)
    separator = find_separator(problem)
    if optimum.exists is True:
        assert separator is None or prove_separable(problem, separator) is None
    elif optimum.exists is False:
        assert prove_separable(problem, optimum.w) is not None


@given(seed=st.integers(0, 10_000), n=st.integers(2, 50), d=st.integers(1, 10))
def test_gradient_error_covers_the_rounding_that_happens(seed: int, n: int, d: int) -> None:
    """The float64 gradient against longdouble's, inside the a-priori bound; and not far inside:
    a bound a million times too wide would prove nothing."""
    problem = random_problem(seed, n, d, l2=0.1)
    w = np.random.default_rng(seed).standard_normal(d)
    _, grad = reference_objective(problem).value_and_grad(w)
    X, W = problem.X.astype(np.longdouble), w.astype(np.longdouble)
    exact = X.T @ (1 / (1 + np.exp(-(X @ W))) - problem.y) / n + np.longdouble(0.1) * W
    bound = gradient_error(problem.X, w, problem.l2, unit_roundoff("float64"))
    assert (np.abs(grad - exact) <= bound).all()
    assert bound.max() <= 1e-11


def test_a_cached_optimum_is_proved_again_and_a_corrupted_one_is_computed_anew(tmp_path) -> None:
    problem = load_problem("iris")
    first = load_or_solve(problem, tmp_path)
    (path,) = tmp_path.iterdir()
    assert load_or_solve(problem, tmp_path).w.tolist() == first.w.tolist()

    honest = path.read_text()
    for wrong in (
        honest.replace(repr(first.f), "0.05"),
        honest.replace(repr(float(first.w[0])), "-4.0"),
        honest.replace('"exists": true', '"exists": false'),
        "{",
        "",
    ):
        assert wrong != honest
        path.write_text(wrong)
        again = load_or_solve(problem, tmp_path)
        assert again.exists is True
        assert again.f == first.f
        assert path.read_text() == honest


def test_another_penalty_is_another_optimum(tmp_path) -> None:
    a = load_or_solve(load_problem("iris:l2=0.1"), tmp_path)
    b = load_or_solve(load_problem("iris:l2=0.2"), tmp_path)
    assert a.f < b.f
    assert len(list(tmp_path.iterdir())) == 2
