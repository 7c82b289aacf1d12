"""Time per call of `value_and_grad`, several kernels side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.measure.quiet import no_garbage_collection
from logreg_kernels import Objective

# One sample is a block of calls that lasts at least this long, so that the clock's resolution
# (below 0.1 microseconds) and the loop (about 0.1 microseconds a call) stay below 1%.
_MIN_BLOCK_S = 1e-3
_MAX_CALLS = 1_000


def time_kernels(objectives: Mapping[str, Objective], samples: int) -> dict[str, list[float]]:
    """Seconds per call of each kernel, interleaved: one block of each in turn, `samples` times.

    The order of a round rotates, so that no kernel always follows the same one. A block ends in
    the device's synchronisation. X is as hot in cache as the kernels before left it.

    Args:
        objectives: kernels bound to the same problem, by name; each has matched the reference.
        samples: blocks a kernel.
    Returns:
        For each name, `samples` values: mean seconds per call of each block.
    """
    points = {name: _point(objective) for name, objective in objectives.items()}
    calls = {name: _calibrate(objectives[name], points[name]) for name in objectives}
    times: dict[str, list[float]] = {name: [] for name in objectives}
    names = list(objectives)
    with no_garbage_collection():
        for sample in range(samples if names else 0):
            shift = sample % len(names)
            for name in names[shift:] + names[:shift]:
                block = _block_s(objectives[name], points[name], calls[name])
                times[name].append(block / calls[name])
    return times


def _point(objective: Objective) -> Any:
    """A w away from 0, where exp and log1p would see one argument only."""
    rng = np.random.default_rng(0)
    return objective.as_coefficients(rng.standard_normal(objective.coefficient_shape) * 0.1)


def _calibrate(objective: Objective, w: Any) -> int:
    """Calls a block: doubled until a block lasts long enough; this warms the kernel up, too."""
    calls = 1
    while _block_s(objective, w, calls) < _MIN_BLOCK_S and calls < _MAX_CALLS:
        calls *= 2
    return calls


def _block_s(objective: Objective, w: Any, calls: int) -> float:
    objective.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        objective.value_and_grad(w)
    objective.synchronize()
    return time.perf_counter() - start
