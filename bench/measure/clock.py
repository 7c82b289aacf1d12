"""Time stamps that are right on a CPU and on a device that works asynchronously."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol


class Clock(Protocol):
    """Stamps taken during a run, turned into seconds after it."""

    def stamp(self) -> Any:
        """Mark this point in the device's work, without waiting for the device."""

    def finish(self) -> None:
        """Wait until all work up to the last stamp is done: a run's only synchronisation."""

    def seconds(self, stamps: Sequence[Any]) -> list[float]:
        """Seconds from the first stamp to each; after `finish`."""


class HostClock:
    """time.perf_counter. A CPU has done its work when a call returns."""

    def stamp(self) -> int:
        """See `Clock.stamp`."""
        return time.perf_counter_ns()

    def finish(self) -> None:
        """See `Clock.finish`."""

    def seconds(self, stamps: Sequence[int]) -> list[float]:
        """See `Clock.seconds`."""
        return [(stamp - stamps[0]) * 1e-9 for stamp in stamps]


class Event(Protocol):
    """A mark in the work of a device, such as torch.cuda.Event."""

    def record(self) -> None:
        """Queue the mark behind the work that was asked for so far."""

    def elapsed_time(self, end: Any, /) -> float:
        """Milliseconds from this mark to another, once the device has passed both."""


class EventClock:
    """Stamps by events. The device notes the time when it reaches an event; the host runs ahead.

    Args:
        make_event: a new event of the device.
        synchronize: waits until the device has done all that it was asked for.
    """

    def __init__(self, make_event: Callable[[], Event], synchronize: Callable[[], None]) -> None:
        self._make_event = make_event
        self._synchronize = synchronize

    def stamp(self) -> Event:
        """See `Clock.stamp`."""
        event = self._make_event()
        event.record()
        return event

    def finish(self) -> None:
        """See `Clock.finish`."""
        self._synchronize()

    def seconds(self, stamps: Sequence[Event]) -> list[float]:
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
        return _cuda_clock(device)
    raise ValueError(f"no clock here is known to be right on {device!r}: use cpu or cuda")


def _cuda_clock(device: str) -> EventClock:
    """CUDA events on the device's current stream.

    Resolution about 0.5 microseconds (CUDA runtime, cudaEventElapsedTime).
    """
    import torch

    class CudaEvent:
        def __init__(self) -> None:
            self.event = torch.cuda.Event(enable_timing=True)

        def record(self) -> None:
            self.event.record(torch.cuda.current_stream(device))

        def elapsed_time(self, end: CudaEvent) -> float:
            return float(self.event.elapsed_time(end.event))

    return EventClock(CudaEvent, lambda: torch.cuda.synchronize(device))


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect the young generations, then keep Python's garbage collector off inside the block.

    A full collection is left to the collector's own schedule, outside of such blocks. Once torch
    is loaded it takes 0.2 s, more than most runs.
    """
    was_on = gc.isenabled()
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
