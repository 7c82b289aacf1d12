"""Time stamps that are right on a CPU and on a device that works asynchronously."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol


class Clock(Protocol):
    """Stamps taken during a run, turned into seconds after it."""

    def stamp(self) -> Any:
        """Mark this point of the work asked for so far; never waits for the device."""

    def finish(self) -> None:
        """Wait until all work up to the last stamp is done: the run's one synchronisation."""

    def seconds(self, stamps: Sequence[Any]) -> list[float]:
        """Seconds from the first stamp to each; after `finish`."""


class HostClock:
    """time.perf_counter: a CPU has done the work when the call returns."""

    def stamp(self) -> int:
        """See `Clock.stamp`."""
        return time.perf_counter_ns()

    def finish(self) -> None:
        """See `Clock.finish`."""

    def seconds(self, stamps: Sequence[int]) -> list[float]:
        """See `Clock.seconds`."""
        return [(stamp - stamps[0]) * 1e-9 for stamp in stamps]


class CudaClock:
    """CUDA events: the device notes the time when it gets there, while the host runs ahead.

    Resolution about 0.5 microseconds (CUDA runtime, cudaEventElapsedTime).
    """

    def __init__(self, device: str) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device)

    def stamp(self) -> Any:
        """See `Clock.stamp`."""
        event = self._torch.cuda.Event(enable_timing=True)
        event.record(self._torch.cuda.current_stream(self._device))
        return event

    def finish(self) -> None:
        """See `Clock.finish`."""
        self._torch.cuda.synchronize(self._device)

    def seconds(self, stamps: Sequence[Any]) -> list[float]:
        """See `Clock.seconds`."""
        return [0.0] + [stamps[0].elapsed_time(stamp) * 1e-3 for stamp in stamps[1:]]


def clock_for(device: str) -> Clock:
    """Events on CUDA, perf_counter on a CPU.

    Raises:
        ValueError: no clock is known to be right on that device.
    """
    kind = device.partition(":")[0]
    if kind == "cpu":
        return HostClock()
    if kind == "cuda":
        return CudaClock(device)
    raise ValueError(f"no clock here is known to be right on {device!r}: use cpu or cuda")
