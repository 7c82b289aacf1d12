"""Solvers with a loss of their own: that it is ours, and that they say what they can't do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from bench.optima.optimum import solve
from bench.optima.reference import reference_objective
from bench.optimizers import (
    Fit,
    RefitSolver,
    glum_refit,
    make_optimizer,
    peer_library,
    snapml_refit,
)
from bench.problems import Problem, load_problem

SKLEARN = ["lbfgs", "newton-cg", "newton-cholesky", "liblinear", "sag", "saga"]
SPECS = [
    *(f"sklearn:solver={solver}" for solver in SKLEARN),
    "glum:solver=lbfgs",
    "glum:solver=irls",
    "snapml",
    "snapml:dual=true",
]
# What an objective of another scaling would not survive: n, l2 and the spread of X all differ.
TWO_CLASSES = [
    "iris:l2=1",
    "iris:l2=0.05",
    "breast_cancer:l2=0.1",
    "breast_cancer:l2=0.01",
    "synthetic:n=37,d=5,cond=10,l2=0.03",
    "synthetic:n=300,d=5,cond=10,l2=0.003",
]
THREE_CLASSES = ["iris3:l2=0.1", "wine:l2=1", "wine:l2=0.05"]
# snapml's dual keeps its variables off their bounds, so that its optimum is not quite the one.
FINEST = {"snapml:dual=true": 5e-7}


def solver_of(spec: str) -> RefitSolver:
    solver = make_optimizer(spec)
    assert isinstance(solver, RefitSolver)
    return solver


def dtype_of(spec: str) -> str:
    return "float32" if spec.startswith("snapml") else "float64"


def fit_or_skip(
    spec: str, problem: Problem, max_iter: int = 20_000, seed: int = 0, dtype: str | None = None
) -> Fit:
    solver, dtype = solver_of(spec), dtype or dtype_of(spec)
    reason = solver.unavailable(l2=problem.l2, n_classes=problem.n_classes, dtype=dtype)
    if reason:
        pytest.skip(reason)
    X = np.ascontiguousarray(problem.X, dtype=dtype)
    return solver.fit(X, problem.y, l2=problem.l2, max_iter=max_iter, seed=seed)


def relative_gap(problem: Problem, fit: Fit) -> float:
    start = np.zeros(problem.coefficient_shape)
    f = reference_objective(problem).value_batch(np.array([start, fit.w], dtype=np.float64))
    f_star = solve(problem).f
    return float((f[1] - f_star) / (f[0] - f_star))


@pytest.mark.parametrize("name", TWO_CLASSES + THREE_CLASSES)
@pytest.mark.parametrize("spec", SPECS)
def test_a_solver_minimises_our_objective(spec: str, name: str) -> None:
    """With f at most eps above f*, l2/2 ||w - w*||^2 <= eps: strong convexity."""
    problem = load_problem(name)
    fit = fit_or_skip(spec, problem)
    optimum = solve(problem)
    start = reference_objective(problem).value_and_grad(np.zeros(problem.coefficient_shape))[0]
    finest = FINEST.get(spec, 1e-11)
    assert fit.converged
    assert fit.w.shape == problem.coefficient_shape
    assert abs(relative_gap(problem, fit)) < finest
    off = np.sqrt(2 * finest * (start - optimum.f) / problem.l2)
    np.testing.assert_allclose(fit.w, optimum.w, rtol=0, atol=off)


@pytest.mark.parametrize("factor", [0.5, 2.0, 1.01])
@pytest.mark.parametrize("name", ["breast_cancer:l2=0.01", "synthetic:n=37,d=5,cond=10,l2=0.03"])
@pytest.mark.parametrize("spec", SPECS)
def test_the_test_above_sees_a_factor_in_the_penalty(spec: str, name: str, factor: float) -> None:
    problem = load_problem(name)
    off = Problem("off", problem.X, problem.y, l2=problem.l2 * factor)
    assert relative_gap(problem, fit_or_skip(spec, off)) > FINEST.get(spec, 1e-11)


@pytest.mark.parametrize("spec", SPECS)
def test_without_a_penalty(spec: str) -> None:
    """On data that overlap so much that sag and saga get there, too."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    problem = Problem("overlapping", X, (X[:, 0] + 2 * rng.normal(size=400) > 0).astype(int), l2=0)
    assert abs(relative_gap(problem, fit_or_skip(spec, problem))) < 1e-11


@pytest.mark.parametrize("name", ["breast_cancer:l2=0.01", "wine:l2=0.05"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_small_budget_is_kept_and_is_no_convergence(spec: str, name: str) -> None:
    problem = load_problem(name)
    gaps = []
    for max_iter in (1, 2, 3):
        fit, again = (fit_or_skip(spec, problem, max_iter, seed=3) for _ in range(2))
        assert fit.iterations == max_iter
        assert not fit.converged
        assert fit.w.tobytes() == again.w.tobytes()
        assert fit.passes == (max_iter if spec.endswith(("sag", "saga")) else None)
        gaps.append(relative_gap(problem, fit))
    assert len(set(gaps)) == 3
    assert all(gap > 1e-6 for gap in gaps)


@pytest.mark.parametrize("solver", ["sag", "saga"])
def test_the_seed_decides_the_order_of_the_rows(solver: str) -> None:
    problem = load_problem("iris:l2=0.05")
    a, b = (fit_or_skip(f"sklearn:solver={solver}", problem, 3, seed) for seed in (1, 2))
    assert a.w.tobytes() != b.w.tobytes()


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "iris"])
@pytest.mark.parametrize("solver", SKLEARN)
def test_float32_leaves_no_warnings_and_comes_near(solver: str, name: str) -> None:
    problem = load_problem(name)
    fit = fit_or_skip(f"sklearn:solver={solver}", problem, 500, dtype="float32")
    assert fit.w.dtype == np.float32
    assert relative_gap(problem, fit) < (1e-1 if fit.passes else 1e-6)


