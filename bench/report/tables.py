"""Tables of times to target, of problems, and of cells that did not run."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.command import text
from bench.command.tables import rows_of
from bench.records import TARGETS
from bench.statistics.intervals import median_interval
from bench.statistics.runtimes import expected_running_time, restart_percentiles

SHOWN_TARGETS = ("1e-3", "1e-6", "1e-9")
"""Targets in tables and plots; `scores.csv` has all ten."""

WAY = ["kernel", "device", "dtype"]
"""The way that an optimizer was run. With problem and optimizer, it names a row."""


def times_to_target(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, optimizer, kernel, device and dtype, the fastest to 1e-6 first.

    Columns: names, `runs`, `sampling`, `status` (with counts where runs differ); for each target
    in `SHOWN_TARGETS` `time_to_<t>_s` (see `median_interval`; a miss is missing) with its interval
    `..._low_s` and `..._high_s`, `hits_<t>`, `ert_<t>_s` (see `expected_running_time`) and
    `restarts_<t>_low_s`, `..._high_s` (see `restart_percentiles`); `passes_to_1e-6`;
    `counts_passes`; `relative_gap` (median at the end, where a failed run is infinitely far);
    the medians `resolution`, `run_s`, `test_accuracy` and `label_agreement`; `why_missed`.
    No row depends on another.

    Args:
        scores: see `Results.scores`.
    """
    rows = []
    ran = scores[scores["status"] != "unavailable"]
    for names, group in ran.groupby(["problem", "optimizer", *WAY], sort=False):
        row: dict[str, Any] = dict(zip(["problem", "optimizer", *WAY], names, strict=True))
        row["runs"] = len(group)
        row["sampling"] = group["sampling"].max()
        row["status"] = _counted(group["status"])
        for target in SHOWN_TARGETS:
            times = group[f"time_to_{target}_s"]
            middle = median_interval(times, group["seed"])
            row |= {f"hits_{target}": middle.hits, f"time_to_{target}_s": middle.median}
            row |= {f"time_to_{target}_low_s": middle.low, f"time_to_{target}_high_s": middle.high}
            spent = group["run_s"].fillna(group["budget_s"]).fillna(0.0)
            row[f"ert_{target}_s"] = expected_running_time(times, spent)
            restarts = restart_percentiles(times, spent) or (None, None, None)
            row[f"restarts_{target}_low_s"], _, row[f"restarts_{target}_high_s"] = restarts
        met = group[group["time_to_1e-6_s"].notna()]
        counted = met["passes_to_1e-6"].notna().all()
        passes = median_interval(group["passes_to_1e-6"])
        row["passes_to_1e-6"] = passes.median if counted else None
        row["counts_passes"] = bool(counted)
        for name in ("run_s", "resolution", "test_accuracy", "label_agreement"):
            row[name] = group[name].median()
        row["relative_gap"] = median_or_lost(group["relative_gap"])
        row["why_missed"] = why_missed(group)
        rows.append(row)
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    numbers = [name for name in map(str, frame) if name.endswith("_s") or name == "passes_to_1e-6"]
    frame = frame.astype(dict.fromkeys(numbers, float))  # also a column of misses alone
    order = pd.Categorical(frame["problem"], frame["problem"].unique(), ordered=True)
    keys = ["_order", *(f"time_to_{t}_s" for t in ("1e-6", "1e-3")), "relative_gap"]
    return (
        frame.assign(_order=order)
        .sort_values(keys, na_position="last", kind="stable")
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def readable_times(times: pd.DataFrame) -> pd.DataFrame:
    """`times_to_target` with units and intervals, as the page and the Markdown file show it."""
    rows = []
    constant = constant_ways(times)
    for row in rows_of(times):
        shown = {"problem": row["problem"], "optimizer": row["optimizer"]}
        refits = " (refits)" if row["sampling"] == "refits" else ""
        shown["kernel"] = way_name(row, constant) + refits
        for target in SHOWN_TARGETS:
            shown[f"time to {target}"] = _time_or_miss(row, target)
        passes = row["passes_to_1e-6"]
        uncounted = text.MISSED if row["counts_passes"] else "-"
        shown["passes to 1e-6"] = uncounted if pd.isna(passes) else f"{passes:.0f}"
        low, high = row["restarts_1e-6_low_s"], row["restarts_1e-6_high_s"]
        shown["to 1e-6 with restarts"] = (
            text.seconds_with_range(row["ert_1e-6_s"], low, high)
            if 0 < row["hits_1e-6"] < row["runs"]
            else "-"
        )
        shown["gap at the end"] = text.gap(row["relative_gap"])
        shown["status"] = row["status"]
        shown["why missed"] = row["why_missed"] or "-"
        rows.append(shown)
    return pd.DataFrame(rows)


def readable_problems(frame: pd.DataFrame) -> pd.DataFrame:
    """`Results.problems` with all digits of f*."""
    rows = []
    for row in rows_of(frame):
        proved = row["exists"] is True
        rows.append(
            {
                "problem": row["problem"],
                "n": row["n_samples"],
                "d": row["n_features"],
                "classes": row["n_classes"],
                "l2": f"{row['l2']:g}",
                "f*": f"{row['f_star']:.15g}" if proved else "-",
                "f(w*) - f* at most": text.gap(row["gap_bound"]) if proved else "-",
                "optimum": {True: "proved", False: "proved not to exist"}.get(
                    row["exists"], "not known"
                ),
                "proof": row["reason"],
            }
        )
    return pd.DataFrame(rows)


def not_run(scores: pd.DataFrame) -> pd.DataFrame:
    """Cells that are unavailable or failed: one row per status, kernel, device and message.

    Columns: these names; `cells`, their number; and `what`, the optimizers and problems among
    them, empty where it is all of the kernel on that device.
    """
    kept = scores[scores["status"].isin(["unavailable", "failed"])]
    columns = ["status", "kernel", "device", "message"]
    rows = []
    for names, group in kept.groupby(columns, sort=False):
        same = (scores[["kernel", "device"]] == list(names[1:3])).all(axis=1)
        optimizers, on = (text.listing(list(group[n].unique())) for n in ("optimizer", "problem"))
        what = "" if len(group) == same.sum() else f"{optimizers} on {on}"
        row = dict(zip(columns, names, strict=True))
        rows.append(row | {"cells": len(group), "what": what})
    return pd.DataFrame(rows, columns=[*columns, "cells", "what"])


def way_name(row: dict[str, Any], constant: set[str]) -> str:
    """The kernel, with device and dtype unless they are the same in the whole table."""
    return ", ".join(str(row[name]) for name in WAY if name == "kernel" or name not in constant)


def constant_ways(frame: pd.DataFrame) -> set[str]:
    """Those of `WAY` that are the same in all rows."""
    return {name for name in WAY if name in frame and frame[name].nunique() == 1}


def median_or_lost(values: pd.Series) -> float | None:
    """The median, with a missing value counting as infinite; None where that is the median."""
    median = float(values.fillna(math.inf).median())
    return median if math.isfinite(median) else None


def _time_or_miss(row: dict[str, Any], target: str) -> str:
    hits, runs = row[f"hits_{target}"], row["runs"]
    counted = "" if hits == runs else f"{hits} of {runs} runs"
    if pd.isna(row[f"time_to_{target}_s"]):
        return counted if hits else text.MISSED
    low, high = row[f"time_to_{target}_low_s"], row[f"time_to_{target}_high_s"]
    shown = text.seconds_with_range(row[f"time_to_{target}_s"], low, high)
    return f"{shown}, {counted}" if counted else shown


def _counted(statuses: pd.Series[str]) -> str:
    counts = statuses.value_counts()
    if len(counts) == 1:
        return str(counts.index[0])
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def why_missed(runs: pd.DataFrame) -> str:
    """Why the finest target was missed, in a clause; empty where no run missed it.

    Args:
        runs: rows of `Results.scores`, of one problem, optimizer and way.
    """
    finest = SHOWN_TARGETS[-1]
    missed = runs[runs[f"time_to_{finest}_s"].isna()]
    if missed.empty:
        return ""
    if missed["gap"].isna().all() and missed["status"].isin(["converged", "budget"]).all():
        return "no proved optimum to measure against"
    clauses = [_why(row, TARGETS[finest]) for _, row in missed.iterrows()]
    return "; ".join(dict.fromkeys(clauses))


def _why(run: pd.Series, target: float) -> str:
    if run["status"] == "failed":
        return str(run["message"])
    if run["status"] == "diverged":
        return "diverged: it ended above its start"
    if pd.isna(run["relative_gap"]):
        return "the start is the optimum already, to what can be told apart"
    if run["resolution"] > target:
        return f"below what can be told apart ({text.gap(run['resolution'])})"
    if run["status"] == "converged":
        return "its own stopping test ended it"
    if run["passes"] >= run["budget_passes"]:
        return f"{run['budget_passes']:g} passes spent"
    if run["sampling"] == "refits" and run["steps"] >= run["budget_passes"]:
        return f"{run['budget_passes']:g} iterations spent"
    if pd.isna(run["budget_s"]):
        return "its budget is not on record"
    # A solver that is fitted anew is held to the budget fit by fit.
    if run["run_s"] >= 0.9 * run["budget_s"]:
        return f"{text.seconds(run['budget_s'])} spent"
    return "it stopped without meeting its own test"
