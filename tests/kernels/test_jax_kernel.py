"""`jax`: its 64-bit mode, when it compiles, and what it says where JAX is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from exact import BY_HAND
from variants import VARIANTS, Variant, bind_case, each, random_case, to_numpy

from bench.measure.cell import run_optimizer
from bench.measure.recorder import Budget, Trace
from bench.optimizers import make_reporting_optimizer
from bench.problems import load_problem
from logreg_kernels import KERNELS, bind
from logreg_kernels.jax_kernel import kernel as jax_kernel

REASON = KERNELS["jax"].unavailable()
where_it_runs = pytest.mark.skipif(REASON is not None, reason=str(REASON))
each_here = each([v for v in VARIANTS if v.kernel == "jax"])


@contextmanager
def compilations() -> Iterator[list[str]]:
    """What XLA compiles inside; JAX has no public way to take a listener off again."""
    import jax

    heard: list[str] = []
    listening = True

    def hear(event: str, _: float, **__: Any) -> None:
        if listening and event.endswith("backend_compile_duration"):
            heard.append(event)

    jax.monitoring.register_event_duration_secs_listener(hear)
    yield heard
    listening = False


@each_here
@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("c", [2, 3])
def test_the_64_bit_mode_of_the_user_stays_as_it_was(variant: Variant, on: bool, c: int) -> None:
    import jax.numpy as jnp

    from logreg_kernels.jax_kernel.objective import x64

    with x64() if on else nullcontext():
        objective: Any
        objective, w = bind_case(variant, random_case(33, 7, variant.dtype, c=c))
        results = [
            *objective.value_and_grad(w),
            *objective.value_and_grad(w, [0, 1]),
            objective.hvp(w, w),
            objective.hessian(w),
            *(objective.value_and_grad_batch(np.ones((2, 7))) if c == 2 else ()),
        ]
        assert {str(result.dtype) for result in results} == {variant.dtype}
        assert jnp.zeros(1).dtype == ("float64" if on else "float32")
    assert jnp.zeros(1).dtype == "float32"


@each_here
@pytest.mark.parametrize("c", [2, 3])
def test_calls_on_all_rows_never_compile(variant: Variant, c: int) -> None:
    case = random_case(91, 13, variant.dtype, c=c)
    with compilations() as in_bind:
        objective, w = bind_case(variant, case)
    assert len(in_bind) >= 1
    with compilations() as heard:
        _, grad = objective.value_and_grad(w)
        objective.value_and_grad(case.w)
        objective.value_and_grad(grad)
        objective.value_and_grad(torch.tensor(case.w))
        objective.synchronize()
        same, _ = bind_case(variant, random_case(91, 13, variant.dtype, seed=1, c=c), l2=3.0)
        same.value_and_grad(w)
    assert heard == []


@each_here
def test_a_length_of_rows_compiles_once(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(92, 13, variant.dtype))
    with compilations() as heard:
        objective.value_and_grad(w, objective.as_rows(np.arange(7)))
    assert len(heard) >= 1
    order = objective.as_rows(np.arange(92)[::-1].copy())
    _ = order[:7]
    with compilations() as heard:
        objective.value_and_grad(w, order[7:14])
        objective.value_and_grad(w, [6, 5, 4, 3, 2, 1, 0])
        objective.value_and_grad(w, torch.arange(7))
    assert heard == []


@each_here
def test_a_row_that_is_not_there_is_not_another(variant: Variant) -> None:
    objective, w = bind_case(variant, random_case(92, 13, variant.dtype))
    for row in (92, 2**31, 2**32, 2**40, -93, -(2**32)):
        value, grad = objective.value_and_grad(w, [0, row])
        assert np.isnan(float(value))
        assert np.isnan(to_numpy(grad)).all()


@each_here
def test_two_classes_keep_their_tails(variant: Variant) -> None:
    # Which torch's loss does not. Where the label is wrong the slope is off by up to u |z|.
    objective = variant.bind([[1.0], [1.0]], [0, 1])
    tiny = float(np.finfo(variant.dtype).tiny)
    for label, logit, value, grad in BY_HAND:
        got_value, got_grad = objective.value_and_grad([logit], rows=[label])
        right = (logit > 0) == (label == 1)
        slope = 4 * variant.eps if right else variant.eps * max(4.0, abs(logit))
        assert float(got_value) == pytest.approx(value, rel=4 * variant.eps, abs=tiny)
        assert float(got_grad[0]) == pytest.approx(grad, rel=slope, abs=tiny)


@each_here
def test_curvature_at_logits_of_zero(variant: Variant) -> None:
    # Where softplus is written with |z|, its second derivative by JAX is 0 there, not 1/4.
    objective: Any = variant.bind([[1.0], [-1.0]], [0, 1])
    assert float(objective.hvp([0.0], [1.0])[0]) == 0.25


@each_here
def test_traffic_is_two_reads(variant: Variant) -> None:
    size = np.dtype(variant.dtype).itemsize
    objective: Any = bind_case(variant, random_case(33, 7, variant.dtype))[0]
    assert objective.traffic_bytes == 33 * (2 * 7 * size + size)
    objective = bind_case(variant, random_case(33, 7, variant.dtype, c=3))[0]
    assert objective.traffic_bytes == 33 * (2 * 7 * size + 4)


@where_it_runs
@pytest.mark.parametrize("problem", ["iris:l2=0.01", "wine:l2=0.01"])
@pytest.mark.parametrize(
    "spec", ["newton", "lbfgs", "scipy", "scipy:method=newton-cg", "momentum:batch_size=64"]
)
def test_optimizers_go_the_way_that_they_go_on_numpy(spec: str, problem: str) -> None:
    # With JAX's 64-bit mode off, so that any arithmetic left to JAX would end at 7 digits.
    data = load_problem(problem)

    def trace(kernel: str) -> Trace:
        objective = bind(kernel, data.X, data.y, l2=data.l2)
        rng, optimizer = np.random.default_rng(0), make_reporting_optimizer(spec)
        return run_optimizer(objective, optimizer, rng, Budget(12, 60.0))

    got, expected = trace("jax"), trace("numpy")
    assert (got.stop, got.message) == (expected.stop, expected.message)
    np.testing.assert_allclose(got.w, expected.w, rtol=1e-9, atol=1e-10)


def test_without_jax_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reason = KERNELS["jax"].unavailable("cpu")
    assert reason is not None
    assert "not installed" in reason
    assert "pip install 'logreg-bench[jax]'" in reason
    assert "knows no device" in str(KERNELS["jax"].unavailable("gpu"))  # the device comes first
    with pytest.raises(ValueError, match=r"^kernel 'jax' can't run on 'cpu': JAX is not inst"):
        bind("jax", [[0.0], [1.0]], [0, 1])


def test_jax_for_cpus_only_and_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_kernel, "device_unavailable", lambda device: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "jax" or None)
    assert "pip install 'jax[cuda12]'" in str(KERNELS["jax"].unavailable("cuda:1"))
    assert "not on 'mps'" in str(KERNELS["jax"].unavailable("mps"))


@where_it_runs
def test_a_device_that_jax_does_not_find_is_one_line() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    from logreg_kernels.jax_kernel.objective import jax_device

    with pytest.raises(ValueError, match=r"^JAX finds no device 'cuda:1': .*: use torch-autograd$"):
        jax_device("cuda:1")
