"""Newton's method and scipy's minimisers: at the optimum, where digits end, where H is singular."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from bench.measure.cell import run_optimizer
from bench.measure.recorder import Budget, Trace
from bench.optima.optimum import solve
from bench.optima.reference import reference_objective
from bench.optimizers import Stop, make_reporting_optimizer
from bench.optimizers.newton import newton_step
from bench.optimizers.scipy_minimize import ScipyMinimize
from bench.problems import Problem, load_problem
from logreg_kernels import bind

METHODS = ["l-bfgs-b", "bfgs", "newton-cg", "trust-ncg", "trust-exact"]
SPECS = ["newton", *(f"scipy:method={method}" for method in METHODS)]
UNIT = float(np.finfo(np.float64).eps)
LONG = Budget(passes=2_000, seconds=60.0)


def run(
    spec: str, problem: Problem, kernel: str = "numpy", dtype: str = "float64", w0: Any = None
) -> Trace:
    objective = bind(kernel, problem.X, problem.y, l2=problem.l2, dtype=dtype)
    optimizer = make_reporting_optimizer(spec)
    trace = run_optimizer(objective, optimizer, np.random.default_rng(0), LONG, w0)
    assert trace.stop != "failed", trace.message
    return trace


def relative_gap(problem: Problem, trace: Trace) -> float:
    f = reference_objective(problem).value_batch(trace.w[[0, -1]])
    f_star = solve(problem).f
    return float((f[1] - f_star) / (f[0] - f_star))


@pytest.mark.parametrize(
    "name", ["iris", "breast_cancer", "wine", "iris3:l2=1e-4", "synthetic:n=500,d=20,cond=1e3"]
)
@pytest.mark.parametrize("spec", SPECS)
def test_float64_ends_at_the_finest_target(spec: str, name: str) -> None:
    problem = load_problem(name)
    trace = run(spec, problem)
    # newton-cg ends by a limit of its own, too; see ScipyMinimize.
    finest = 1e-9 if spec == "scipy:method=newton-cg" else 1e-10
    assert abs(relative_gap(problem, trace)) < finest
    assert trace.stop == "converged" or spec.endswith(("bfgs", "trust-exact"))
    assert trace.rows_read[-1] < LONG.passes * problem.n_samples


@pytest.mark.parametrize("kernel", ["numpy", "torch-autograd"])
@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
@pytest.mark.parametrize("spec", SPECS)
def test_float32_ends_by_itself_near_the_optimum(spec: str, name: str, kernel: str) -> None:
    """Where nothing lower is found for want of digits, the run is over, whatever it is called."""
    problem = load_problem(name)
    trace = run(spec, problem, kernel, "float32")
    assert abs(relative_gap(problem, trace)) < (1e-12 if spec == "newton" else 1e-6)
    assert trace.rows_read[-1] < LONG.passes * problem.n_samples


@pytest.mark.parametrize("method", METHODS)
def test_scipy_takes_the_steps_that_scipy_takes(method: str) -> None:
    """The same iterates as a plain call, value and gradient computed once for each point."""
    problem = load_problem("breast_cancer")
    f = reference_objective(problem)
    expected: list[np.ndarray] = []
    points: list[bytes] = []

    def value_and_grad(w: np.ndarray) -> tuple[float, np.ndarray]:
        points.append(w.tobytes())
        return f.value_and_grad(w)

    second = {
        "newton-cg": {"hessp": f.hvp},
        "trust-ncg": {"hessp": f.hvp},
        "trust-exact": {"hess": f.hessian},
    }
    options = {
        "l-bfgs-b": {"gtol": 1e-9, "ftol": 0, "maxiter": 10**6, "maxfun": 10**6},
        "newton-cg": {"xtol": 1e-9, "maxiter": 10**6},
    }
    minimize(
        value_and_grad,
        np.zeros(30),
        jac=True,
        method=method,
        callback=lambda w: expected.append(w.copy()),
        options=options.get(method, {"gtol": 1e-9, "maxiter": 10**6}),
        **second.get(method, {}),
    )
    optimizer, seen, evaluated = ScipyMinimize(method), [], []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(f, name)

        def value_and_grad(self, w: Any) -> Any:
            evaluated.append(w.tobytes())
            return f.value_and_grad(w)

    optimizer.run(Counting(), np.zeros(30), np.random.default_rng(0), seen.append)
    np.testing.assert_array_equal(seen, expected)
    assert evaluated == points
    assert not any(a == b for a, b in pairwise(evaluated))


def test_newton_takes_the_steps_of_its_formula() -> None:
    problem = load_problem("iris:l2=0.01")
    f = reference_objective(problem)
    trace = run("newton", problem)
    w = np.zeros(4)
    for seen in trace.w[1:]:
        step = np.linalg.solve(f.hessian(w), f.value_and_grad(w)[1])
        w = w - step
        np.testing.assert_allclose(seen, w, rtol=1e-9)
    assert trace.step[-1] < 10
    # A Hessian and a value with its gradient a step, and the start; the last step is not judged.
    assert trace.oracle_calls[-1] == 2 * trace.step[-1]


def test_newton_holds_back_where_the_whole_step_overshoots() -> None:
    """At w = 8, f = softplus is nearly straight: H = 3e-4, and the whole step goes to -3000."""
    X, y = np.ones((3, 1)), np.array([0, 0, 1])
    objective = bind("numpy", X, y)
    f = [float(objective.value_and_grad(np.array([8.0]))[0])]
    seen = []

    def on_step(w: np.ndarray) -> None:
        seen.append(w.item())
        f.append(float(objective.value_and_grad(w)[0]))

    newton = make_reporting_optimizer("newton")
    newton.run(objective, np.array([8.0]), np.random.default_rng(0), on_step)
    assert f[1] < f[0]
    assert (np.diff(f) <= 1e-15).all()
    assert seen[-1] == pytest.approx(-math.log(2), rel=1e-12)
    whole = 8 - objective.value_and_grad(np.array([8.0]))[1] / objective.hessian(np.array([8.0]))
    assert whole.item() < -1000 < seen[0]


@pytest.mark.parametrize("kernel", ["numpy", "torch-autograd"])
def test_newton_where_softmax_is_singular(kernel: str) -> None:
    """Without a penalty f stays the same when all classes get one vector added: H has d zeros."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(200, 3)), np.ones((200, 1))])
    problem = Problem("overlapping", X, rng.integers(0, 4, 200), l2=0.0)
    trace = run("newton", problem, kernel)
    assert trace.stop == "converged"
    assert trace.step[-1] < 10
    grad = reference_objective(problem).value_and_grad(trace.w[-1])[1]
    assert np.abs(grad).max() < 1e-12
    assert np.abs(trace.w[-1].sum(axis=0)).max() < 0.5  # and it does not run off that way


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_newton_where_columns_are_the_same(dtype: str) -> None:
    problem = load_problem("breast_cancer:l2=0")
    twice = Problem("twice", np.hstack([problem.X[:, :3]] * 2), problem.y, l2=0.0)
    once = Problem("once", problem.X[:, :3], problem.y, l2=0.0)
    trace = run("newton", twice, dtype=dtype)
    assert trace.stop == "converged"
    f = reference_objective(twice).value_and_grad(trace.w[-1])[0]
    assert f == pytest.approx(solve(once).f, rel=1e-12 if dtype == "float64" else 1e-7)


