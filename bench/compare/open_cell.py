"""A cell that one side of a comparison has set up, and times a block at a time."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Mapping

from .units import NotTimed, Timed, clocked, own_unit, suite_unit

# A block lasts at least this long: a thousand times what the clock and the loop cost. Many short
# blocks tell more than few long ones: what a shared machine does to them drifts over milliseconds,
# and taking turns cancels that.
_MIN_BLOCK_S = 1e-3
_MOST_CALLS = 10_000
# While the other side worked, this side's data left the caches: calls off the clock bring it back.
# A call that is long brings it back by itself, in a small part of its time.
_SETTLE_S = 5e-4
_LONG_SETTLE_S = 0.02


class OpenCell:
    """A cell that is set up and warm, ready for blocks."""

    def __init__(self, cell: Mapping[str, str], work: Mapping[str, float] | None, slow_down: float):
        known = dict(work or {})
        unit = own_unit(cell) if cell["file"] else suite_unit(cell, known.get("passes"))
        self._unit, self._extra = unit, list[Timed]()
        settle_s = clocked(unit.settle)()
        self._settle_s = _SETTLE_S if settle_s < _LONG_SETTLE_S else 0.0
        self._calls = int(known.get("calls") or self._calibrate())
        self.work = {"passes": unit.passes, "calls": self._calls}
        if slow_down:
            self._plant(slow_down, int(known.get("rows", 0)))

    def block(self) -> float:
        """Mean seconds of a unit of work, over a block that nothing but the work is in."""
        return sum(self._block()) / self._calls

    def _block(self) -> tuple[float, float]:
        """Seconds of the work, and of what is planted."""
        self._settle()
        gc.collect(1)
        gc.disable()
        try:
            seconds = sum(self._unit.run() for _ in range(self._calls))
            return seconds, sum(extra() for extra in self._extra)
        finally:
            gc.enable()

    def _calibrate(self) -> int:
        """How many calls a block needs to last long enough."""
        calls = 1
        gc.disable()
        try:
            while calls < _MOST_CALLS:
                # The smaller of two: an interruption must not make all blocks to come too short.
                seconds = min(sum(self._unit.run() for _ in range(calls)) for _ in range(2))
                if seconds >= _MIN_BLOCK_S:
                    break
                wanted = math.ceil(calls * 1.1 * _MIN_BLOCK_S / seconds)
                calls = max(calls + 1, min(10 * calls, wanted))
        finally:
            gc.enable()
        return min(calls, _MOST_CALLS)

    def _settle(self) -> None:
        end = time.perf_counter() + self._settle_s
        while time.perf_counter() < end:
            self._unit.settle()

    def _plant(self, slow_down: float, rows: int) -> None:
        """Append reads of X to each block: of so many rows, or where that is 0 of as many as take
        `slow_down` of its time."""
        from .planted import tune

        reads = self._unit.reads
        if reads is None:
            raise NotTimed("unavailable", "there is no X to read once more")

        def block_s(rows: int) -> tuple[float, float]:
            self._extra = [reads(rows)]
            return self._block()

        rows = rows or tune(block_s, slow_down, rows=100)
        self.work["rows"] = rows
        self._extra = [reads(rows)]
