"""What `compare` gets wrong: the same commit on both sides, and slow-downs planted on purpose."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.cells.definitions import Suite
from bench.command import text
from bench.command.progress import OnProgress, Progress
from bench.command.tables import write_table
from bench.compare.cells import suite_cells
from bench.compare.comparison import FAILED, CellResult
from bench.compare.sampling import Plan, sample
from bench.compare.worktrees import WORKING_TREE, checked_out, repository, side
from bench.errors import InputError
from bench.statistics.intervals import success_rate_interval
from logreg_kernels import KERNELS

# What is asked of it: false alarms at most, verdicts at least, and detection of slow-downs of one
# and two thresholds at least; of so many cells at least, as fewer can't tell 1% from nothing.
_MOST_FALSE_ALARMS = 0.01
_MOST_UNDER_LOAD = 0.02
_DECIDED = 0.5
_DETECTED = (0.80, 0.95)
_CELLS = 200

# A process that keeps a core, its arithmetic units and its caches busy.
# It ends with whoever started it.
_BUSY = """
import os
import numpy as np
a, parent = np.ones((600, 600)), os.getppid()
while os.getppid() == parent:
    a @ a
"""


@dataclass(frozen=True)
class SelfTest:
    """The rates in words, and whether they are what is asked."""

    words: str
    passed: bool


def self_test(
    suite: Suite,
    plan: Plan,
    repeats: int,
    load: int,
    folder: Path,
    on_progress: OnProgress | None = None,
) -> SelfTest:
    """Compare the working tree with itself, `repeats` times as it is, and once with each slow-down.

    Under load false alarms alone are measured. A cell that is SLOWER or FAILED is an alarm.

    A slow-down is real work: in each block head reads more rows of X, as many as take the threshold
    of the block's time, or twice that, by the clock, when the cell is set up.

    Args:
        load: processes that each keep a core busy meanwhile.
        folder: where the table goes, `tables/compare_selftest`, and each cell's result, after each
            comparison: `compare_selftest.csv`.
    """
    start = time.monotonic()
    root = repository(Path())
    here = side(root, WORKING_TREE)
    cells = [cell for cell in suite_cells(suite) if cell.kernel in KERNELS]
    if not cells:
        raise InputError("there is nothing to test with: no kernel that is named can run here")
    rows: list[dict[str, object]] = []
    every: list[dict[str, object]] = []
    detected = {} if load else {k * plan.threshold: _DETECTED[k - 1] for k in (1, 2)}
    total = len(cells) * (repeats + len(detected))
    with checked_out(root, here, here) as trees, _busy(load):
        for slow_down, times in ((0.0, repeats), *((planted, 1) for planted in detected)):
            found: list[CellResult] = []
            begun = time.monotonic()
            for _ in range(times):
                planted = replace(plan, slow_down=slow_down)
                tell = on_progress and _of_all(on_progress, len(every), total)
                found += sample(trees, cells, planted, on_progress=tell)[0]
                every += [_cell_row(slow_down, result) for result in found[-len(cells) :]]
                write_table(pd.DataFrame(every), None, folder / "compare_selftest")
            rows.append(_row(slow_down, found, time.monotonic() - begun))
    frame = pd.DataFrame(rows)
    shown = _readable(frame)
    write_table(frame, shown, folder / "tables" / "compare_selftest")
    asked = _asked(frame, list(detected.values()), bool(load))
    beside = f"{load} {'process' if load == 1 else 'processes'} at work beside it"
    words = [
        str(shown.to_markdown(index=False, disable_numparse=True)),
        "",
        *(f"Asked: {what}: {'met' if met else 'NOT met'}." for what, met in asked.items()),
        f"{len(cells)} cells a comparison, {beside if load else 'no load added'}, "
        f"{(time.monotonic() - start) / 60:.1f} minutes.",
    ]
    if frame.cells[0] < _CELLS:
        words.append(f"{frame.cells[0]} cells are few for such rates: see the intervals.")
    return SelfTest("\n".join(words), all(asked.values()))


def _of_all(on_progress: OnProgress, done: int, total: int) -> OnProgress:
    """Tell of a comparison as the part that it is of all of them."""

    def tell(progress: Progress) -> None:
        on_progress(Progress(done + progress.done, total, progress.cell))

    return tell


def _asked(frame: pd.DataFrame, detected: Sequence[float], load: bool) -> dict[str, bool]:
    """What is asked, and whether it is so; the first row is the same commit's."""
    most = _MOST_UNDER_LOAD if load else _MOST_FALSE_ALARMS
    decided = frame[["SLOWER", "FASTER", "SAME"]].loc[0].sum() / frame.cells[0]
    asked = {
        f"SLOWER or FAILED at most {most:.0%} of the same commit's cells": frame.rate[0] <= most,
        f"decided at least {_DECIDED:.0%} of them": decided >= _DECIDED,
    }
    for k, least in enumerate(detected, start=1):
        what = f"found at least {least:.0%} of slow-downs of {text.percent(frame.planted[k])}"
        asked[what] = frame.rate[k] >= least
    return {what: bool(met) for what, met in asked.items()}


def _row(slow_down: float, found: Sequence[CellResult], seconds: float) -> dict[str, object]:
    counted = Counter(result.verdict for result in found)
    hits = counted["SLOWER"] + (0 if slow_down else counted[FAILED])
    low, high = success_rate_interval(hits, len(found))
    ratios = [result.ratio for result in found if result.ratio is not None]
    return {
        "planted": slow_down,
        "cells": len(found),
        **{name: counted[name] for name in ("SLOWER", "FASTER", "SAME", "INCONCLUSIVE")},
        "other": sum(counted.values())
        - sum(counted[name] for name in ("SLOWER", "FASTER", "SAME", "INCONCLUSIVE")),
        "rate": hits / len(found),
        "low": low,
        "high": high,
        "median_ratio": float(np.median(ratios)) if ratios else None,
        "widest_ratio": max((max(r, 1 / r) for r in ratios), default=None),
        "seconds": seconds,
    }


def _cell_row(slow_down: float, result: CellResult) -> dict[str, object]:
    return {
        "planted": slow_down,
        "cell": str(result.cell),
        "verdict": result.verdict,
        "ratio": result.ratio,
        "low": result.low,
        "high": result.high,
        "sessions": len(result.log_ratios),
        "reason": result.reason,
    }


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "planted": [f"{text.percent(p)} slower" if p else "nothing" for p in frame.planted],
            **{
                name: frame[name]
                for name in ("cells", "SLOWER", "FASTER", "SAME", "INCONCLUSIVE", "other")
            },
            "alarms, or found (95% interval)": [
                f"{rate:.1%} [{low:.1%}-{high:.1%}]"
                for rate, low, high in zip(frame.rate, frame.low, frame.high, strict=True)
            ],
            "median ratio": ["-" if pd.isna(r) else f"{r:.3f}" for r in frame.median_ratio],
            "minutes": [f"{s / 60:.1f}" for s in frame.seconds],
        }
    )


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but work, one thread each."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", _BUSY], env=one_thread) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
