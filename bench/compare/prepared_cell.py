"""A cell that one side of a comparison has set up, and times a block at a time."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Mapping

from .injection import rows_for_share
from .workloads import NotTimed, Timed, clocked, own_workload, suite_workload

# A block lasts at least this long: a thousand times what the clock and the loop cost. Many short
# blocks tell more than few long ones. Disturbances on a shared machine drift over milliseconds, and
# taking turns cancels a drift.
_MIN_BLOCK_S = 1e-3
_MOST_CALLS = 10_000
# While the other side worked, this side's data left the caches. Calls off the clock bring it back.
# A long call brings it back by itself, in a small part of its time.
_WARM_S = 5e-4
_LONG_CALL_S = 0.02


class PreparedCell:
    """A cell that is set up and warm, ready for blocks.

    Args:
        cell: the fields of a `Cell`.
        work: what an earlier process found: "passes" a run, "calls" a block, "rows" injected.
        slow_down: injected reads of X take this fraction of the work's time; 0 for none.
    """

    def __init__(self, cell: Mapping[str, str], work: Mapping[str, float] | None, slow_down: float):
        known = dict(work or {})
        workload = own_workload(cell) if cell["file"] else suite_workload(cell, known.get("passes"))
        self._workload = workload
        self._injected: Timed = lambda: 0.0
        self._warm_s = _WARM_S if clocked(workload.warm_caches)() < _LONG_CALL_S else 0.0
        self._calls = int(known.get("calls") or self._calibrate())
        self.work = {"passes": workload.passes, "calls": self._calls}
        if slow_down:
            self._inject(slow_down, int(known.get("rows", 0)))

    def block_s(self) -> float:
        """Mean seconds of one call of the workload, over a block."""
        return sum(self._block()) / self._calls

    def _block(self) -> tuple[float, float]:
        """Seconds of the work, and of what is injected."""
        self._warm_caches()
        gc.collect(1)
        gc.disable()
        try:
            seconds = sum(self._workload.run() for _ in range(self._calls))
            return seconds, self._injected()
        finally:
            gc.enable()

    def _calibrate(self) -> int:
        """How many calls a block needs to last long enough."""
        calls = 1
        gc.disable()
        try:
            while calls < _MOST_CALLS:
                # The smaller of two: an interruption must not make all later blocks too short.
                seconds = min(sum(self._workload.run() for _ in range(calls)) for _ in range(2))
                if seconds >= _MIN_BLOCK_S:
                    break
                wanted = math.ceil(calls * 1.1 * _MIN_BLOCK_S / seconds)
                calls = max(calls + 1, min(10 * calls, wanted))
        finally:
            gc.enable()
        return min(calls, _MOST_CALLS)

    def _warm_caches(self) -> None:
        end = time.perf_counter() + self._warm_s
        while time.perf_counter() < end:
            self._workload.warm_caches()

    def _inject(self, slow_down: float, rows: int) -> None:
        """Append reads of X to each block: of `rows` rows, or if 0 of a number set by the clock."""
        reads = self._workload.reads
        if reads is None:
            raise NotTimed("unavailable", "there is no X to read once more")

        def block_s(rows: int) -> tuple[float, float]:
            self._injected = reads(rows)
            return self._block()

        self.work["rows"] = rows or rows_for_share(block_s, slow_down)
        self._injected = reads(int(self.work["rows"]))
