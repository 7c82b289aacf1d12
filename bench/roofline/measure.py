"""Measure a roofline: in each case, kernels and a read of their X take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from bench.cells.plan import why_not_timed
from bench.measure.bandwidth import cache_sizes, last_level_cache_bytes, reader, sweeper
from bench.measure.environment import environment
from bench.measure.kernel_time import Call, time_calls, value_and_grad_call
from bench.measure.verify import KernelMismatch, expectations, verify
from bench.problems import Problem, load_problem
from bench.roofline.cases import FLOORS, SCIPY, SINGLES, CaseSpec
from bench.roofline.samples import READ, Case, Roofline, TimedCall
from logreg_kernels import Objective, bind

N_MODELS = 64
# Rows of the floor's blocks: their 64 logits in float32 fill half of a second-level cache.
_FLOOR_ROWS = 2048


def measure(
    cases: Iterable[CaseSpec],
    rounds: int,
    only: Sequence[str] = (),
    on_case: Callable[[str], None] = lambda name: None,
) -> Roofline:
    """Measure cases, with `rounds` samples of each call.

    Args:
        only: kernels to measure; empty for those of the case.
        on_case: is told the name of each case before it is measured.
    """
    measured = []
    for spec in cases:
        on_case(spec.name)
        measured.append(measure_case(spec, rounds, only))
    return Roofline(
        cases=tuple(measured),
        environment=environment(),
        caches={f"L{level}": size for level, size in cache_sizes().items()},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def measure_case(spec: CaseSpec, rounds: int, only: Sequence[str] = ()) -> Case:
    """Bind and verify the kernels of a case, then time all of its calls in turns."""
    problem = _problem(spec.problem)
    X = problem.X.astype(spec.dtype)  # one copy, which every kernel on the CPU reads
    bound, refused = _bound(only or spec.kernels, X, problem, spec)
    calls = {name: _call(objective, spec) for name, objective in bound.items()}
    traffic = {name: objective.traffic_bytes for name, objective in bound.items()}
    arrays = _parts(X)
    x_bytes = sum(int(array.nbytes) for array in arrays)
    if spec.device != "cpu":
        arrays = [o.X for o in bound.values() if isinstance(o.X, torch.Tensor)][:1]
    if arrays:
        calls = {READ: reader(arrays), **calls}
        traffic[READ] = sum(int(array.nbytes) for array in arrays)
    if spec.work == "csr":
        calls[SCIPY] = _scipy_products(X)
        traffic[SCIPY] = 2 * x_bytes
    if spec.work == "batch":
        calls |= _batch_floors(X, bound.get("fused-cpu"))
    synchronize = next((o.synchronize for o in bound.values()), lambda: None)
    before = sweeper(spec.device) if spec.cold else None
    times = time_calls(calls, rounds, synchronize, before_each=before)
    timed = [TimedCall(name, traffic.get(name), tuple(times[name])) for name in calls]
    return Case(
        name=spec.name,
        n_samples=X.shape[0],
        n_features=X.shape[1],
        dtype=spec.dtype,
        device=spec.device,
        x_bytes=x_bytes,
        state=_state(spec, x_bytes),
        entries=(*timed, *(TimedCall(name, None, (), reason) for name, reason in refused.items())),
        asked=spec.asked,
    )


@lru_cache(maxsize=1)
def _problem(spec: str) -> Problem:
    return load_problem(spec)


def _bound(
    kernels: Sequence[str], X: Any, problem: Problem, spec: CaseSpec
) -> tuple[dict[str, Any], dict[str, str]]:
    """The kernels bound to X that match the reference on it, and why others can't be timed."""
    expected = expectations(problem, spec.dtype)
    bound, refused = {}, {}
    for kernel in kernels:
        if reason := why_not_timed(kernel, spec.device):
            refused[kernel] = reason
            continue
        try:
            objective = bind(
                kernel, X, problem.y, l2=problem.l2, device=spec.device, dtype=spec.dtype
            )
            verify(objective, problem, expected)
            bound[kernel] = objective
        except (ValueError, TypeError, KernelMismatch) as error:
            refused[kernel] = str(error)
    return bound, refused


def _call(objective: Objective, spec: CaseSpec) -> Call:
    if spec.work != "batch":
        return value_and_grad_call(objective)
    rng = np.random.default_rng(0)
    W = rng.standard_normal((N_MODELS, objective.n_features)) * 0.1
    models = objective.as_coefficients(W)
    return lambda: objective.value_and_grad_batch(models)


def _parts(X: Any) -> list[Any]:
    """The arrays that X consists of."""
    return [X.data, X.indices, X.indptr] if isinstance(X, csr_array) else [X]


def _scipy_products(X: csr_array) -> Call:
    """X w and X^T r, as a gradient needs them."""
    rng = np.random.default_rng(0)
    w, r = (rng.standard_normal(size).astype(X.dtype) for size in (X.shape[1], X.shape[0]))
    transposed = X.T
    return lambda: (X @ w, transposed @ r)


def _batch_floors(X: Any, singles: Objective | None) -> dict[str, Call]:
    """What a batch of models is compared with: bare products on torch's threads, and single calls.

    The products are Z = X W^T and exp(Z)^T X for all models at once. One call makes them of the
    whole X, another in blocks of rows whose logits stay in cache.
    """
    rng = np.random.default_rng(0)
    W = rng.standard_normal((N_MODELS, X.shape[1])).astype(X.dtype) * 0.1
    X_torch, W_torch = torch.tensor(X), torch.tensor(W)

    def products(rows: torch.Tensor) -> torch.Tensor:
        return torch.exp_(rows @ W_torch.T).T @ rows

    def in_blocks() -> None:
        for rows in X_torch.split(_FLOOR_ROWS):
            products(rows)

    calls: dict[str, Call] = {FLOORS[0]: in_blocks, FLOORS[1]: lambda: products(X_torch)}
    if singles is not None:
        calls[SINGLES] = lambda: [singles.value_and_grad(w) for w in W]
    return calls


def _state(spec: CaseSpec, x_bytes: int) -> str:
    if spec.cold:
        return "cold"
    cache = last_level_cache_bytes(spec.device)
    return "from memory" if cache is None or x_bytes > cache else "hot in cache"
