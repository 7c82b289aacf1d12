"""Tables of each optimizer over all problems, and of the models that its runs ended with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.command import text
from bench.command.tables import rows_of
from bench.records import TARGETS
from bench.report.tables import SHOWN_TARGETS, WAY, constant_ways, median_or_lost, way_name
from bench.statistics.intervals import success_rate_interval
from bench.statistics.runtimes import censored_geometric_mean

_SHIFT_S = 1e-3
"""Shift of the geometric mean: times well below a millisecond count alike."""

_LOST_AT_INFINITY = ("relative_gap", "distance_to_optimum")
_QUALITY = (
    "test_nll",
    "test_accuracy",
    "test_brier",
    "test_calibration_error",
    "label_agreement",
)


def scored(scores: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
    """The runs on problems with a proved optimum, without those that were unavailable."""
    with_optimum = set(problems.loc[problems["exists"] == True, "problem"])  # noqa: E712 - object
    return scores[scores["problem"].isin(with_optimum) & (scores["status"] != "unavailable")]


def times_of(runs: pd.DataFrame, targets: tuple[str, ...] = tuple(TARGETS)) -> NDArray[np.float64]:
    """Seconds to each target of each run, NaN for a miss, shape (runs, targets)."""
    return runs[[f"time_to_{target}_s" for target in targets]].to_numpy(dtype=np.float64)


def spent_of(runs: pd.DataFrame) -> NDArray[np.float64]:
    """Seconds that a miss counts with, shape (runs,): its budget, also where it ended early."""
    used = runs[["run_s", "budget_s"]].max(axis=1).fillna(0.0)  # no budget in records of format 1
    return used.to_numpy(dtype=np.float64)


def summary(scored: pd.DataFrame) -> pd.DataFrame:
    """One row per optimizer, kernel, device and dtype, over all problems that it was run on.

    Columns: names, `problems`, `runs`; for each target in `SHOWN_TARGETS` `hits_<t>`, and the
    success rate `rate_<t>` with its 95% Wilson interval `..._low` and `..._high`; `solved`, the
    fraction of all problems x targets x runs; `mean_time_s`, the shifted geometric mean of the
    times to 1e-6, a lower bound where `mean_time_misses` > 0; `area_log_gap`, the mean over the
    runs in decades. Sorted by `solved`, then by `mean_time_s`. No row depends on another.
    """
    rows = []
    for names, runs in scored.groupby(["optimizer", *WAY], sort=False):
        row: dict[str, Any] = dict(zip(["optimizer", *WAY], names, strict=True))
        row |= {"problems": runs["problem"].nunique(), "runs": len(runs)}
        for target in SHOWN_TARGETS:
            hits = int(runs[f"time_to_{target}_s"].notna().sum())
            low, high = success_rate_interval(hits, len(runs))
            row |= {f"hits_{target}": hits, f"rate_{target}": hits / len(runs)}
            row |= {f"rate_{target}_low": low, f"rate_{target}_high": high}
        row["solved"] = float(np.isfinite(times_of(runs)).mean())
        mean = censored_geometric_mean(times_of(runs, ("1e-6",))[:, 0], spent_of(runs), _SHIFT_S)
        row |= {"mean_time_s": mean.value, "mean_time_misses": mean.misses}
        area = runs["area_log_gap"]
        # A run that left no curve is no better than its start: 0 decades.
        row["area_log_gap"] = area.fillna(0.0).mean() if area.notna().any() else None
        rows.append(row)
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    return frame.sort_values(
        ["solved", "mean_time_s"], ascending=[False, True], kind="stable"
    ).reset_index(drop=True)


def readable_summary(frame: pd.DataFrame) -> pd.DataFrame:
    """`summary` with units and intervals."""
    constant = constant_ways(frame)
    rows = []
    for row in rows_of(frame):
        shown = {"optimizer": row["optimizer"], "kernel": way_name(row, constant)}
        shown["problems"] = row["problems"]
        for target in SHOWN_TARGETS:
            low, high = row[f"rate_{target}_low"], row[f"rate_{target}_high"]
            shown[f"runs to {target}"] = (
                f"{row[f'hits_{target}']} of {row['runs']} [{low:.0%}-{high:.0%}]"
            )
        shown["of all targets"] = f"{row['solved']:.0%}"
        bound = "≥ " if row["mean_time_misses"] else ""
        shown["mean time to 1e-6"] = bound + text.seconds(row["mean_time_s"])
        area = row["area_log_gap"]
        shown["mean log10 gap"] = "-" if pd.isna(area) else f"{area:.1f}"
        rows.append(shown)
    return pd.DataFrame(rows)


def quality(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, optimizer, kernel, device and dtype: medians of its runs at their end.

    Columns: names, `relative_gap`, and those of `bench.score.quality`. In `relative_gap` and
    `distance_to_optimum` a run that failed counts as infinitely far.
    """
    rows = []
    ran = scores[scores["status"] != "unavailable"]
    for names, runs in ran.groupby(["problem", "optimizer", *WAY], sort=False):
        row: dict[str, Any] = dict(zip(["problem", "optimizer", *WAY], names, strict=True))
        row |= {name: median_or_lost(runs[name]) for name in _LOST_AT_INFINITY}
        rows.append(row | {name: runs[name].median() for name in _QUALITY})
    columns = ["problem", "optimizer", *WAY, "relative_gap", *_QUALITY, "distance_to_optimum"]
    return pd.DataFrame(rows, columns=columns)


def readable_quality(frame: pd.DataFrame) -> pd.DataFrame:
    """`quality`, rounded."""

    def show(value: float, form: str) -> str:
        return "-" if pd.isna(value) else format(value, form)

    constant = constant_ways(frame)
    return pd.DataFrame(
        [
            {
                "problem": row["problem"],
                "optimizer": row["optimizer"],
                "kernel": way_name(row, constant),
                "gap at the end": text.gap(row["relative_gap"]),
                "test NLL": show(row["test_nll"], ".4f"),
                "accuracy": show(row["test_accuracy"], ".1%"),
                "Brier score": show(row["test_brier"], ".4f"),
                "calibration error": show(row["test_calibration_error"], ".3f"),
                "labels as at w*": show(row["label_agreement"], ".0%"),
                "distance to w*": show(row["distance_to_optimum"], ".1e"),
            }
            for row in rows_of(frame)
        ]
    )
