"""Sample two worktrees in turns until each cell has a verdict, or the time limit is reached."""

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
from bench.compare.processes import SideProcess, last_cpu
from bench.compare.workloads import NotTimed
from bench.statistics.verdicts import LOOKS, RatioVerdict, Verdict, judge, session_log_ratio

# The time of a cell in a session, and the fewest and most quadruples of blocks (base, head, head,
# base) that it is spent on. Their number is even, since every second one begins with head. Two
# processes of the same code differ by more than what few quadruples leave unknown, so more sessions
# tell more than more quadruples.
_CELL_S = 0.1
_QUADRUPLES = (4, 10)
# The machine may have ended a process. A cell fails when that happens in so many sessions.
_TRIES = 2


@dataclass(frozen=True)
class Plan:
    """How to sample.

    Args:
        threshold: the smallest slow-down that matters, 0.05 for 5%.
        minutes: the time limit of sampling. No cell is started after it.
        confidence: with which all intervals hold together.
        slow_down: injected into head: reads of X that take this fraction of a cell's time.
    """

    threshold: float = 0.05
    minutes: float = 8.0
    confidence: float = 0.95
    slow_down: float = 0.0


@dataclass
class _CellSamples:
    """What is known of a cell so far."""

    cell: Cell
    work: dict[str, float] = field(default_factory=dict)
    base_s: list[float] = field(default_factory=list)
    head_s: list[float] = field(default_factory=list)
    log_ratios: list[float] = field(default_factory=list)
    verdict: str = Verdict.INCONCLUSIVE
    judged: RatioVerdict | None = None
    lost: Counter[str] = field(default_factory=Counter)
    last_loss: _Lost | None = None
    reason: str = ""

    @property
    def decided(self) -> bool:
        return self.verdict != Verdict.INCONCLUSIVE

    def judge(self, plan: Plan, cells: int) -> None:
        """Give it a verdict by the sessions so far."""
        if self.last_loss and not self.log_ratios:
            self.verdict = self.last_loss.verdict
            return
        if len(self.log_ratios) < 2:
            fewer = "fewer than two sessions can't be judged: give more minutes"
            self.reason = self.reason or fewer
            return
        self.judged = judge(
            self.log_ratios, threshold=plan.threshold, cells=cells, confidence=plan.confidence
        )
        self.verdict, self.reason = self.judged.verdict, ""

    def lose(self, loss: _Lost) -> None:
        """Take note of a session without a ratio, and conclude if another one can't help.

        Where base was timed in an earlier session, its failure costs the cell this session only.
        """
        self.lost[loss.verdict] += 1
        self.last_loss, self.reason = loss, str(loss)
        base_failed = loss.verdict == NOT_TIMED
        if loss.retry and (self.lost[loss.verdict] < _TRIES or (base_failed and self.log_ratios)):
            return
        self.verdict, self.judged = loss.verdict, None

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
    """Compare the cells of two worktrees, session by session.

    Each session starts new processes for both sides, pinned to the same processor. Cells with
    different `process_key` are timed in different processes. Each cell without a verdict is set up
    on both sides and timed in quadruples of blocks: base, head, head, base, and in every second one
    head, base, base, head. A session gives one ratio a cell. After the numbers of sessions in
    `LOOKS` cells are judged, and those with a verdict are left out of later sessions.

    Args:
        trees: the worktrees of base and head.
        on_progress: called before each cell of each session.
        on_session: called with the results so far and the number of sessions, after each session.
    Returns:
        the results, and the number of sessions.
    """
    end = time.monotonic() + 60 * plan.minutes
    sampled = [_CellSamples(cell) for cell in cells]
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
                one.judge(plan, len(cells))
        if on_session:
            on_session([one.result() for one in sampled], session)
    if session not in LOOKS:
        for one in _undecided(sampled):
            one.judge(plan, len(cells))
    return [one.result() for one in sampled], session


def _undecided(sampled: Sequence[_CellSamples]) -> list[_CellSamples]:
    return [one for one in sampled if not one.decided]


def _session(
    trees: tuple[Path, Path],
    pending: Sequence[_CellSamples],
    plan: Plan,
    session: int,
    end: float,
    total: int,
    on_progress: OnProgress | None,
) -> None:
    pair = _SidePair(trees, session % 2, suite=not pending[0].cell.file)
    try:
        decided = total - len(pending)
        for one in pending:
            if time.monotonic() >= end and one is not pending[0]:
                return
            pair.switch_to(one.cell)
            if on_progress:
                on_progress(Progress(decided, total, f"session {session + 1}: {one.cell}"))
            try:
                _time(pair, one, plan, session)
            except _Lost as loss:
                one.lose(loss)
    finally:
        pair.close()


class _Lost(Exception):  # noqa: N818 - not an error of this program
    """A cell has no ratio in this session.

    Args:
        verdict: that of the cell, if no other session has a ratio.
        reason: why, in one line.
        retry: whether another session may have one.
    """

    def __init__(self, verdict: str, reason: str, *, retry: bool = False) -> None:
        super().__init__(reason)
        self.verdict, self.retry = verdict, retry


