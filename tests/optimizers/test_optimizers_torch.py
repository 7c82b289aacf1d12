"""The optimizers of torch.optim against their formulas, step by step in NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from bench.measure.cell import run_optimizer
from bench.measure.recorder import Budget
from bench.optima.optimum import solve
from bench.optimizers import OPTIMIZERS, make_reporting_optimizer
from bench.optimizers.torch_adam import Adam, AdamW
from bench.optimizers.torch_first_order import SGD, Momentum
from bench.problems import load_problem
from bench.specs import parameters
from logreg_kernels import bind

KERNELS = ["numpy", "torch-autograd"]
LONG = Budget(passes=math.inf, seconds=60.0)
STEPS = 12
# 0.7 keeps the gradient from shrinking to nothing, and some of its signs change on the way.
START = np.array([0.7, -0.7, 0.7, -0.7])

Path = Iterator[np.ndarray]


def objective_of(name: str = "iris:l2=0.01", kernel: str = "numpy") -> Any:
    problem = load_problem(name)
    return bind(kernel, problem.X, problem.y, l2=problem.l2)


def run(
    optimizer: Any, objective: Any, seed: int = 0, budget: Budget = LONG, w0: Any = None
) -> Any:
    return run_optimizer(objective, optimizer, np.random.default_rng(seed), budget, w0)


# Each yields the points that an optimizer goes through, from the definition of its class.


def adam(g: Any, w: Any, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0) -> Path:
    m = v = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        grad = g(w)
        m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad**2
        w = (1 - lr * weight_decay) * w
        w = w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        yield w


def nadam(g: Any, w: Any, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3) -> Path:
    m = v = np.zeros_like(w)
    product = 1.0
    mu = [beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in range(STEPS + 2)]
    for t in range(1, STEPS + 1):
        grad = g(w)
        m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad**2
        product *= mu[t]
        ahead = mu[t + 1] * m / (1 - product * mu[t + 1]) + (1 - mu[t]) * grad / (1 - product)
        w = w - lr * ahead / (np.sqrt(v / (1 - beta2**t)) + eps)
        yield w


def radam(g: Any, w: Any, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8) -> Path:
    m = v = np.zeros_like(w)
    R = 2 / (1 - beta2) - 1
    for t in range(1, STEPS + 1):
        grad = g(w)
        m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad**2
        rho = R - 2 * t * beta2**t / (1 - beta2**t)
        step = m / (1 - beta1**t)
        if rho > 5:
            r = math.sqrt((rho - 4) * (rho - 2) * R / ((R - 4) * (R - 2) * rho))
            step = step * r * math.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
        w = w - lr * step
        yield w


def adamax(g: Any, w: Any, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8) -> Path:
    m = u = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        grad = g(w)
        m, u = beta1 * m + (1 - beta1) * grad, np.maximum(beta2 * u, np.abs(grad) + eps)
        w = w - lr / (1 - beta1**t) * m / u
        yield w


def rmsprop(g: Any, w: Any, lr=0.01, alpha=0.99, eps=1e-8, momentum=0.0, centered=False) -> Path:
    v = mean = velocity = np.zeros_like(w)
    for _ in range(STEPS):
        grad = g(w)
        v, mean = alpha * v + (1 - alpha) * grad**2, alpha * mean + (1 - alpha) * grad
        step = grad / (np.sqrt(v - mean**2 if centered else v) + eps)
        velocity = momentum * velocity + step
        w = w - lr * velocity
        yield w


def adagrad(g: Any, w: Any, lr=1.0, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10) -> Path:
    s = np.full_like(w, initial_accumulator_value)
    for t in range(1, STEPS + 1):
        grad = g(w)
        s = s + grad**2
        w = w - lr / (1 + (t - 1) * lr_decay) * grad / (np.sqrt(s) + eps)
        yield w


def adadelta(g: Any, w: Any, lr=1.0, rho=0.9, eps=1e-6) -> Path:
    u = v = np.zeros_like(w)
    for _ in range(STEPS):
        grad = g(w)
        v = rho * v + (1 - rho) * grad**2
        delta = np.sqrt(u + eps) / np.sqrt(v + eps) * grad
        u = rho * u + (1 - rho) * delta**2
        w = w - lr * delta
        yield w


def rprop(
    g: Any, w: Any, lr=0.01, eta_minus=0.5, eta_plus=1.2, step_min=1e-12, step_max=50.0
) -> Path:
    s, before = np.full_like(w, lr), np.zeros_like(w)
    for _ in range(STEPS):
        grad = g(w)
        agree = np.sign(grad * before)
        s = np.clip(
            np.select([agree > 0, agree < 0], [s * eta_plus, s * eta_minus], s), step_min, step_max
        )
        grad = np.where(agree < 0, 0, grad)
        w, before = w - np.sign(grad) * s, grad
        yield w


def asgd(g: Any, w: Any, lr=0.1, lambd=0.0, alpha=0.75, t0=0.0) -> Path:
    average = w
    for t in range(STEPS):
        eta = lr / (1 + lambd * lr * t) ** alpha
        w = (1 - lambd * eta) * w - eta * g(w)
        average = average + (w - average) / max(1, t - t0)
        yield average


def adafactor(g: Any, w: Any, lr=1.0, beta2_decay=-0.8, eps2=1e-3, d=1.0) -> Path:
    v = rows = columns = 0.0
    for t in range(1, STEPS + 1):
        grad = g(w)
        square, weight = grad**2, t**beta2_decay
        v = v + weight * (square - v)
        if w.ndim == 2:
            rows = rows + weight * (square.mean(axis=1, keepdims=True) - rows)
            columns = columns + weight * (square.mean(axis=0, keepdims=True) - columns)
            v = rows * columns / rows.mean()
        u = grad / np.sqrt(v)
        size = max(eps2, np.sqrt((w**2).mean()))
        w = w - min(lr, t**-0.5) * size * u / max(1, np.sqrt((u**2).mean()) / d)
        yield w


FORMULAS = {
    "adam": (adam, {}),
    "adam:lr=0.05,beta1=0.5,beta2=0.9,eps=0.01": (
        adam,
        {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 0.01},
    ),
    "adamw": (adam, {}),
    "adamw:weight_decay=0.3": (adam, {"weight_decay": 0.3}),
    "nadam": (nadam, {}),
    "nadam:momentum_decay=0.5": (nadam, {"momentum_decay": 0.5}),
    "radam": (radam, {}),
    "adamax": (adamax, {}),
    "rmsprop": (rmsprop, {}),
    "rmsprop:alpha=0.9,momentum=0.5": (rmsprop, {"alpha": 0.9, "momentum": 0.5}),
    "rmsprop:centered=true": (rmsprop, {"centered": True}),
    "adagrad": (adagrad, {}),
    "adagrad:lr_decay=0.1,initial_accumulator_value=0.5": (
        adagrad,
        {"lr_decay": 0.1, "initial_accumulator_value": 0.5},
    ),
    "adadelta": (adadelta, {}),
    "adadelta:lr=10,rho=0.5": (adadelta, {"lr": 10, "rho": 0.5}),
    "rprop": (rprop, {}),
    "rprop:lr=0.5,eta_minus=0.3,eta_plus=2": (
        rprop,
        {"lr": 0.5, "eta_minus": 0.3, "eta_plus": 2},
    ),
    "asgd": (asgd, {}),
    "asgd:lr=1,lambd=0.1,t0=3": (asgd, {"lr": 1.0, "lambd": 0.1, "t0": 3}),
    "adafactor": (adafactor, {}),
    "adafactor:lr=0.2,beta2_decay=-0.5,eps2=2,d=1.5": (
        adafactor,
        {"lr": 0.2, "beta2_decay": -0.5, "eps2": 2.0, "d": 1.5},
    ),
}


def test_every_first_order_method_has_its_formula_here() -> None:
    named = {spec.partition(":")[0] for spec in FORMULAS}
    batched = {n for n in OPTIMIZERS if "batch_size" in parameters(OPTIMIZERS[n])}
    assert batched - named == {"sgd", "momentum"}  # further down


@pytest.mark.parametrize("name", ["iris:l2=0.01", "wine:l2=0.01"])
@pytest.mark.parametrize("spec", FORMULAS)
def test_first_order_methods_follow_their_formulas(spec: str, name: str) -> None:
    objective = objective_of(name)
    w0 = np.resize(START, objective.coefficient_shape)
    formula, parameters = FORMULAS[spec]
    expected = list(formula(lambda w: objective.value_and_grad(w)[1], w0, **parameters))
    optimizer = make_reporting_optimizer(spec + ("," if ":" in spec else ":") + f"epochs={STEPS}")
    trace = run(optimizer, objective, w0=w0)
    # torch keeps ASGD's eta and mu, and NAdam's product of the mu, in float32.
    rtol = 1e-5 if spec.startswith(("asgd", "nadam")) else 1e-9
    np.testing.assert_allclose(trace.w[1:], expected, rtol=rtol, atol=1e-12)


def test_adamw_without_decay_is_adam_to_the_last_bit() -> None:
    a, b = (run(cls(epochs=50), objective_of()) for cls in (Adam, AdamW))
    assert a.w.tobytes() == b.w.tobytes()


@pytest.mark.parametrize("weight_decay", [0.0, 2.0])
def test_a_decay_of_adamw_ends_at_its_own_fixed_point(weight_decay: float) -> None:
    """g_j = -weight_decay w_j (|g_j| + eps), so that no |w_j| is left above 1 / weight_decay."""
    objective = objective_of("breast_cancer:l2=0.01")
    # beta2 = 0: v^ is g^2 itself, without a memory of the way
    optimizer = AdamW(
        lr=1e-3, beta1=0.0, beta2=0.0, eps=0.01, weight_decay=weight_decay, epochs=9000
    )
    w = run(optimizer, objective).w[-1]
    g = objective.value_and_grad(w)[1]
    np.testing.assert_allclose(g, -weight_decay * w * (np.abs(g) + 0.01), atol=1e-6)
    assert (np.abs(g).max() > 1e-3) == (weight_decay > 0)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    lr=st.floats(1e-4, 0.01),  # with larger steps a path amplifies its rounding errors
    batch_size=st.one_of(st.none(), st.integers(1, 120)),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
)
def test_sgd_and_momentum_follow_their_formulas(
    seed: int, lr: float, batch_size: int | None, momentum: float, nesterov: bool
) -> None:
    """Over the batches of a seeded permutation, by hand.

    v <- momentum v + g, w <- w - lr v; with Nesterov's momentum, w <- w - lr (g + momentum v).
    """
    problem = load_problem("iris")
    objective = bind("numpy", problem.X, problem.y)
    optimizer = (
        Momentum(lr=lr, momentum=momentum, nesterov=nesterov, batch_size=batch_size, epochs=2)
        if momentum
        else SGD(lr=lr, batch_size=batch_size, epochs=2)
    )
    trace = run(optimizer, objective, seed)

    rng, n = np.random.default_rng(seed), problem.n_samples
    w, v = np.zeros(4), np.zeros(4)
    full = batch_size is None or batch_size >= n
    for _ in range(2):
        order = np.arange(n) if full else rng.permutation(n)
        size = n if full else batch_size
        for start in range(0, n, size):
            rows = order[start : start + size]
            p = expit(problem.X[rows] @ w)
            g = problem.X[rows].T @ (p - problem.y[rows]) / len(rows)
            v = momentum * v + g
            w = w - lr * (g + momentum * v if nesterov else v)
    np.testing.assert_allclose(trace.w[-1], w, rtol=1e-9, atol=1e-12)
    assert trace.rows_read[-1] == 2 * n
    assert trace.stop == "budget"


@pytest.mark.parametrize("spec", ["sgd:batch_size=7", "rmsprop:lr=0.01,batch_size=33"])
@pytest.mark.parametrize("name", ["iris", "wine"])
def test_kernels_lead_mini_batches_along_the_same_path(spec: str, name: str) -> None:
    budget = Budget(passes=10, seconds=60.0)
    a, b = (
        run(make_reporting_optimizer(spec), objective_of(name, kernel), budget=budget)
        for kernel in KERNELS
    )
    np.testing.assert_allclose(a.w, b.w, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("line_search", ["none", "strong_wolfe"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_lbfgs_stops_at_the_optimum_by_its_own_test(kernel: str, line_search: str) -> None:
    optimizer = make_reporting_optimizer(f"lbfgs:line_search={line_search}")
    trace = run(optimizer, objective_of(kernel=kernel))
    assert trace.stop == "converged"
    np.testing.assert_allclose(trace.w[-1], solve(load_problem("iris:l2=0.01")).w, rtol=1e-5)


def test_lbfgs_takes_the_steps_that_torch_takes() -> None:
    """The trace's points are those of torch.optim.LBFGS, in the same number of evaluations."""
    objective = objective_of(kernel="torch-autograd")
    w = torch.zeros(4, dtype=torch.float64)
    seen = []

    def closure() -> torch.Tensor:
        seen.append(w.numpy().copy())
        value, w.grad = objective.value_and_grad(w)
        return value

    torch.optim.LBFGS([w], history_size=10, tolerance_grad=0, tolerance_change=0).step(closure)
    trace = run(make_reporting_optimizer("lbfgs"), objective)
    np.testing.assert_array_equal(trace.w[: len(seen)], np.array(seen))
    assert trace.oracle_calls[: len(seen)].tolist() == list(range(len(seen)))