@pytest.mark.parametrize(
    ("spec", "l2", "n_classes", "dtype", "reason"),
    [
        ("sklearn:solver=liblinear", 0.1, 3, "float64", "liblinear fits two classes only"),
        ("sklearn:solver=liblinear", 0.0, 2, "float64", "liblinear needs a penalty: set l2 > 0"),
        ("sklearn:solver=liblinear", 0.1, 2, "float32", "liblinear computes in float64"),
        ("glum", 0.1, 3, "float64", "glum fits two classes only"),
        ("glum", 0.1, 2, "float32", "glum's penalty is wrong for columns of little variance"),
        ("snapml", 0.1, 3, "float32", "snapml fits more than two classes one against the rest"),
        ("snapml", 0.0, 2, "float32", "snapml needs a penalty: set l2 > 0"),
        ("snapml", 0.1, 2, "float64", "snapml stores X in float32 whatever it is given"),
    ],
)
def test_what_a_solver_cannot_do_it_says(
    spec: str, l2: float, n_classes: int, dtype: str, reason: str
) -> None:
    said = solver_of(spec).unavailable(l2=l2, n_classes=n_classes, dtype=dtype)
    assert said is not None
    assert said.startswith(reason)
    assert "\n" not in said


@pytest.mark.parametrize("solver", [s for s in SKLEARN if s != "liblinear"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_a_new_scikit_learn_does_all_the_rest(
    solver: str, dtype: str, n_classes: int, l2: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn.__version__", "1.9.0")
    said = solver_of(f"sklearn:solver={solver}").unavailable(
        l2=l2, n_classes=n_classes, dtype=dtype
    )
    assert said is None


@pytest.mark.parametrize(
    ("version", "solver", "n_classes", "dtype", "reason"),
    [
        ("1.5.2", "newton-cholesky", 3, "float64", "fits more than two classes one against the"),
        ("1.8.0", "lbfgs", 2, "float32", "computes in float64 here"),
        ("1.8.0", "newton-cg", 2, "float32", "computes in float64 here"),
        ("1.5.2", "newton-cholesky", 2, "float64", None),
        ("1.6.0", "newton-cholesky", 3, "float64", None),
        ("1.8.0", "sag", 2, "float32", None),
        ("1.9.0", "lbfgs", 2, "float32", None),
        ("1.10.dev0", "newton-cholesky", 3, "float32", None),
    ],
)
def test_what_older_releases_of_scikit_learn_cannot_do(
    version: str,
    solver: str,
    n_classes: int,
    dtype: str,
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sklearn.__version__", version)
    said = solver_of(f"sklearn:solver={solver}").unavailable(
        l2=0.1, n_classes=n_classes, dtype=dtype
    )
    assert said == reason or (said or "").startswith(f"scikit-learn {version} {reason}")


@pytest.mark.parametrize(("module", "dtype"), [("glum", "float64"), ("snapml", "float32")])
def test_what_is_not_installed_says_how_to_install_it(
    module: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_library, "find_spec", lambda name: None)
    said = solver_of(module).unavailable(l2=0.1, n_classes=2, dtype=dtype)
    assert said == f"{module} is not installed: pip install -e '.[peers]'"


def test_warnings_are_noted_dropped_or_passed_on() -> None:
    with peer_library.noting_warnings(gave_up="line search", noise="an old option") as gave_up:
        warnings.warn("not there yet", ConvergenceWarning, stacklevel=1)
        warnings.warn("line search failed", UserWarning, stacklevel=1)
        warnings.warn("an old option is set", DeprecationWarning, stacklevel=1)
    assert gave_up == ["not there yet", "line search failed"]
    with pytest.raises(UserWarning, match="something else"), peer_library.noting_warnings():
        warnings.warn("something else", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="something else"), peer_library.noting_warnings():
        warnings.warn("something else", UserWarning, stacklevel=1)


@pytest.mark.parametrize("spec", SPECS)
def test_data_are_left_as_they_were_and_nothing_is_printed(
    spec: str, capfd: pytest.CaptureFixture[str]
) -> None:
    problem = load_problem("iris:l2=0.05")
    X, y = problem.X.copy(), problem.y.copy()
    fit_or_skip(spec, problem, 3)
    np.testing.assert_array_equal(problem.X, X)
    np.testing.assert_array_equal(problem.y, y)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("spec", SPECS)
def test_the_processor_rounds_as_before(spec: str) -> None:
    """A library that is built for speed may set it to flush subnormal numbers to zero."""
    fit_or_skip(spec, load_problem("iris:l2=0.05"), 3)
    smallest = np.array([5e-324, 1e-310])
    assert (smallest * 1.0).tolist() == [5e-324, 1e-310]
    assert 5e-324 * 1.0 > 0


def test_libraries_are_loaded_only_when_they_are_used() -> None:
    loaded = {*vars(glum_refit), *vars(snapml_refit)}
    assert not {"glum", "snapml", "LogisticRegression", "GeneralizedLinearRegressor"} & loaded
