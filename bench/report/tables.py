"""The report's tables: from the records' data frames to what a reader compares."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.command import text
from bench.command.tables import rows_of
from bench.report.misses import why_missed
from bench.statistics.intervals import median_interval
from bench.statistics.runtimes import expected_running_time, restart_percentiles

SHOWN_TARGETS = ("1e-3", "1e-6", "1e-9")
"""Targets in tables and plots; `scores.csv` has all ten."""

WAY = ["kernel", "device", "dtype"]
"""How an optimizer was run; together with problem and optimizer, one row of a table."""


def times_to_target(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, optimizer and way of running it, the fastest to 1e-6 first.

    Columns: the row's names, `runs`, `sampling`, `status` (each with its count where they differ),
    for each target in `SHOWN_TARGETS` `time_to_<t>_s` (the median over runs, a miss counting as
    later than every hit; missing where the median is a miss), `..._low_s` and `..._high_s` (its
    95% bootstrap interval over seeds and repetitions; missing where beyond what was run),
    `hits_<t>` (how many runs met it), `ert_<t>_s` (expected running time with restarts) and
    `restarts_<t>_low_s`, `..._high_s` (95% of restarted runs take as long as that),
    `passes_to_1e-6` (as the time; missing where passes are not counted), `counts_passes`,
    `relative_gap` (median at the end; a run that failed or was lost counts as infinitely far),
    `resolution`, `run_s`, `test_accuracy` and `label_agreement` (medians), and `why_missed`.
    Nothing in a row depends on another row.

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
            interval = median_interval(times, group["seed"])
            row[f"hits_{target}"] = interval.hits
            row[f"time_to_{target}_s"] = interval.median
            row[f"time_to_{target}_low_s"] = interval.low
            row[f"time_to_{target}_high_s"] = interval.high
            spent = group["run_s"].fillna(group["budget_s"]).fillna(0.0)
            row[f"ert_{target}_s"] = expected_running_time(times, spent)
            restarts = restart_percentiles(times, spent) or (None, None, None)
            row[f"restarts_{target}_low_s"], _, row[f"restarts_{target}_high_s"] = restarts
        met = group[group["time_to_1e-6_s"].notna()]
        counted = met["passes_to_1e-6"].notna().all()
        passes = median_interval(group["passes_to_1e-6"]).median if counted else None
        row["passes_to_1e-6"] = passes
        row["counts_passes"] = bool(counted)
        for name in ("run_s", "resolution", "test_accuracy", "label_agreement"):
            row[name] = group[name].median()
        row["relative_gap"] = median_or_lost(group["relative_gap"])
        row["why_missed"] = why_missed(group, SHOWN_TARGETS)
        rows.append(row)
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    numbers = [name for name in map(str, frame) if name.endswith("_s") or name == "passes_to_1e-6"]
    frame = frame.astype(dict.fromkeys(numbers, float))  # a column of misses alone is one, too
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
        shown["kernel"] = way_name(row, constant)
        if row["sampling"] == "refits":
            shown["kernel"] += " (refits)"
        for target in SHOWN_TARGETS:
            shown[f"time to {target}"] = _time_or_miss(row, target)
        passes = row["passes_to_1e-6"]
        uncounted = text.MISSED if row["counts_passes"] else "-"
        shown["passes to 1e-6"] = uncounted if pd.isna(passes) else f"{passes:.0f}"
        some = 0 < row["hits_1e-6"] < row["runs"]
        shown["to 1e-6 with restarts"] = _restarts(row) if some else "-"
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
    """Cells without a run, with the reason: one row per kernel, device and reason.

    Columns: `status, kernel, device, message, cells`, and `what`: the optimizers and problems
    that the reason is about, empty where it is about the kernel as a whole.
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


def _restarts(row: dict[str, Any]) -> str:
    """Expected running time, and the range of 95% of restarted runs."""
    low, high = row["restarts_1e-6_low_s"], row["restarts_1e-6_high_s"]
    return text.seconds_with_range(row["ert_1e-6_s"], low, high)


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
