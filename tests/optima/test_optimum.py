"""The optimum and its proof, against mpmath, scikit-learn and linear programming."""

from __future__ import annotations

import dataclasses
import math
import re

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import bench
from bench.optima.cache import load_or_solve
from bench.optima.certificate import certify
from bench.optima.optimum import contradiction, exact_sum_value, solve
from bench.optima.reference import reference_objective
from bench.optima.rounding import gradient_error, unit_roundoff, value_error
from bench.optima.separability import find_separation, prove_separable
from bench.problems import Problem, load_problem

WITH_OPTIMUM = [
    "iris",
    "iris:target=versicolor",
    "breast_cancer",
    "breast_cancer:l2=0",
    "digits",
    "synthetic:n=2000,d=30",
    "synthetic:n=1000,d=20,cond=1e6,l2=0",
    "iris3",
    "wine",
    "digits10",
]


def random_problem(seed: int, n: int, d: int, l2: float, c: int = 2) -> Problem:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * rng.uniform(0.1, 3.0, d)
    y = rng.integers(c, size=n)
    y[:c] = range(c)
    return Problem("random", X, y, l2)


def f_in_50_digits(problem: Problem, w: np.ndarray) -> mpmath.mpf:
    """f as its definition has it: log sum_k exp(z_k) - z_y, with z_0 = 0 for two classes."""
    with mpmath.workdps(50):
        total = mpmath.mpf(0)
        classes = np.vstack([np.zeros_like(w), w]) if w.ndim == 1 else w
        weights = [[mpmath.mpf(float(value)) for value in row] for row in classes]
        for row, label in zip(problem.X, problem.y, strict=True):
            x = [mpmath.mpf(float(entry)) for entry in row]
            logits = [mpmath.fdot(weight, x) for weight in weights]
            total += mpmath.log(sum(map(mpmath.exp, logits))) - logits[label]
        squares = sum(mpmath.fdot(weight, weight) for weight in weights)
        return total / problem.n_samples + mpmath.mpf(problem.l2) / 2 * squares


@pytest.mark.parametrize("spec", WITH_OPTIMUM)
def test_the_optimum_is_proved_to_a_relative_bound_of_1e_12(spec: str) -> None:
    optimum = bench.optimum(spec)
    assert optimum.exists is True
    assert 0 <= optimum.gap_bound <= 1e-12 * optimum.f
    assert optimum.reason