def test_newton_without_an_optimum_lowers_f_until_its_digits_end() -> None:
    problem = load_problem("wine:l2=0")  # separable
    trace = run("newton", problem)
    assert reference_objective(problem).value_and_grad(trace.w[-1])[0] < 1e-8


@settings(max_examples=30)
@given(st.integers(1, 8), st.floats(0, 4), st.integers(0, 10**6))
def test_newton_step_solves_its_equations(p: int, log_cond: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(p, p)))
    H = (Q * np.logspace(0, -log_cond, p)) @ Q.T
    g = rng.normal(size=p)
    np.testing.assert_allclose(H @ newton_step(H, g, UNIT), g, atol=1e-9 * 10**log_cond)


@settings(max_examples=30)
@given(st.integers(2, 8), st.integers(1, 7), st.integers(0, 10**6))
def test_newton_step_of_a_singular_hessian(p: int, rank: int, seed: int) -> None:
    """It solves the equations, and adds next to nothing along what H does not see."""
    A = np.random.default_rng(seed).normal(size=(min(rank, p - 1), p))
    H = A.T @ A
    g = H @ np.ones(p)  # in the range of H, as a gradient is
    step = newton_step(H, g, UNIT)
    np.testing.assert_allclose(H @ step, g, atol=1e-8 * np.abs(H).max())
    assert g @ step > 0
    assert np.linalg.norm(step) < 10 * np.linalg.norm(np.ones(p))


def test_newton_step_along_what_is_zero_but_for_rounding() -> None:
    """Cholesky gets through, and would go 100 that way."""
    step = newton_step(np.diag([1.0, 1e-20]), np.array([1.0, 1e-18]), UNIT)
    np.testing.assert_allclose(step, [1.0, 1e-18 / (2 * UNIT)])


def test_newton_step_of_nothing_is_nothing() -> None:
    assert newton_step(np.zeros((2, 2)), np.zeros(2), UNIT).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("method", METHODS)
def test_scipy_may_keep_what_a_kernel_returns(method: str) -> None:
    """A kernel may use its memory again, while bfgs compares two gradients."""
    f = reference_objective(load_problem("iris:l2=0.01"))
    shared = np.zeros(4)

    class Reusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(f, name)

        def value_and_grad(self, w: Any) -> Any:
            value, shared[:] = f.value_and_grad(w)
            return value, shared

    paths: list[list[Any]] = [[], []]
    for objective, path in zip((f, Reusing()), paths, strict=True):
        ScipyMinimize(method).run(objective, np.zeros(4), np.random.default_rng(0), path.append)
    np.testing.assert_array_equal(*paths)


@pytest.mark.parametrize("spec", SPECS)
def test_where_nothing_lower_is_found_nothing_has_converged(spec: str) -> None:
    """Told the opposite of the gradient, every line search and trust region gives up."""
    f = reference_objective(load_problem("iris:l2=0.01"))

    class Misleading:
        def __getattr__(self, name: str) -> Any:
            return getattr(f, name)

        def value_and_grad(self, w: Any) -> Any:
            value, grad = f.value_and_grad(w)
            return value, -grad

    steps: list[Any] = []
    optimizer = make_reporting_optimizer(spec)
    stop = optimizer.run(Misleading(), np.ones(4), np.random.default_rng(0), steps.append)
    assert stop is Stop.BUDGET
