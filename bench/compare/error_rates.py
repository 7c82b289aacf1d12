"""Error rates of `compare`: false alarms, and slow-downs found, on this machine."""

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

from bench.command import text
from bench.command.progress import OnProgress, Progress
from bench.command.tables import write_table
from bench.compare.comparison import FAILED, Cell, CellResult
from bench.compare.report import table
from bench.compare.sampling import Plan, sample
from bench.compare.worktrees import WORKING_TREE, checked_out, repository, side
from bench.errors import InputError
from bench.statistics.intervals import success_rate_interval
from logreg_kernels import KERNELS

# The required rates: most false alarms, also under load, least share of cells with a verdict, and
# least share found of slow-downs of one and of two thresholds. With fewer cells than `_CELLS` a
# rate of 1% can't be told from 0%.
_MOST_FALSE_ALARMS = 0.01
_MOST_UNDER_LOAD = 0.02
_DECIDED = 0.5
_DETECTED = (0.80, 0.95)
_CELLS = 200
_KEPT = ["cell", "verdict", "ratio", "low", "high", "sessions", "reason"]
_VERDICTS = ("SLOWER", "FASTER", "SAME", "INCONCLUSIVE")

# A process that keeps a core, its arithmetic units and its caches busy. It ends with its parent.
_BUSY = """
import os
import numpy as np
a, parent = np.ones((600, 600)), os.getppid()
while os.getppid() == parent:
    a @ a
"""


@dataclass(frozen=True)
class ErrorRates:
    """The rates in words, and whether all of them are as required."""

    words: str
    passed: bool


def measure_error_rates(
    cells: Sequence[Cell],
    plan: Plan,
    repeats: int,
    load: int,
    folder: Path,
    on_progress: OnProgress,
) -> ErrorRates:
    """Compare the working tree with itself, `repeats` times as it is and once with each slow-down.

    In a comparison of the same commit, a cell that is SLOWER or FAILED is a false alarm. Slow-downs
    are injected as real work: in each block head reads further rows of X. Their number is set by
    the clock, for the reads to take one or two thresholds of the block's time.

    Args:
        cells: of a suite. Those of solvers with a loss of their own are left out.
        load: processes that each keep a core busy meanwhile. With any, no slow-down is injected.
        folder: gets the table `tables/compare_selfcheck`, and after each comparison
            `compare_selfcheck.csv` with the result of each cell.
    Raises:
        InputError: no repository, or no kernel that is named can run here.
    """
    start = time.monotonic()
    root = repository(Path())
    here = side(root, WORKING_TREE)
    cells = [cell for cell in cells if cell.kernel in KERNELS]
    if not cells:
        raise InputError("there is nothing to test with: no kernel that is named can run here")
    rows: list[dict[str, object]] = []
    every: list[CellResult] = []
    injected: list[float] = []
    detected = {} if load else {k * plan.threshold: _DETECTED[k - 1] for k in (1, 2)}
    total = len(cells) * (repeats + len(detected))

    def show(progress: Progress) -> None:
        """Progress of one comparison, as part of that of all of them."""
        on_progress(Progress(len(every) + progress.done, total, progress.cell))

    with checked_out(root, here, here) as trees, _busy(load):
        for slow_down, times in {0.0: repeats, **dict.fromkeys(detected, 1)}.items():
            found: list[CellResult] = []
            begun = time.monotonic()
            for _ in range(times):
                slowed = replace(plan, slow_down=slow_down)
                results, _ = sample(trees, cells, slowed, on_progress=show)
                found += results
                every += results
                injected += [slow_down] * len(results)
                kept = table(every)[_KEPT]
                kept.insert(0, "injected", injected)
                write_table(kept, None, folder / "compare_selfcheck")
            rows.append(_row(slow_down, found, time.monotonic() - begun))
    frame = pd.DataFrame(rows)
    shown = _readable(frame)
    write_table(frame, shown, folder / "tables" / "compare_selfcheck")
    required = _required(frame, list(detected.values()), bool(load))
    beside = f"{load} {'process' if load == 1 else 'processes'} at work beside it"
    words = [
        str(shown.to_markdown(index=False, disable_numparse=True)),
        "",
        *(f"Required: {what}: {'met' if met else 'NOT met'}." for what, met in required.items()),
        f"{len(cells)} cells a comparison, {beside if load else 'no load added'}, "
        f"{(time.monotonic() - start) / 60:.1f} minutes.",
    ]
    if frame.cells[0] < _CELLS:
        words.append(f"{frame.cells[0]} cells are few for such rates: see the intervals.")
    return ErrorRates("\n".join(words), all(required.values()))


def _required(frame: pd.DataFrame, detected: Sequence[float], load: bool) -> dict[str, bool]:
    """Each requirement, and whether it is met; the first row is that of the same commit."""
    most = _MOST_UNDER_LOAD if load else _MOST_FALSE_ALARMS
    decided = frame[["SLOWER", "FASTER", "SAME"]].loc[0].sum() / frame.cells[0]
    required = {
        f"SLOWER or FAILED at most {most:.0%} of the same commit's cells": frame.rate[0] <= most,
        f"decided at least {_DECIDED:.0%} of them": decided >= _DECIDED,
    }
    for k, least in enumerate(detected, start=1):
        what = f"found at least {least:.0%} of slow-downs of {text.percent(frame.injected[k])}"
        required[what] = frame.rate[k] >= least
    return {what: bool(met) for what, met in required.items()}


def _row(slow_down: float, found: Sequence[CellResult], seconds: float) -> dict[str, object]:
    counted = Counter(result.verdict for result in found)
    hits = counted["SLOWER"] + (0 if slow_down else counted[FAILED])
    low, high = success_rate_interval(hits, len(found))
    ratios = [result.ratio for result in found if result.ratio is not None]
    return {
        "injected": slow_down,
        "cells": len(found),
        **{name: counted[name] for name in _VERDICTS},
        "other": sum(counted[name] for name in counted if name not in _VERDICTS),
        "rate": hits / len(found),
        "low": low,
        "high": high,
        "median_ratio": float(np.median(ratios)) if ratios else None,
        "widest_ratio": max((max(r, 1 / r) for r in ratios), default=None),
        "seconds": seconds,
    }


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "injected": [f"{text.percent(p)} slower" if p else "nothing" for p in frame.injected],
            **{name: frame[name] for name in ("cells", *_VERDICTS, "other")},
            "false alarms, or found (95% interval)": [
                f"{rate:.1%} [{low:.1%}-{high:.1%}]"
                for rate, low, high in zip(frame.rate, frame.low, frame.high, strict=True)
            ],
            "median ratio": ["-" if pd.isna(r) else f"{r:.3f}" for r in frame.median_ratio],
            "minutes": [f"{s / 60:.1f}" for s in frame.seconds],
        }
    )


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Processes that each keep a core busy, with one thread."""
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
