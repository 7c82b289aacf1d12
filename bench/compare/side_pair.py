"""The processes of both sides of a comparison: started, prepared and timed together."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.compare.comparison import FAILED, GONE, NEW, NOT_TIMED, Cell
from bench.compare.processes import SideProcess, last_cpu
from bench.compare.workloads import NotTimed


class Lost(Exception):  # noqa: N818 - not an error of this program
    """A cell has no ratio in this session.

    Args:
        base, head: why the side could not be timed; None where it could.
    Attributes:
        verdict: that of the cell, if no other session has a ratio.
        retry: whether another session may have a ratio. A head that raises will raise again, but
            the machine may have ended its process.
    """

    def __init__(self, base: NotTimed | None, head: NotTimed | None) -> None:
        sides = (("base", base), ("head", head))
        super().__init__("; ".join(f"{side}: {error}" for side, error in sides if error))
        if base:
            lacking = base.status in ("gone", "unavailable")
            self.verdict = NEW if lacking and not head else NOT_TIMED
            self.retry = not lacking
        else:
            status = head.status if head else ""
            self.verdict = GONE if status == "gone" else FAILED
            self.retry = status == "ended"


class SidePair:
    """The processes of base (side 0) and head (side 1).

    Args:
        first: the side that is started first in this session.
        suite: whether the cells are those of our suites.
    """

    def __init__(self, trees: tuple[Path, Path], first: int, *, suite: bool) -> None:
        self._trees, self._suite = trees, suite
        self._order = (first, 1 - first)
        self._cpu = last_cpu()
        self._process_key: tuple[str, ...] = ()
        self._forks = False
        self.sides: list[SideProcess] = []

    def switch_to(self, cell: Cell) -> None:
        """Have both sides ready for a cell, also if the one before it ended their processes.

        A cell with another `process_key` gets new processes. What earlier cells left in the memory
        decides where later arrays lie, the same way in each session, and that moved some times by
        40%. The new process is a fork where that is safe, which takes milliseconds: our imports
        start no thread that a child would miss. CUDA does not survive a fork, and the imports of a
        user's file are not known. Where one process has ended, both are replaced: a new one lacks
        the past of the other's memory.
        """
        same = cell.process_key == self._process_key
        if same and all(process.alive for process in self.sides):
            return
        forks = self._suite and cell.device == "cpu" and sys.platform == "linux"
        if same or not (forks and self._forks):
            self.close()
            started = {side: self._start(side) for side in self._order}
            self.sides = [started[0], started[1]]
        self._forks, self._process_key = forks, cell.process_key
        if forks:
            for side in self._order:
                self._fork(side)

    def prepare(self, cell: Cell, work: dict[str, float], slow_down: float) -> None:
        """Set the cell up on both sides.

        Both do it at the same time, since that may take longer than what is timed. They do it one
        after the other where the clock still has to decide how much work a block has.

        Args:
            work: what base found in an earlier session; what it lacks is added.
            slow_down: reads of X that take this fraction of head's time are injected.
        Raises:
            Lost: a side can't be timed.
        """
        known = bool(work) and (not slow_down or "rows" in work)

        def begin(side: int) -> None:
            injected = slow_down if side else 0.0
            self.sides[side].begin_preparing(cell, work, injected, pinned=not known)

        if known:
            for side in self._order:
                begin(side)
        errors: list[NotTimed | None] = [None, None]
        for side, process in enumerate(self.sides):
            try:
                if not known:
                    begin(side)
                found = process.wait_prepared()
                if work or side == 0:
                    work.update(found)
            except NotTimed as error:
                errors[side] = error
        if any(errors):
            raise Lost(*errors)

    def quadruple_s(self, first: int) -> NDArray[np.float64]:
        """Seconds of a call in four blocks, in the order first, other, other, first.

        Returns:
            shape (2, 2): side, its earlier and its later block.
        Raises:
            Lost: a side can't be timed.
        """
        seconds = np.empty((2, 2))
        for side, which in ((first, 0), (1 - first, 0), (1 - first, 1), (first, 1)):
            try:
                seconds[side, which] = self.sides[side].block_s()
            except NotTimed as error:
                raise (Lost(None, error) if side else Lost(error, None)) from None
        return seconds

    def close(self) -> None:
        """End both processes."""
        for process in self.sides:
            process.close()

    def _start(self, side: int) -> SideProcess:
        return SideProcess(self._trees[side], self._cpu, suite=self._suite)

    def _fork(self, side: int) -> None:
        """Fork a side, or start it anew if it has ended since its last answer.

        If the new one ends, too, it says so when it is asked for a cell.
        """
        try:
            self.sides[side].fork()
        except NotTimed:
            self.sides[side].close()
            self.sides[side] = self._start(side)
            with suppress(NotTimed):
                self.sides[side].fork()