@pytest.mark.parametrize(
    "spec",
    [
        *("iris", "breast_cancer", "synthetic:n=300,d=10", "synthetic:n=500,d=20,cond=1000"),
        *("iris3", "wine", "digits10"),
    ],
)
def test_f_agrees_with_50_digits(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    exact = f_in_50_digits(problem, optimum.w)
    assert abs(optimum.f - exact) <= 1e-14 * exact


@pytest.mark.parametrize(
    "spec",
    [
        *("iris", "iris:l2=0.01", "breast_cancer", "digits", "synthetic:n=2000,d=30"),
        *("synthetic:n=5000,d=50,cond=1000", "iris3", "wine", "digits10"),
    ],
)
def test_scikit_learn_lands_on_the_same_w(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    # scikit-learn's C weighs the sum of the losses: C = 1 / (n l2).
    model = LogisticRegression(
        C=1 / (problem.n_samples * problem.l2) if problem.l2 else np.inf,
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-14,
        max_iter=1000,
    ).fit(problem.X, problem.y)
    w = model.coef_.reshape(problem.coefficient_shape)
    np.testing.assert_allclose(w, optimum.w, rtol=1e-6, atol=1e-8)
    value, _ = reference_objective(problem).value_and_grad(w)
    assert optimum.f <= value + 1e-15
    assert value - optimum.f <= 1e-12


@pytest.mark.parametrize(
    "spec", ["iris:target=setosa", "synthetic:n=30,d=25,l2=0", "wine:l2=0", "digits10:l2=0"]
)
def test_separable_data_are_proved_to_have_no_optimum(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    assert optimum.exists is False
    assert optimum.f == 0.0
    assert margins_of(problem, optimum.w).min() > 0
    assert "linearly separable" in optimum.reason
    assert "set l2 > 0" in optimum.reason
    assert math.isinf(optimum.gap_bound)


def margins_of(problem: Problem, w: np.ndarray) -> np.ndarray:
    """Logit of the label less those of the other classes, shape (n, c - 1)."""
    Z = problem.X @ w.T
    Z = np.column_stack([np.zeros_like(Z), Z]) if w.ndim == 1 else Z
    own = Z[np.arange(len(Z)), problem.y]
    others = [np.delete(row, label) for row, label in zip(Z, problem.y, strict=True)]
    return own[:, None] - np.array(others)


# Of iris's species one is separable, and the two others are not; some of the pixels of digits are
# blank but for a few digits, all odd.
@pytest.mark.parametrize("spec", ["iris3:l2=0", "digits:l2=0"])
def test_quasi_separable_data_are_proved_to_have_no_optimum(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    assert optimum.exists is False
    assert math.isnan(optimum.f)
    assert "quasi-separable" in optimum.reason
    margins = margins_of(problem, optimum.w)
    assert (margins >= 0).all()
    assert (margins > 1e-3).any()
    # f falls for ever along w, from anywhere.
    reference = reference_objective(problem)
    start = np.random.default_rng(0).standard_normal(problem.coefficient_shape)
    values = [reference.value_and_grad(start + t * optimum.w)[0] for t in (0, 1, 10, 100)]
    assert values == sorted(values, reverse=True)


def test_quasi_separable_by_a_rare_feature() -> None:
    # A dummy variable that is only seen with label 1, as in any table of categories.
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=40)
    X = np.column_stack([rng.standard_normal(40), y * rng.integers(2, size=40)])
    optimum = solve(Problem("rare", X, y))
    assert optimum.exists is False
    assert optimum.w.tolist() == [0.0, 1.0]


def test_blank_columns_and_the_shift_of_softmax_are_taken_out_at_l2_0() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 2)), rng.integers(3, size=90)
    plain = solve(Problem("plain", X, y))
    blank = solve(Problem("blank", np.column_stack([X[:, 0], np.zeros(90), X[:, 1]]), y))
    for optimum in (plain, blank):
        assert optimum.exists is True
        assert "one vector added to all classes" in optimum.reason
        np.testing.assert_allclose(optimum.w.sum(axis=0), 0.0, atol=1e-15)
    assert "1 features that are 0 in every row" in blank.reason
    np.testing.assert_allclose(blank.w[:, [0, 2]], plain.w, rtol=1e-12)
    assert (blank.w[:, 1] == 0).all()
    # scikit-learn has the same f* without a penalty, wherever its shift may be.
    model = LogisticRegression(
        C=np.inf, fit_intercept=False, solver="newton-cg", tol=1e-13, max_iter=1000
    ).fit(X, y)
    f = exact_sum_value(Problem("plain", X, y), model.coef_)
    assert plain.f <= f + 1e-15
    assert f - plain.f <= 1e-12
    centred = model.coef_ - model.coef_.mean(axis=0)
    np.testing.assert_allclose(centred, plain.w, atol=1e-7)


def test_collinear_columns_without_penalty_are_unknown_with_the_reason() -> None:
    problem = random_problem(seed=0, n=60, d=3, l2=0.0)
    twice = Problem("twice", np.column_stack([problem.X, problem.X[:, 0]]), problem.y, 0.0)
    optimum = solve(twice)
    assert optimum.exists is None
    assert "collinear" in optimum.reason
    assert solve(dataclasses.replace(twice, l2=1e-6)).exists is True


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(4, 60),
    d=st.integers(1, 8),
    c=st.integers(2, 4),
    l2=st.sampled_from([0.0, 1e-8, 1e-3, 1.0]),
    distance=st.sampled_from([1e-6, 1e-3, 0.1, 1.0]),
)
def test_the_bound_holds_wherever_it_is_claimed(
    seed: int, n: int, d: int, c: int, l2: float, distance: float
) -> None:
    """f(w) - f* <= gap_bound at random points near the optimum, not only where Newton ends."""
    problem = random_problem(seed, n, d, l2, c)
    optimum = solve(problem)
    assume(optimum.exists)
    step = np.random.default_rng(seed + 1).standard_normal(problem.coefficient_shape)
    w = optimum.w + distance * step / np.linalg.norm(step)
    bound = certify(problem, w).gap_bound
    if math.isfinite(bound):
        f = exact_sum_value(problem, w)
        assert f - optimum.f <= bound + optimum.gap_bound + 1e-15 * max(1.0, f)
    else:
        assert l2 == 0.0


