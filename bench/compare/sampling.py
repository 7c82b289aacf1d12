"""Sample two trees in turns until each cell is decided, or the time is spent."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.command.progress import OnProgress, Progress
from bench.compare.comparison import FAILED, GONE, NEW, NOT_TIMED, Cell, CellResult
from bench.compare.processes import SideProcess, pinned_cpus
from bench.compare.units import NotTimed
from bench.statistics.verdicts import LOOKS, Judged, Verdict, judge, session_log_ratio

# A cell has about so much time in a session, in quadruples of blocks, base head head base: at least
# and at most so many. An even number, as every second one begins with head. Two processes of the
# same code differ by more than what few quadruples leave unknown, so many sessions tell more.
_CELL_S = 0.1
_QUADRUPLES = (4, 10)
# What may have been the machine's doing must happen in so many sessions, if there is time for them.
_TRIES = 2


@dataclass(frozen=True)
class Plan:
    """How to sample.

    Args:
        threshold: the smallest slow-down that matters: 0.05 for 5%.
        minutes: of sampling; after so many no further cell is begun.
        threads: of each library, each on a processor of its own.
        confidence: that all intervals hold.
        slow_down: planted into head: reads of X that take this fraction of a cell's time.
    """

    threshold: float = 0.05
    minutes: float = 8.0
    threads: int = 1
    confidence: float = 0.95
    slow_down: float = 0.0


@dataclass
class _Sampled:
    """What is known of a cell so far."""

    cell: Cell
    work: dict[str, float] = field(default_factory=dict)
    base_s: list[float] = field(default_factory=list)
    head_s: list[float] = field(default_factory=list)
    log_ratios: list[float] = field(default_factory=list)
    verdict: str = Verdict.INCONCLUSIVE
    judged: Judged | None = None
    ends: Counter[str] = field(default_factory=Counter)
    ended: _Ended | None = None
    reason: str = ""

    @property
    def decided(self) -> bool:
        return self.verdict != Verdict.INCONCLUSIVE

    def look(self, plan: Plan, cells: int) -> None:
        """Judge it by what there is."""
        if self.ended and not self.log_ratios:
            self.verdict = self.ended.verdict
            return
        if len(self.log_ratios) < 2:
            fewer = "fewer than two sessions can't be judged: give more minutes"
            self.reason = self.reason or fewer
            return
        self.judged = judge(
            self.log_ratios, threshold=plan.threshold, cells=cells, confidence=plan.confidence
        )
        self.verdict, self.reason = self.judged.verdict, ""

    def fail(self, ended: _Ended) -> None:
        """Conclude that it has no ratio, or wait for another session, if that may tell otherwise:
        of a base that could be timed before, no more than this session is lost."""
        self.ends[ended.verdict] += 1
        self.ended, self.reason = ended, str(ended)
        of_base = ended.verdict == NOT_TIMED
        if ended.again and (self.ends[ended.verdict] < _TRIES or (of_base and self.log_ratios)):
            return
        self.verdict, self.judged = ended.verdict, None

    def result(self) -> CellResult:
        judged = self.judged
        return CellResult(
            cell=self.cell,
            verdict=str(self.verdict),
            ratio=judged.ratio if judged else None,
            low=judged.low if judged else None,
            high=judged.high if judged else None,
            base_s=tuple(self.base_s),
            head_s=tuple(self.head_s),
            log_ratios=tuple(self.log_ratios),
            work=self.work,
            reason=self.reason,
        )


OnSession: TypeAlias = Callable[[list[CellResult], int], None]


def sample(
    trees: tuple[Path, Path],
    cells: Sequence[Cell],
    plan: Plan,
    *,
    on_progress: OnProgress | None = None,
    on_session: OnSession | None = None,
) -> tuple[list[CellResult], int]:
    """Compare the cells of two trees, session by session; returns results and sessions.

    A session is new processes on either side, pinned to the same processors, and of these a child,
    or others, for each place. In it each cell that is not decided is set up on both sides and timed
    in quadruples of blocks, base head head base and head base base head by turns, of which one
    ratio is made. After so many sessions as `LOOKS` says cells are judged, and those with a verdict
    are left out from there on.

    Args:
        trees: base and head, checked out.
        on_progress: told before each cell of each session.
        on_session: given what is known after each session, so that none of it is lost.
    """
    end = time.monotonic() + 60 * plan.minutes
    sampled = [_Sampled(cell) for cell in cells]
    session = 0
    while session < LOOKS[-1]:
        if session and time.monotonic() >= end:
            break
        pending = _undecided(sampled)
        if not pending:
            break
        _session(trees, pending, plan, session, end, len(sampled), on_progress)
        session += 1
        if session in LOOKS:
            for one in _undecided(sampled):
                one.look(plan, len(cells))
        if on_session:
            on_session([one.result() for one in sampled], session)
    if session not in LOOKS:
        for one in _undecided(sampled):
            one.look(plan, len(cells))
    return [one.result() for one in sampled], session


def _undecided(sampled: Sequence[_Sampled]) -> list[_Sampled]:
    return [one for one in sampled if not one.decided]


def _session(
    trees: tuple[Path, Path],
    pending: Sequence[_Sampled],
    plan: Plan,
    session: int,
    end: float,
    total: int,
    on_progress: OnProgress | None,
) -> None:
    pair = _Pair(trees, plan.threads, session % 2, suite=not pending[0].cell.file)
    try:
        decided = total - len(pending)
        for one in pending:
            if time.monotonic() >= end and one is not pending[0]:
                return
            pair.go_to(one.cell)
            if on_progress:
                on_progress(Progress(decided, total, f"session {session + 1}: {one.cell}"))
            try:
                _time(pair, one, plan, session)
            except _Ended as ended:
                one.fail(ended)
    finally:
        pair.close()


class _Ended(Exception):  # noqa: N818 - not an error of this program
    """A cell that has no ratio: its verdict, and the reason; `again` if another session may tell
    otherwise."""

    def __init__(self, verdict: str, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.verdict, self.again = verdict, again


class _Pair:
    """Both sides' processes, base first.

    Args:
        first: the side, 0 or 1, that is started before the other in this session, and set up
            before it, unless the work of a block is still to be found, by base.
        suite: whether cells are those of our suites.
    """

    def __init__(self, trees: tuple[Path, Path], threads: int, first: int, *, suite: bool) -> None:
        self._trees, self._threads, self._suite = trees, threads, suite
        self._order = (first, 1 - first)
        self._cpus = pinned_cpus(threads)
        self._forks = False
        self._place: tuple[str, ...] = ()
        self.sides = self._start_both()

    def go_to(self, cell: Cell) -> None:
        """Have both sides ready for a cell, also if the one before it ended their processes.

        Cells of another place are left behind, with how they used the memory: it decides where
        the arrays of later ones come to lie, the same way in each session, and that moved some by
        40%. By a fork where that is safe, as it takes milliseconds: imports start no thread that a
        child would miss. CUDA doesn't survive one, and what a user's file loads isn't known.
        """
        if cell.place == self._place:
            self._restart_ended()
            return
        forks = self._suite and cell.device == "cpu" and sys.platform == "linux"
        if self._place and not (forks and self._forks):
            self.close()
            self.sides = self._start_both()
        self._forks, self._place = forks, cell.place
        if forks:
            for side in self._order:
                self._fork(side)

    def open(self, one: _Sampled, slow_down: float) -> None:
        """Set the cell up on both sides, with the work that base found the first time."""
        if one.work and (not slow_down or "rows" in one.work):
            base, head = self._open_together(one, slow_down)
        else:
            base, head = self._open_in_turn(one, slow_down)
        if base:
            lacking = base.status in ("gone", "unavailable")
            words = f"base: {base}; head: {head}" if head else f"base: {base}"
            raise _Ended(NEW if lacking and not head else NOT_TIMED, words, again=not lacking)
        if head:
            raise _of_head(head)

    def _open_together(self, one: _Sampled, slow_down: float) -> list[NotTimed | None]:
        """Both at the same time, as setting up may take longer than what is timed."""
        for side in self._order:
            planted = slow_down if side else 0.0
            self.sides[side].begin_opening(one.cell, one.work, planted)
        return [_why_not(process.end_opening) for process in self.sides]

    def _open_in_turn(self, one: _Sampled, slow_down: float) -> list[NotTimed | None]:
        """Nothing beside it, where the clock decides how much work there is to be."""
        base, head = self.sides

        def open_base() -> None:
            one.work = dict(base.open(one.cell, one.work or None))

        def open_head() -> None:
            found = head.open(one.cell, one.work or None, slow_down)
            one.work = {**one.work, **found} if one.work else {}

        return [_why_not(open_base), _why_not(open_head)]

    def quadruple_s(self, first: int) -> NDArray[np.float64]:
        """Seconds of a unit of work in four blocks, in the order first other other first.

        Returns:
            shape (2, 2): side, its earlier and its later block.
        """
        seconds = np.empty((2, 2))
        for side, which in ((first, 0), (1 - first, 0), (1 - first, 1), (first, 1)):
            seconds[side, which] = self._block_s(side)
        return seconds

    def _block_s(self, side: int) -> float:
        try:
            return self.sides[side].block_s()
        except NotTimed as error:
            if side == 0:
                raise _Ended(NOT_TIMED, f"base: {error}", again=True) from None
            raise _of_head(error) from None

    def close(self) -> None:
        """End both processes."""
        for process in self.sides:
            process.close()

    def _start_both(self) -> list[SideProcess]:
        started = {side: self._start(side) for side in self._order}
        return [started[0], started[1]]

    def _start(self, side: int) -> SideProcess:
        return SideProcess(self._trees[side], self._cpus, self._threads, suite=self._suite)

    def _restart(self, side: int) -> None:
        self.sides[side].close()
        self.sides[side] = self._start(side)

    def _restart_ended(self) -> None:
        """Both, as one that is new would not have the memory that the other has."""
        if all(process.alive for process in self.sides):
            return
        self.close()
        self.sides = self._start_both()
        if self._forks:
            for side in self._order:
                self._fork(side)

    def _fork(self, side: int) -> None:
        """One that has ended since it was last asked is started anew; if that one ends, too, it
        says so when it is asked for a cell."""
        try:
            self.sides[side].fork()
        except NotTimed:
            self._restart(side)
            with suppress(NotTimed):
                self.sides[side].fork()


def _of_head(error: NotTimed) -> _Ended:
    """A head that raises does so always; its process may have been ended by the machine."""
    verdict = GONE if error.status == "gone" else FAILED
    return _Ended(verdict, f"head: {error}", again=error.status == "ended")


def _why_not(opened: Callable[[], Any]) -> NotTimed | None:
    try:
        opened()
    except NotTimed as error:
        return error
    return None


def _time(pair: _Pair, one: _Sampled, plan: Plan, session: int) -> None:
    """One session's ratio of one cell."""
    pair.open(one, plan.slow_down)
    # Left out: caches and branch predictors are still learning.
    first = pair.quadruple_s((session + 1) % 2)
    few, many = _QUADRUPLES
    count = min(max(2 * int(_CELL_S / first.sum() / one.work["calls"] / 2), few), many)
    blocks = np.array([pair.quadruple_s((session + k) % 2) for k in range(count)])
    base_s, head_s = blocks[:, 0], blocks[:, 1]
    one.base_s.append(float(np.median(base_s)))
    one.head_s.append(float(np.median(head_s)))
    one.log_ratios.append(session_log_ratio(base_s, head_s))
