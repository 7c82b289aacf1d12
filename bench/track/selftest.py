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

from bench.comparisons import CellResult
from bench.errors import InputError
from bench.report.write import write_table
from bench.score.intervals import success_rate_interval
from bench.suites.definitions import Suite
from bench.suites.run import OnProgress
from bench.track.cells import suite_cells
from bench.track.sampling import Plan, sample
from bench.track.worktrees import WORKING_TREE, checked_out, repository, side
from logreg_kernels import KERNELS

# What is asked of it: false alarms at most, and detection at least.
_MOST_FALSE_ALARMS = 0.01
_MOST_UNDER_LOAD = 0.02
_DETECTED = {0.05: 0.80, 0.10: 0.95}

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

    Under load false alarms alone are measured.

    A slow-down is real work: after each block head makes more passes over X, as many as take 5% or
    10% of the block's time when the cell is set up; where a whole pass is more than that, one over
    a part of the rows.

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
    rows, every = [], []
    detected = {} if load else _DETECTED
    with checked_out(root, here, here) as trees, _busy(load):
        for slow_down, times in ((0.0, repeats), *((planted, 1) for planted in detected)):
            found: list[CellResult] = []
            begun = time.monotonic()
            for _ in range(times):
                planted = replace(plan, slow_down=slow_down)
                found += sample(trees, cells, planted, on_progress=on_progress)[0]
                every += [_cell_row(slow_down, result) for result in found[-len(cells) :]]
                write_table(pd.DataFrame(every), None, folder / "compare_selftest")
            rows.append(_row(slow_down, found, time.monotonic() - begun))
    frame = pd.DataFrame(rows)
    shown = _readable(frame)
    write_table(frame, shown, folder / "tables" / "compare_selftest")
    most = _MOST_UNDER_LOAD if load else _MOST_FALSE_ALARMS
    asked = [bool(frame.rate[0] <= most)]
    asked += [bool(frame.rate[k] >= least) for k, least in enumerate(detected.values(), start=1)]
    words = [
        str(shown.to_markdown(index=False, disable_numparse=True)),
        "",
        f"Asked: at most {most:.0%} of the same commit's cells SLOWER"
        + ("" if load else ", 80% of 5% slow-downs found, 95% of 10%")
        + f": {'met' if all(asked) else 'NOT met'}.",
        f"{len(cells)} cells a comparison, "
        f"{f'{load} busy processes beside it' if load else 'no load added'}, "
        f"{(time.monotonic() - start) / 60:.1f} minutes.",
    ]
    return SelfTest("\n".join(words), all(asked))


def _row(slow_down: float, found: Sequence[CellResult], seconds: float) -> dict[str, object]:
    counted = Counter(result.verdict for result in found)
    hits = counted["SLOWER"]
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
            "planted": [f"{p:.0%} slower" if p else "nothing" for p in frame.planted],
            **{
                name: frame[name]
                for name in ("cells", "SLOWER", "FASTER", "SAME", "INCONCLUSIVE", "other")
            },
            "SLOWER of all (95% interval)": [
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
