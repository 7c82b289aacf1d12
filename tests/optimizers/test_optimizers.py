"""What every optimizer that reports on the way must do, on every kernel that it runs on here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.errors import InputError
from bench.measure.cell import run_optimizer
from bench.measure.recorder import Budget, BudgetSpent, Trace
from bench.optima.optimum import solve
from bench.optima.reference import reference_objective
from bench.optimizers import OPTIMIZERS, RefitSolver, Stop, make_optimizer, make_reporting_optimizer
from bench.problems import Problem, load_problem
from bench.specs import parameters
from logreg_kernels import Objective, bind

KERNELS = ["numpy", "torch-autograd"]
DTYPES = ["float64", "float32"]
# Two classes, and three; both with a penalty that gives gradient descent a chance.
PROBLEMS = ["iris:l2=0.01", "wine:l2=0.01"]
BUDGET = Budget(passes=150, seconds=60.0)
# Passes over mini-batches until the slowest of them is well on its way.
MINI_BATCH_PASSES = {"iris:l2=0.01": 60, "wine:l2=0.01": 20}
SHORT = Budget(passes=6, seconds=60.0)

METHODS = ["l-bfgs-b", "bfgs", "newton-cg", "trust-ncg", "trust-exact"]
BY_NAME = [name for name in OPTIMIZERS if not isinstance(make_optimizer(name), RefitSolver)]
MINI_BATCH = [name for name in BY_NAME if "batch_size" in parameters(OPTIMIZERS[name])]
SPECS = [
    *BY_NAME,
    "lbfgs:line_search=strong_wolfe",
    *(f"{name}:batch_size=16" for name in MINI_BATCH),
    "momentum:nesterov=true",
    "rmsprop:centered=true,momentum=0.5",
    *(f"scipy:method={method}" for method in METHODS if method != "l-bfgs-b"),
]


def objective_of(problem: Problem, kernel: str = "numpy", dtype: str = "float64") -> Objective:
    return bind(kernel, problem.X, problem.y, l2=problem.l2, dtype=dtype)


def run(
    spec: str,
    problem: Problem,
    kernel: str = "numpy",
    dtype: str = "float64",
    seed: int = 0,
    budget: Budget = BUDGET,
) -> Trace:
    optimizer = make_reporting_optimizer(spec)
    objective = objective_of(problem, kernel, dtype)
    return run_optimizer(objective, optimizer, np.random.default_rng(seed), budget)


def relative_gaps(problem: Problem, trace: Trace) -> Any:
    f = reference_objective(problem).value_batch(trace.w)
    f_star = solve(problem).f
    return (f - f_star) / (f[0] - f_star)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("spec", SPECS)
def test_every_optimizer_gets_closer_to_the_optimum(
    spec: str, kernel: str, dtype: str, name: str
) -> None:
    problem = load_problem(name)
    budget = Budget(MINI_BATCH_PASSES[name], 60.0) if "batch" in spec else BUDGET
    trace = run(spec, problem, kernel, dtype, budget=budget)
    assert trace.stop in ("converged", "budget"), trace.message
    gap = relative_gaps(problem, trace)[-1]
    # Rprop steps by the sign of the gradient, which a mini-batch does not tell near the optimum.
    assert gap < (0.9 if spec == "rprop:batch_size=16" else 0.5)
    if trace.stop == "converged":
        assert gap < (1e-10 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("spec", SPECS)
def test_a_step_is_reported_with_the_w_that_the_run_is_at(
    spec: str, name: str, kernel: str
) -> None:
    """In the kernel's shape and dtype; the start untouched; the end passed through."""
    problem = load_problem(name)
    objective = objective_of(problem, kernel)
    w0 = objective.as_coefficients(np.full(problem.coefficient_shape, 0.1))
    seen: list[np.ndarray] = []

    def on_step(w: Any) -> None:
        assert str(w.dtype).removeprefix("torch.") == objective.dtype
        seen.append(np.array(w.tolist()))
        if len(seen) == 3:
            raise BudgetSpent

    with pytest.raises(BudgetSpent):
        make_optimizer(spec).run(objective, w0, np.random.default_rng(0), on_step)
    assert (np.asarray(w0) == 0.1).all()
    assert {w.shape for w in seen} == {problem.coefficient_shape}
    start = np.full(problem.coefficient_shape, 0.1)
    assert not any(np.array_equal(a, b) for a, b in zip([start, *seen], seen, strict=False))


