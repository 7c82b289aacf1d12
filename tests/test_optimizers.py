"""Each optimizer against its own definition, on every kernel that runs here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.measure.cell import run_optimizer
from bench.measure.recorder import Budget
from bench.measure.reference import reference_objective
from bench.optimizers import OPTIMIZERS, make_optimizer
from bench.optimizers.torch_optim import SGD, Adam, Momentum
from bench.problems import load_problem
from bench.score.optimum import solve
from logreg_kernels import bind

KERNELS = ["numpy", "torch-autograd"]
BUDGET = Budget(passes=60, seconds=60.0)


def run(spec: str, problem: Any, kernel: str = "numpy", seed: int = 0, budget: Budget = BUDGET):
    objective = bind(kernel, problem.X, problem.y, l2=problem.l2)
    return run_optimizer(objective, make_optimizer(spec), np.random.default_rng(seed), budget)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("batch", ["", "batch_size=16"])
def test_every_optimizer_gets_closer_to_the_optimum(name: str, kernel: str, batch: str) -> None:
    if batch and name == "lbfgs":
        with pytest.raises(InputError, match="no parameter 'batch_size'"):
            make_optimizer(f"{name}:{batch}")
        return
    problem = load_problem("iris:l2=0.01")
    trace = run(f"{name}:{batch}" if batch else name, problem, kernel)
    f = reference_objective(problem).value_batch(trace.w)
    f_star = solve(problem).f
    assert f[-1] - f_star < 0.5 * (f[0] - f_star)


@pytest.mark.parametrize("line_search", ["none", "strong_wolfe"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_lbfgs_stops_at_the_optimum_by_its_own_test(kernel: str, line_search: str) -> None:
    problem = load_problem("iris:l2=0.01")
    spec = f"lbfgs:line_search={line_search}"
    trace = run(spec, problem, kernel, budget=Budget(passes=1000, seconds=60))
    assert trace.stop == "converged"
    np.testing.assert_allclose(trace.w[-1], solve(problem).w, rtol=1e-5)


def test_lbfgs_takes_the_steps_that_torch_takes() -> None:
    """The trace's points are those of torch.optim.LBFGS, in the same number of evaluations."""
    problem = load_problem("iris:l2=0.01")
    objective = bind("torch-autograd", problem.X, problem.y, l2=problem.l2)
    w = torch.zeros(4, dtype=torch.float64)
    seen = []

    def closure() -> torch.Tensor:
        seen.append(w.numpy().copy())
        value, w.grad = objective.value_and_grad(w)
        return value

    torch.optim.LBFGS([w], history_size=10, tolerance_grad=0, tolerance_change=0).step(closure)
    trace = run("lbfgs", problem, "torch-autograd")
    np.testing.assert_array_equal(trace.w[: len(seen)], np.array(seen))
    assert trace.oracle_calls[: len(seen)].tolist() == list(range(len(seen)))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    lr=st.floats(1e-4, 0.5),
    batch_size=st.one_of(st.none(), st.integers(1, 120)),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_sgd_and_momentum_follow_their_formulas(
    seed: int, lr: float, batch_size: int | None, momentum: float
) -> None:
    """v <- momentum v + g, w <- w - lr v over the batches of a seeded permutation, by hand."""
    problem = load_problem("iris")
    objective = bind("numpy", problem.X, problem.y)
    optimizer = (
        Momentum(lr=lr, momentum=momentum, batch_size=batch_size, epochs=2)
        if momentum
        else SGD(lr=lr, batch_size=batch_size, epochs=2)
    )
    trace = run_optimizer(objective, optimizer, np.random.default_rng(seed), BUDGET)

    rng, n = np.random.default_rng(seed), problem.n_samples
    w, v = np.zeros(4), np.zeros(4)
    full = batch_size is None or batch_size >= n
    for _ in range(2):
        order = np.arange(n) if full else rng.permutation(n)
        size = n if full else batch_size
        for start in range(0, n, size):
            rows = order[start : start + size]
            p = 1 / (1 + np.exp(-(problem.X[rows] @ w)))
            v = momentum * v + problem.X[rows].T @ (p - problem.y[rows]) / len(rows)
            w = w - lr * v
    np.testing.assert_allclose(trace.w[-1], w, rtol=1e-9, atol=1e-12)
    assert trace.rows_read[-1] == 2 * n
    assert trace.stop == "budget"


def test_adam_follows_algorithm_1_of_kingma_and_ba() -> None:
    problem = load_problem("iris")
    objective = bind("numpy", problem.X, problem.y)
    trace = run_optimizer(
        objective, Adam(lr=0.05, epochs=20), np.random.default_rng(0), Budget(1e9, 60.0)
    )
    w, m, v = np.zeros(4), np.zeros(4), np.zeros(4)
    for t in range(1, 21):
        _, g = objective.value_and_grad(w)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(trace.w[-1], w, rtol=1e-10)


@pytest.mark.parametrize("spec", ["sgd:batch_size=7", "adam:lr=0.01,batch_size=33"])
def test_the_seed_alone_decides_the_order_of_the_batches(spec: str) -> None:
    problem = load_problem("iris")
    a, b, other = (run(spec, problem, seed=seed) for seed in (1, 1, 2))
    assert a.w.tobytes() == b.w.tobytes()
    assert not np.array_equal(a.w[-1], other.w[-1])


def test_kernels_lead_an_optimizer_along_the_same_path() -> None:
    problem = load_problem("breast_cancer")
    a, b = (run("adam:lr=0.01,batch_size=64", problem, kernel) for kernel in KERNELS)
    np.testing.assert_allclose(a.w, b.w, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_start_is_left_as_it_was(name: str, kernel: str) -> None:
    problem = load_problem("iris")
    objective = bind(kernel, problem.X, problem.y)
    w0 = objective.as_coefficients(np.ones(4))
    run_optimizer(objective, make_optimizer(name), np.random.default_rng(0), BUDGET, w0)
    assert np.asarray(w0).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sgd:batch_size=0", "batch_size must be at least 1; got 0"),
        ("adam:epochs=0", "epochs must be at least 1; got 0"),
        ("lbfgs:history_size=0", "history_size must be at least 1; got 0"),
        ("adam:lr=-1", "Invalid learning rate: -1"),  # torch's own words
        ("adam:beta1=1.5", "Invalid beta parameter"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_at_once(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_optimizer(spec)
