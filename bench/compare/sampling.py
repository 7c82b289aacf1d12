"""Sample two worktrees in turns until each cell has a verdict, or the time limit is reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.command.progress import OnProgress, Progress
from bench.compare.comparison import NOT_TIMED, Cell, CellResult
from bench.compare.side_pair import Lost, SidePair
from bench.statistics.verdicts import LOOKS, Verdict, judge, session_log_ratio

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
class CellSamples:
    """What is known of a cell so far; see `CellResult` for the fields.

    Args:
        interval: the ratio and its ends, by the last judgement.
        losses: the sessions without a ratio.
    """

    cell: Cell
    work: dict[str, float] = field(default_factory=dict)
    base_s: list[float] = field(default_factory=list)
    head_s: list[float] = field(default_factory=list)
    log_ratios: list[float] = field(default_factory=list)
    verdict: str = Verdict.INCONCLUSIVE
    interval: tuple[float | None, float | None, float | None] = (None, None, None)
    losses: list[Lost] = field(default_factory=list)
    reason: str = ""

    @property
    def decided(self) -> bool:
        """Whether it needs no further session."""
        return self.verdict != Verdict.INCONCLUSIVE

    def judge(self, plan: Plan, cells: int) -> None:
        """Give it a verdict by the sessions so far."""
        if self.losses and not self.log_ratios:
            self.verdict = self.losses[-1].verdict
        elif len(self.log_ratios) < 2:
            fewer = "fewer than two sessions can't be judged: give more minutes"
            self.reason = self.reason or fewer
        else:
            judged = judge(
                self.log_ratios, threshold=plan.threshold, cells=cells, confidence=plan.confidence
            )
            self.interval = (judged.ratio, judged.low, judged.high)
            self.verdict, self.reason = judged.verdict, ""

    def lose(self, loss: Lost) -> None:
        """Take note of a session without a ratio, and conclude if another one can't help.

        Where base was timed in an earlier session, its failure costs the cell this session only.
        """
        self.losses.append(loss)
        self.reason = str(loss)
        often = sum(one.verdict == loss.verdict for one in self.losses) >= _TRIES
        base_was_timed = loss.verdict == NOT_TIMED and self.log_ratios
        if not loss.retry or (often and not base_was_timed):
            self.verdict, self.interval = loss.verdict, (None, None, None)

    def result(self) -> CellResult:
        """All of it, as it is kept."""
        return CellResult(
            self.cell,
            str(self.verdict),
            *self.interval,
            tuple(self.base_s),
            tuple(self.head_s),
            tuple(self.log_ratios),
            dict(self.work),
            self.reason,
        )


def sample(
    trees: tuple[Path, Path],
    cells: Sequence[Cell],
    plan: Plan,
    *,
    on_progress: OnProgress | None = None,
    on_session: Callable[[list[CellResult], int], None] | None = None,
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
    sampled = [CellSamples(cell) for cell in cells]
    sessions = 0
    while sessions < LOOKS[-1] and (pending := [one for one in sampled if not one.decided]):
        if sessions and time.monotonic() >= end:
            break
        with closing(SidePair(trees, sessions % 2, suite=not cells[0].file)) as pair:
            for number, one in enumerate(pending):
                if number and time.monotonic() >= end:
                    break
                pair.switch_to(one.cell)
                if on_progress:
                    decided = len(sampled) - len(pending)
                    words = f"session {sessions + 1}: {one.cell}"
                    on_progress(Progress(decided, len(sampled), words))
                try:
                    _time(pair, one, plan, sessions)
                except Lost as loss:
                    one.lose(loss)
        sessions += 1
        if sessions in LOOKS:
            _judge(sampled, plan)
        if on_session:
            on_session([one.result() for one in sampled], sessions)
    if sessions not in LOOKS:
        _judge(sampled, plan)
    return [one.result() for one in sampled], sessions


def _judge(sampled: Sequence[CellSamples], plan: Plan) -> None:
    for one in sampled:
        if not one.decided:
            one.judge(plan, len(sampled))


def _time(pair: SidePair, one: CellSamples, plan: Plan, session: int) -> None:
    """One session's ratio of one cell."""
    pair.prepare(one.cell, one.work, plan.slow_down)
    # The first quadruple is left out: caches and branch predictors still adapt.
    first = pair.quadruple_s((session + 1) % 2)
    few, many = _QUADRUPLES
    count = min(max(2 * int(_CELL_S / first.sum() / one.work["calls"] / 2), few), many)
    blocks = np.array([pair.quadruple_s((session + k) % 2) for k in range(count)])
    base_s, head_s = blocks[:, 0], blocks[:, 1]
    one.base_s.append(float(np.median(base_s)))
    one.head_s.append(float(np.median(head_s)))
    one.log_ratios.append(session_log_ratio(base_s, head_s))