@pytest.mark.parametrize("spec", SPECS)
def test_the_seed_alone_decides_a_run(spec: str) -> None:
    problem = load_problem("iris:l2=0.01")
    a, b, other = (run(spec, problem, seed=seed, budget=SHORT) for seed in (1, 1, 2))
    assert a.w.tobytes() == b.w.tobytes()
    assert np.array_equal(a.w, other.w) == ("batch_size" not in spec)


@pytest.mark.parametrize("spec", SPECS)
def test_it_calls_what_it_says_it_needs(spec: str) -> None:
    """An objective without the second derivatives is enough for those that need none."""
    optimizer = make_optimizer(spec)
    objective = objective_of(load_problem("iris:l2=0.01"))
    called = set()

    class Spy:
        def __getattr__(self, name: str) -> Any:
            called.add(name)
            return getattr(objective, name)

    with pytest.raises(BudgetSpent):
        optimizer.run(Spy(), objective.as_coefficients(np.zeros(4)), _rng(), _stop_after(4))
    assert called & {"hvp", "hessian"} == set(optimizer.needs)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "batch" not in spec])
def test_kernels_lead_an_optimizer_along_the_same_path(spec: str) -> None:
    problem = load_problem("breast_cancer:l2=0.01")
    a, b = (run(spec, problem, kernel, budget=Budget(8, 60.0)) for kernel in KERNELS)
    np.testing.assert_allclose(a.w, b.w, rtol=1e-6, atol=1e-9)


def test_the_budget_of_epochs_is_an_end_without_convergence() -> None:
    problem = load_problem("iris")
    for name in MINI_BATCH:
        trace = run(f"{name}:epochs=2,batch_size=30", problem)
        assert (trace.stop, trace.step[-1], trace.rows_read[-1]) == ("budget", 2 * 4, 2 * 100)


def test_refit_solvers_are_told_from_the_others() -> None:
    assert {name for name in OPTIMIZERS if isinstance(make_optimizer(name), RefitSolver)} == {
        "sklearn",
        "glum",
        "snapml",
    }
    assert set(BY_NAME) == {name for name in OPTIMIZERS if hasattr(make_optimizer(name), "run")}
    assert {stop.value for stop in Stop} == {"converged", "budget"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sgd:batch_size=0", "batch_size must be at least 1; got 0"),
        ("adam:epochs=0", "epochs must be at least 1; got 0"),
        ("lbfgs:history_size=0", "history_size must be at least 1; got 0"),
        ("lbfgs:batch_size=16", "no parameter 'batch_size'"),
        ("adam:lr=-1", "Invalid learning rate: -1"),  # torch's own words
        ("adam:beta1=1.5", "Invalid beta parameter"),
        ("adamw:weight_decay=-1", "Invalid weight_decay value"),
        ("rprop:eta_plus=0.9", "Invalid eta values"),
        ("adadelta:rho=2", "Invalid rho value"),
        ("scipy:tol=-1", "tol must not be negative; got -1"),
        ("scipy:method=trust-krylov", "method must be one of l-bfgs-b, bfgs, newton-cg"),
        ("newton:lr=1", "no parameter 'lr'"),
        ("sklearn:tol=-1", "tol must not be negative; got -1"),
        ("sklearn:solver=irls", "solver must be one of lbfgs, newton-cg"),
        ("glum:tol=-1", "tol must not be negative; got -1"),
        ("snapml:n_jobs=0", "n_jobs must be at least 1; got 0"),
        ("snapml:tol=-1", "tol must not be negative; got -1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_at_once(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_optimizer(spec)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _stop_after(steps: int) -> Any:
    left = iter(range(steps - 1))

    def on_step(w: Any) -> None:
        if next(left, None) is None:
            raise BudgetSpent

    return on_step
