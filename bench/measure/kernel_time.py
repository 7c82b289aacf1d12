"""Time per call of several calls, which take turns: kernels on one problem, or others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from bench.measure.clock import no_garbage_collection
from logreg_kernels import Objective

# One sample is a block of calls that lasts at least this long, so that the clock's resolution
# (below 0.1 microseconds) and the loop (about 0.1 microseconds a call) stay below 1%.
_MIN_BLOCK_S = 1e-3
_MAX_CALLS = 1_000
# Worker threads of OpenMP, OpenBLAS and XLA go on spinning for some milliseconds after a call, and
# would take a core from the next one. So the next is called for this long before it is timed. After
# a sleep instead, the processor would be slow to start.
_SETTLE_S = 1e-2

Call: TypeAlias = Callable[[], Any]


def time_kernels(objectives: Mapping[str, Objective], samples: int) -> dict[str, list[float]]:
    """Seconds per call of `value_and_grad` of each kernel, interleaved; see `time_calls`.

    Args:
        objectives: kernels bound to one problem, by name, which match the reference.
        samples: blocks of each kernel.
    """
    if not objectives:
        return {}
    calls = {name: value_and_grad_call(objective) for name, objective in objectives.items()}
    return time_calls(calls, samples, next(iter(objectives.values())).synchronize)


def value_and_grad_call(objective: Objective) -> Call:
    """A call at a random w. At w = 0 all arguments of exp and log1p would be equal."""
    rng = np.random.default_rng(0)
    w = objective.as_coefficients(rng.standard_normal(objective.coefficient_shape) * 0.1)
    return lambda: objective.value_and_grad(w)


def time_calls(
    calls: Mapping[str, Call],
    samples: int,
    synchronize: Call = lambda: None,
    *,
    before_each: Call | None = None,
) -> dict[str, list[float]]:
    """Seconds per call of each, interleaved: one block of each in turn, `samples` times.

    Each round has a random order, the same in every run. So no call always follows the same one,
    and what a call leaves in caches and threads affects all others alike. A block ends with the
    device's synchronisation. Caches are left as the calls before made them.

    Args:
        calls: what to time, by name.
        samples: blocks of each.
        synchronize: waits for the device that they run on.
        before_each: called off the clock before each call; a block is then one call.
    Returns:
        For each name, `samples` values: mean seconds per call of each block.
    """
    n_calls = {
        name: _calibrate(call, synchronize) if before_each is None else 1
        for name, call in calls.items()
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    rng = np.random.default_rng(0)
    with no_garbage_collection():
        for _ in range(samples):
            for name in rng.permutation(list(calls)).tolist():
                _settle(calls[name], synchronize)
                if before_each is not None:
                    before_each()
                block = _block_s(calls[name], n_calls[name], synchronize)
                times[name].append(block / n_calls[name])
    return times


def _calibrate(call: Call, synchronize: Call) -> int:
    """Calls in a block, doubled until it lasts long enough; this warms the kernel up, too."""
    count = 1
    while _block_s(call, count, synchronize) < _MIN_BLOCK_S and count < _MAX_CALLS:
        count *= 2
    return count


def _settle(call: Call, synchronize: Call) -> None:
    end = time.perf_counter() + _SETTLE_S
    while True:
        call()
        synchronize()
        if time.perf_counter() > end:
            return


def _block_s(call: Call, count: int, synchronize: Call) -> float:
    synchronize()
    start = time.perf_counter()
    for _ in range(count):
        call()
    synchronize()
    return time.perf_counter() - start