class _SidePair:
    """The processes of both sides, base first.

    Args:
        first: the side, 0 or 1, that is started first in this session. It also prepares cells
            first, unless base is still to find the work of a block.
        suite: whether cells are those of our suites.
    """

    def __init__(self, trees: tuple[Path, Path], first: int, *, suite: bool) -> None:
        self._trees, self._suite = trees, suite
        self._order = (first, 1 - first)
        self._cpu = last_cpu()
        self._forks = False
        self._process_key: tuple[str, ...] = ()
        self.sides = self._start_both()

    def switch_to(self, cell: Cell) -> None:
        """Have both sides ready for a cell, also if the one before it ended their processes.

        A cell with another `process_key` gets new processes. What earlier cells left in the memory
        decides where later arrays lie, the same way in each session, and that moved some times by
        40%. The new process is a fork where that is safe, which takes milliseconds: our imports
        start no thread that a child would miss. CUDA does not survive a fork, and the imports of a
        user's file are not known.
        """
        if cell.process_key == self._process_key:
            self._restart_ended()
            return
        forks = self._suite and cell.device == "cpu" and sys.platform == "linux"
        if self._process_key and not (forks and self._forks):
            self.close()
            self.sides = self._start_both()
        self._forks, self._process_key = forks, cell.process_key
        if forks:
            for side in self._order:
                self._fork(side)

    def prepare(self, one: _CellSamples, slow_down: float) -> None:
        """Set the cell up on both sides, with the work that base found in the first session."""
        if one.work and (not slow_down or "rows" in one.work):
            base, head = self._prepare_together(one, slow_down)
        else:
            base, head = self._prepare_in_turn(one, slow_down)
        if base:
            lacking = base.status in ("gone", "unavailable")
            words = f"base: {base}; head: {head}" if head else f"base: {base}"
            raise _Lost(NEW if lacking and not head else NOT_TIMED, words, retry=not lacking)
        if head:
            raise _of_head(head)

    def _prepare_together(self, one: _CellSamples, slow_down: float) -> list[NotTimed | None]:
        """Both at the same time, since setting up may take longer than what is timed."""
        for side in self._order:
            injected = slow_down if side else 0.0
            self.sides[side].begin_preparing(one.cell, one.work, injected)
        return [_why_not(process.wait_prepared) for process in self.sides]

    def _prepare_in_turn(self, one: _CellSamples, slow_down: float) -> list[NotTimed | None]:
        """One after the other, where the clock decides how much work a block has."""
        base, head = self.sides

        def prepare_base() -> None:
            one.work = dict(base.prepare(one.cell, one.work or None))

        def prepare_head() -> None:
            found = head.prepare(one.cell, one.work or None, slow_down)
            one.work = {**one.work, **found} if one.work else {}

        return [_why_not(prepare_base), _why_not(prepare_head)]

    def quadruple_s(self, first: int) -> NDArray[np.float64]:
        """Seconds of a call in four blocks, in the order first, other, other, first.

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
                raise _Lost(NOT_TIMED, f"base: {error}", retry=True) from None
            raise _of_head(error) from None

    def close(self) -> None:
        """End both processes."""
        for process in self.sides:
            process.close()

    def _start_both(self) -> list[SideProcess]:
        started = {side: self._start(side) for side in self._order}
        return [started[0], started[1]]

    def _start(self, side: int) -> SideProcess:
        return SideProcess(self._trees[side], self._cpu, suite=self._suite)

    def _restart(self, side: int) -> None:
        self.sides[side].close()
        self.sides[side] = self._start(side)

    def _restart_ended(self) -> None:
        """Restart both if one has ended: a new process lacks the past of the other's memory."""
        if all(process.alive for process in self.sides):
            return
        self.close()
        self.sides = self._start_both()
        if self._forks:
            for side in self._order:
                self._fork(side)

    def _fork(self, side: int) -> None:
        """Fork a side, or start it anew if it has ended since its last answer.

        If the new one ends, too, it says so when it is asked for a cell.
        """
        try:
            self.sides[side].fork()
        except NotTimed:
            self._restart(side)
            with suppress(NotTimed):
                self.sides[side].fork()


def _of_head(error: NotTimed) -> _Lost:
    """A head that raises will do so again, but the machine may have ended its process."""
    verdict = GONE if error.status == "gone" else FAILED
    return _Lost(verdict, f"head: {error}", retry=error.status == "ended")


def _why_not(prepare: Callable[[], Any]) -> NotTimed | None:
    try:
        prepare()
    except NotTimed as error:
        return error
    return None


def _time(pair: _SidePair, one: _CellSamples, plan: Plan, session: int) -> None:
    """One session's ratio of one cell."""
    pair.prepare(one, plan.slow_down)
    # The first quadruple is left out: caches and branch predictors still adapt.
    first = pair.quadruple_s((session + 1) % 2)
    few, many = _QUADRUPLES
    count = min(max(2 * int(_CELL_S / first.sum() / one.work["calls"] / 2), few), many)
    blocks = np.array([pair.quadruple_s((session + k) % 2) for k in range(count)])
    base_s, head_s = blocks[:, 0], blocks[:, 1]
    one.base_s.append(float(np.median(base_s)))
    one.head_s.append(float(np.median(head_s)))
    one.log_ratios.append(session_log_ratio(base_s, head_s))
