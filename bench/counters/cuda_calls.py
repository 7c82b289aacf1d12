"""What a call asks of a CUDA device: kernel launches, synchronisations, copies to the host.

Counted by torch.profiler, which has CUPTI note every call of the CUDA runtime and driver. The
names of these calls belong to the API, not to a GPU or a kernel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from bench.cells.definitions import SUITES
from bench.counters.counters_file import cell_name
from bench.measure.budget import Budget
from bench.measure.cell import run_optimizer
from bench.measure.recorder import BudgetSpent
from bench.optimizers import OnStep, Optimizer, Shuffler, Stop, make_reporting_optimizer
from bench.problems import load_problem
from logreg_kernels import KERNELS, Objective, bind

MARK = "counted here"
NO_DEVICE = "no CUDA device"

# cudaLaunchKernel and its kin (ExC) of the runtime; cuLaunchKernel and cuLaunchKernelEx of the
# driver, through which Triton launches; and graphs.
_LAUNCH = re.compile(r"cu(da)?(LaunchKernel\w*|LaunchCooperativeKernel\w*|GraphLaunch\w*)")
# cudaDeviceSynchronize, cudaStreamSynchronize, cudaEventSynchronize, cuCtxSynchronize, ...
_SYNCHRONISE = re.compile(r"cu(da)?(Device|Stream|Event|Ctx)Synchronize\w*")
# A synchronous cudaMemcpy waits as well. torch copies by cudaMemcpyAsync, and calls
# cudaStreamSynchronize where it must wait for that.
_SYNCHRONOUS_COPY = re.compile(r"cudaMemcpy|cuMemcpyDtoH(_v2)?")
_TO_HOST = re.compile(r"Memcpy DtoH\b.*")

_PROBLEM = {2: "breast_cancer", 3: "iris3"}
_STEPS_BEFORE = 5


def calls_in(events: Iterable[FunctionEvent]) -> dict[str, int]:
    """Launches, synchronisations and copies to the host of what ran under `MARK`.

    A call of the API counts if it begins within the mark, in any thread: the backward of a CUDA
    tensor runs in a thread of its own. The device makes a copy, perhaps after the mark has ended,
    so that every copy counts that begins after the mark's start. Nothing else must run after it.

    Args:
        events: of torch's profiler. The mark has an event on the host and one on the device.
    Raises:
        ValueError: there is no mark among the events.
    """
    events = list(events)
    on_host = [e for e in events if e.device_type == DeviceType.CPU]
    on_device = [e for e in events if e.device_type != DeviceType.CPU]
    mark = next((e.time_range for e in on_host if e.name == MARK), None)
    if mark is None:
        raise ValueError(f"no event {MARK!r} among the {len(events)} of the profiler")
    within = [e.name for e in on_host if mark.start <= e.time_range.start <= mark.end]
    later = [e.name for e in on_device if e.time_range.start >= mark.start]

    def count(pattern: re.Pattern[str], names: list[str]) -> int:
        return sum(pattern.fullmatch(name) is not None for name in names)

    return {
        "launches": count(_LAUNCH, within),
        "synchronisations": count(_SYNCHRONISE, within) + count(_SYNCHRONOUS_COPY, within),
        "copies_to_host": count(_TO_HOST, later),
    }


def count_call(call: Callable[[], Any]) -> dict[str, int]:
    """`calls_in` one call. It is made once before, so that nothing is left to compile or load."""

    def marked() -> None:
        torch.cuda.synchronize()
        with record_function(MARK):
            call()

    call()
    return _calls_of(marked)


def count_step(objective: Objective, optimizer: Optimizer) -> dict[str, int]:
    """`calls_in` the sixth step of a run: the first steps may compile and allocate.

    The recorder's snapshot, which copies w, is part of the step. It is on the clock, too.
    """

    def run() -> None:
        budget = Budget(passes=10 * _STEPS_BEFORE, seconds=math.inf)
        run_optimizer(objective, _Marked(optimizer), np.random.default_rng(0), budget)

    run()
    return _calls_of(run)


def _calls_of(run: Callable[[], Any]) -> dict[str, int]:
    torch.cuda.synchronize()
    with _profile() as profiler:
        run()
        torch.cuda.synchronize()  # outside of the mark: it is not part of the call
    return calls_in(profiler.events() or ())


class _Marked:
    """An optimizer whose run ends after the step under the mark."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        step, mark = 0, record_function(MARK)

        def marked(w: Any) -> None:
            nonlocal step
            on_step(w)
            step += 1
            if step == _STEPS_BEFORE:
                torch.cuda.synchronize()
                mark.__enter__()
            elif step == _STEPS_BEFORE + 1:
                mark.__exit__(None, None, None)
                raise BudgetSpent

        return self._optimizer.run(objective, w0, rng, marked)


def count_cuda() -> dict[str, dict[str, int]]:
    """The calls of every kernel that runs on the CUDA device here, by `cell_name(kernel, what)`.

    Counted are one `value_and_grad` of two and of three classes, and one step of each optimizer of
    the quick suite on two classes. Without a device there are none.
    """
    if not torch.cuda.is_available():
        return {}
    counts = {}
    for name, kernel in KERNELS.items():
        if kernel.unavailable("cuda") is not None:
            continue
        dtype = "float64" if "float64" in kernel.dtypes else kernel.dtypes[0]
        for n_classes, spec in _PROBLEM.items():
            problem = load_problem(spec)
            objective = bind(name, problem.X, problem.y, problem.l2, "cuda", dtype)
            w = objective.as_coefficients(np.zeros(objective.coefficient_shape))
            call = cell_name(name, f"value_and_grad, {n_classes} classes")
            counts[call] = count_call(partial(objective.value_and_grad, w))
            if n_classes == 2:
                for optimizer in SUITES["quick"].optimizers:
                    made = make_reporting_optimizer(str(optimizer))
                    counts[cell_name(name, f"a step of {optimizer}")] = count_step(objective, made)
    return counts


def _profile() -> Any:
    return profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