@given(seed=st.integers(0, 10_000), n=st.integers(4, 40), d=st.integers(1, 6), c=st.integers(2, 4))
def test_without_penalty_an_optimum_exists_exactly_where_no_separation_does(
    seed: int, n: int, d: int, c: int
) -> None:
    problem = random_problem(seed, n, d, 0.0, c)
    optimum = solve(problem)
    separation, _ = find_separation(problem)
    if optimum.exists is True:
        assert separation is None
    elif optimum.exists is False:
        assert prove_separable(problem, optimum.w) is not None
    else:
        assert "no proof either way" in optimum.reason


@pytest.mark.parametrize("spec", ["iris", "iris3", "breast_cancer", "wine"])
def test_what_is_planted_in_an_optimum_is_found(spec: str) -> None:
    problem = load_problem(spec)
    honest = solve(problem)
    assert contradiction(problem, honest) is None
    f = honest.f
    elsewhere = honest.w * (1 + 1e-4)
    planted = {
        "f should be": [
            dataclasses.replace(honest, f=f * (1 - 1e-9)),
            dataclasses.replace(honest, f=f * (1 + 1e-9)),
            dataclasses.replace(honest, w=elsewhere),
        ],
        r"f\(w\) - f\* should be at most": [
            # The right value at a wrong point, with the right point's certificate.
            dataclasses.replace(honest, w=elsewhere, f=exact_sum_value(problem, elsewhere)),
        ],
        # Wine is separable: with a penalty it has an optimum all the same.
        "does not|an optimum exists, separable or not": [
            dataclasses.replace(honest, exists=False, f=0.0, gap_bound=math.inf)
        ],
        "w must be finite": [
            dataclasses.replace(honest, w=honest.w * math.nan),
            dataclasses.replace(honest, w=honest.w[:-1]),
        ],
    }
    for reason, wrong in planted.items():
        for optimum in wrong:
            assert re.search(reason, contradiction(problem, optimum) or "nothing found")


@given(seed=st.integers(0, 10_000), n=st.integers(4, 50), d=st.integers(1, 10), c=st.integers(2, 4))
def test_rounding_bounds_cover_the_rounding_that_happens(seed: int, n: int, d: int, c: int) -> None:
    """Value and gradient in float64 against longdouble's, inside the a-priori bounds; and not far
    inside: a bound a million times too wide would prove nothing."""
    problem = random_problem(seed, n, d, 0.1, c)
    w = np.random.default_rng(seed).standard_normal(problem.coefficient_shape)
    reference = reference_objective(problem)
    _, grad = reference.value_and_grad(w)
    X, W = problem.X.astype(np.longdouble), w.astype(np.longdouble)
    Z = X @ W.T
    Z = np.column_stack([np.zeros_like(Z), Z]) if w.ndim == 1 else Z
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    R = P - np.eye(c)[problem.y]
    exact = (R[:, 1:].ravel() if w.ndim == 1 else R.T) @ X / n + np.longdouble(0.1) * W
    nll = -np.log(P[np.arange(n), problem.y])
    exact_value = nll.mean() + np.longdouble(0.05) * (W * W).sum()
    error = abs(reference.value_batch(w[None])[0] - exact_value)
    allowed = value_error(problem.X, w, 0.1, nll.astype(float), unit_roundoff("float64"))
    assert error <= allowed <= 1e-11
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


def test_what_is_not_known_is_not_kept_and_not_believed(tmp_path) -> None:
    problem = load_problem("iris")
    honest = load_or_solve(problem, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace('"exists": true', '"exists": null'))
    assert load_or_solve(problem, tmp_path).exists is True
    unknown = random_problem(seed=0, n=60, d=3, l2=0.0)
    twice = Problem("twice", np.column_stack([unknown.X, unknown.X[:, 0]]), unknown.y, 0.0)
    assert load_or_solve(twice, tmp_path).exists is None
    assert [p.stem for p in tmp_path.iterdir()] == [problem.fingerprint]
    assert honest.exists is True


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 1, 2]])
def test_features_that_are_all_blank_leave_f_constant(labels: list[int]) -> None:
    problem = Problem("blank", np.zeros((3, 2)), labels)
    optimum = solve(problem)
    assert (optimum.exists, optimum.gap_bound) == (True, 0.0)
    assert optimum.f == pytest.approx(math.log(problem.n_classes), rel=1e-15)
    assert "f is constant" in optimum.reason


def test_another_penalty_is_another_optimum(tmp_path) -> None:
    a = load_or_solve(load_problem("iris:l2=0.1"), tmp_path)
    b = load_or_solve(load_problem("iris:l2=0.2"), tmp_path)
    assert a.f < b.f
    assert len(list(tmp_path.iterdir())) == 2
