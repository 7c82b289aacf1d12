"""CUDA calls, from events as torch's profiler makes them; no device is needed."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from bench.counters import cuda_calls
from bench.counters.cuda_calls import MARK, calls_in, count_cuda

CPU, CUDA = DeviceType.CPU, DeviceType.CUDA


@dataclass
class FakeEvent:
    name: str
    start: float
    end: float
    device_type: Any = CPU

    @property
    def time_range(self) -> Any:
        return SimpleNamespace(start=self.start, end=self.end)


def counts(*events: FakeEvent) -> dict[str, int]:
    return calls_in([FakeEvent(MARK, 10, 20), *events])


def test_a_call_as_it_looks_on_a_device() -> None:
    events = [
        FakeEvent("cudaDeviceSynchronize", 5, 9),  # before the mark
        FakeEvent(MARK, 10, 20),
        FakeEvent("aten::mv", 11, 13),
        FakeEvent("cudaLaunchKernel", 12, 12.5),
        FakeEvent("void gemv2T_kernel_val<int, double>", 13, 18, CUDA),
        FakeEvent("cuLaunchKernelEx", 14, 14.5),
        FakeEvent("_nll_kernel", 18, 25, CUDA),
        FakeEvent("cudaMemcpyAsync", 15, 16),
        FakeEvent("cudaStreamSynchronize", 16, 19),
        FakeEvent(MARK, 13, 25, CUDA),  # the device's part of the mark
        FakeEvent("Memcpy DtoH (Device -> Pinned)", 26, 27, CUDA),
        FakeEvent("cudaDeviceSynchronize", 21, 28),  # ours, after the mark
        FakeEvent("cudaLaunchKernel", 30, 31),
    ]
    expected = {"launches": 2, "synchronisations": 1, "copies_to_host": 1}
    assert calls_in(events) == expected
    assert calls_in(reversed(events)) == expected


LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")
LAUNCHES += ("cudaLaunchCooperativeKernel", "cudaGraphLaunch")
WAITS = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize")
WAITS += ("cuCtxSynchronize", "cuStreamSynchronize", "cudaMemcpy")
NEITHER = ("cudaMemcpyAsync", "cudaMemsetAsync", "cudaStreamIsCapturing", "cudaEventRecord")
NEITHER += ("cudaStreamWaitEvent", "cudaFuncSetAttribute", "aten::item", "cudaMalloc")


@given(st.lists(st.tuples(st.sampled_from(LAUNCHES + WAITS + NEITHER), st.floats(0, 30))))
def test_each_call_counts_once_where_it_begins_within_the_mark(
    calls: list[tuple[str, float]],
) -> None:
    found = counts(*(FakeEvent(name, start, start + 1) for name, start in calls))
    within = [name for name, start in calls if 10 <= start <= 20]
    assert found["launches"] == sum(name in LAUNCHES for name in within)
    assert found["synchronisations"] == sum(name in WAITS for name in within)
    assert found["copies_to_host"] == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Memcpy DtoH (Device -> Pageable)", 1),
        ("Memcpy DtoH (Device -> Pinned)", 1),
        ("Memcpy HtoD (Pageable -> Device)", 0),
        ("Memcpy DtoD (Device -> Device)", 0),
        ("Memset (Device)", 0),
    ],
)
def test_copies_to_the_host(name: str, expected: int) -> None:
    # The device copies when it gets there, which may be after the call has returned.
    assert counts(FakeEvent(name, 22, 23, CUDA))["copies_to_host"] == expected
    assert counts(FakeEvent(name, 5, 6, CUDA))["copies_to_host"] == 0


def test_without_a_mark_nothing_is_counted_silently() -> None:
    with pytest.raises(ValueError, match="no event 'counted here' among the 1"):
        calls_in([FakeEvent("cudaLaunchKernel", 1, 2)])


def test_torchs_own_events_have_what_is_read() -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiler, record_function(MARK):
        torch.ones(3).sum()
    events = profiler.events()
    assert calls_in(events) == {"launches": 0, "synchronisations": 0, "copies_to_host": 0}
    inside = next(e for e in events if e.name == "aten::sum")
    launch = FakeEvent("cudaLaunchKernel", inside.time_range.start, inside.time_range.end)
    assert calls_in([*events, launch])["launches"] == 1


def test_a_step_is_marked_after_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The marking of steps, on a CPU whose profiler sees operators instead of launches."""
    from bench.optimizers import make_reporting_optimizer
    from logreg_kernels import bind

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(cuda_calls, "_profile", lambda: profile(activities=[ProfilerActivity.CPU]))
    monkeypatch.setattr(cuda_calls, "_LAUNCH", __import__("re").compile("aten::mv"))
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    objective = bind("torch-autograd", X, torch.arange(50) % 2, l2=0.1)
    for spec in ("adam:lr=0.1", "lbfgs"):
        # One evaluation a step, and one product with X forward and one backward in each.
        found = cuda_calls.count_step(objective, make_reporting_optimizer(spec))
        assert found["launches"] == 2
    w = torch.zeros(4, dtype=torch.float64)
    assert cuda_calls.count_call(lambda: objective.value_and_grad(w))["launches"] == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_nothing_is_counted() -> None:
    assert count_cuda() == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_counts_are_the_same_twice() -> None:
    first = count_cuda()
    assert first == count_cuda()
    assert all(calls["launches"] >= 1 for calls in first.values())
