"""The answer for each problem: which optimizer is fastest, by how much, how sure."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.command import text
from bench.report.frames import Frames
from bench.report.tables import SHOWN_TARGETS, WAY
from bench.statistics.intervals import ratio_interval

_FEWEST_PAIRS = 6
"""With fewer, the sign test is not significant even where all pairs agree."""
_MOST_NAMED = 5
"""Where more optimizers missed, they are counted; the table names them."""


@dataclass(frozen=True)
class Answer:
    """One problem's answer.

    Args:
        problem: its name.
        note: why there is no answer; the other fields are then left out.
        target: the finest of 1e-6 and 1e-3 that any optimizer met in most runs.
        winner: the optimizer, and the kernel that it was run on.
        time: the winner's time to the target, with its 95% interval.
        margin: how it compares with the next optimizer, in one clause.
        missed: optimizers that did not meet the target in most runs, on any kernel.
        compared: how many optimizers there were.
    """

    problem: str
    note: str = ""
    target: str = ""
    winner: str = ""
    time: str = ""
    margin: str = ""
    missed: tuple[str, ...] = ()
    compared: int = 0

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        if self.note:
            return f"{self.problem}: {self.note}"
        line = f"{self.problem}: {self.winner} is first to {self.target}, in {self.time}"
        line += f"; {self.margin}" if self.margin else ""
        return line + (f"; never there: {self.who_missed}" if self.missed else "")

    @property
    def who_missed(self) -> str:
        """Those that did not meet the target, by name as long as they are few."""
        if len(self.missed) > _MOST_NAMED:
            return f"{len(self.missed)} of {self.compared} optimizers"
        return text.listing(self.missed)


def answers(frames: Frames) -> list[Answer]:
    """An answer for each problem, in the order of the records."""
    if frames.times.empty:
        return []
    facts_of = frames.problems.set_index("problem")
    found = []
    for problem, rows in frames.times.groupby("problem", sort=False):
        facts = facts_of.loc[str(problem)]
        if facts["exists"] is not True:
            found.append(Answer(str(problem), note=f"not scored, {facts['reason']}"))
        else:
            found.append(_answer(str(problem), rows, frames.scores))
    return found


def _answer(problem: str, rows: pd.DataFrame, scores: pd.DataFrame) -> Answer:
    for target in ("1e-6", "1e-3"):
        column = f"time_to_{target}_s"
        best = rows.dropna(subset=[column]).sort_values(column, kind="stable")
        best = best.drop_duplicates("optimizer")  # each optimizer on its fastest kernel
        if best.empty:
            continue
        first = best.iloc[0]
        optimizers = rows["optimizer"].unique()
        return Answer(
            problem,
            target=target,
            winner=f"{first['optimizer']} on {first['kernel']}",
            time=text.seconds_with_range(
                first[column], first[f"time_to_{target}_low_s"], first[f"time_to_{target}_high_s"]
            ),
            margin=_margin(first, best.iloc[1], scores, column) if len(best) > 1 else "",
            missed=tuple(o for o in optimizers if o not in set(best["optimizer"])),
            compared=len(optimizers),
        )
    note = f"no optimizer met {SHOWN_TARGETS[0]} in most runs: raise the budget"
    return Answer(problem, note=note)


def _margin(first: pd.Series, second: pd.Series, scores: pd.DataFrame, column: str) -> str:
    """The ratio second / first, run by run: runs of one seed stood side by side."""
    a, b = (_by_run(scores, row, column) for row in (first, second))
    both = pd.concat([a, b], axis=1, join="inner").to_numpy(dtype=float)
    name = f"{second['optimizer']} on {second['kernel']}"
    ratio = ratio_interval(both[:, 0], both[:, 1])
    if ratio.median is None:
        return f"ahead of {name} (too few runs to be sure)"
    shown = text.ratio_with_range(ratio.median, ratio.low, ratio.high)
    if ratio.pairs < _FEWEST_PAIRS:
        return f"{shown} ahead of {name} (too few runs to be sure)"
    if not ratio.significant:
        return f"not significantly ahead of {name} ({shown})"
    return f"{shown} ahead of {name}"


def _by_run(scores: pd.DataFrame, row: pd.Series, column: str) -> pd.Series:
    same = scores["problem"] == row["problem"]
    for name in ["optimizer", *WAY]:
        same &= scores[name] == row[name]
    return pd.Series(scores[same].set_index(["seed", "repetition"])[column])
