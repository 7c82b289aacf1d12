"""The report's tables: from the records' data frames to what a reader compares."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report import text
from bench.results import Results

SHOWN_TARGETS = ("1e-3", "1e-6", "1e-9")
"""Targets in tables and plots; `scores.csv` has all ten."""

WAY = ["kernel", "device", "dtype"]
"""How an optimizer was run; together with problem and optimizer, one row of a table."""


def times_to_target(results: Results) -> pd.DataFrame:
    """One row per problem, optimizer and way of running it, the fastest to 1e-6 first.

    Columns: the row's names, `runs`, `status` (each with its count where they differ), for each
    target in `SHOWN_TARGETS` `time_to_<t>_s` (the median over runs), `..._low_s`, `..._high_s`
    (smallest and largest) and `hits_<t>` (how many runs met it), `passes_to_1e-6`,
    `relative_gap` (median at the end of the run), `run_s` (median), `test_accuracy` and
    `label_agreement`. A time is given only where every run met the target: a median over the
    hits alone would hide the misses.
    """
    rows = []
    scores = results.scores()
    scores = scores[scores["status"] != "unavailable"]
    for names, group in scores.groupby(["problem", "optimizer", *WAY], sort=False):
        row: dict[str, Any] = dict(zip(["problem", "optimizer", *WAY], names, strict=True))
        row["runs"] = len(group)
        row["status"] = _counted(group["status"])
        for target in SHOWN_TARGETS:
            times = group[f"time_to_{target}_s"]
            row[f"hits_{target}"] = int(times.notna().sum())
            everywhere = times.notna().all()
            row[f"time_to_{target}_s"] = times.median() if everywhere else None
            row[f"time_to_{target}_low_s"] = times.min() if everywhere else None
            row[f"time_to_{target}_high_s"] = times.max() if everywhere else None
        passes = group["passes_to_1e-6"]
        row["passes_to_1e-6"] = passes.median() if passes.notna().all() else None
        for name in ("relative_gap", "run_s", "test_accuracy", "label_agreement"):
            row[name] = group[name].median()
        rows.append(row)
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    order = pd.Categorical(frame["problem"], frame["problem"].unique(), ordered=True)
    keys = ["_order", *(f"time_to_{t}_s" for t in ("1e-6", "1e-3")), "relative_gap"]
    return (
        frame.assign(_order=order)
        .sort_values(keys, na_position="last", kind="stable")
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def readable_times(times: pd.DataFrame) -> pd.DataFrame:
    """`times_to_target` with units and ranges, as the page and the Markdown file show it."""
    rows = []
    constant = _constant(times)
    for row in rows_of(times):
        shown = {"problem": row["problem"], "optimizer": row["optimizer"]}
        shown["kernel"] = _way(row, constant)
        for target in SHOWN_TARGETS:
            shown[f"time to {target}"] = _time_or_miss(row, target)
        passes = row["passes_to_1e-6"]
        shown["passes to 1e-6"] = text.MISSED if pd.isna(passes) else f"{passes:.0f}"
        shown["gap at the end"] = text.gap(row["relative_gap"])
        shown["status"] = row["status"]
        accuracy = row["test_accuracy"]
        shown["test accuracy"] = "-" if pd.isna(accuracy) else f"{accuracy:.1%}"
        agreement = row["label_agreement"]
        shown["labels as at w*"] = "-" if pd.isna(agreement) else f"{agreement:.0%}"
        rows.append(shown)
    return pd.DataFrame(rows)


def kernel_times(results: Results) -> pd.DataFrame:
    """One row per problem and kernel: time per call of `value_and_grad`, and the ratio to the
    fastest of the kernels that took turns with it.

    Columns: names, `timed_beside`, `samples`, `median_s`, `low_s` and `high_s` (quartiles),
    `ratio`, `ratio_low` and `ratio_high` (quartiles of the ratios, sample by sample; missing for
    a kernel that was timed alone).
    """
    rows = []
    frame = results.kernel_times()
    for names, group in frame.groupby(["problem", "device", "dtype", "timed_beside"], sort=False):
        samples = group.pivot(index="sample", columns="kernel", values="seconds_per_call")
        fastest = samples[samples.median().idxmin()]
        for kernel in samples:
            times = samples[kernel].dropna()
            ratio = times / fastest if samples.shape[1] > 1 else pd.Series(dtype=float)
            rows.append(
                {
                    "problem": names[0],
                    "kernel": kernel,
                    "device": names[1],
                    "dtype": names[2],
                    "timed_beside": names[3],
                    "samples": len(times),
                    "median_s": times.median(),
                    "low_s": times.quantile(0.25),
                    "high_s": times.quantile(0.75),
                    "ratio": ratio.median(),
                    "ratio_low": ratio.quantile(0.25),
                    "ratio_high": ratio.quantile(0.75),
                }
            )
    return pd.DataFrame(rows)


def readable_kernel_times(kernels: pd.DataFrame) -> pd.DataFrame:
    """`kernel_times` with units."""
    rows = []
    constant = _constant(kernels)
    for row in rows_of(kernels):
        ratio = "the fastest"
        if pd.isna(row["ratio"]):
            ratio = "timed alone"
        elif row["ratio"] != 1:
            ratio = text.ratio_with_range(row["ratio"], row["ratio_low"], row["ratio_high"])
        rows.append(
            {
                "problem": row["problem"],
                "kernel": _way(row, constant),
                "time per call [quartiles]": text.seconds_with_range(
                    row["median_s"], row["low_s"], row["high_s"]
                ),
                "slower than the fastest by": ratio,
            }
        )
    return pd.DataFrame(rows)


def problems(results: Results) -> pd.DataFrame:
    """One row a problem: size, penalty, f*, and how it is proved."""
    return results.problems()


def readable_problems(frame: pd.DataFrame) -> pd.DataFrame:
    """`problems` with all digits of f*."""
    rows = []
    for row in rows_of(frame):
        proved = row["exists"] is True
        rows.append(
            {
                "problem": row["problem"],
                "n": row["n_samples"],
                "d": row["n_features"],
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


def not_run(results: Results) -> pd.DataFrame:
    """Cells without a run, with the reason: one row per kernel, device and reason."""
    scores = results.scores()
    kept = scores[scores["status"].isin(["unavailable", "failed"])]
    columns = ["status", "kernel", "device", "message"]
    grouped = kept.groupby(columns, sort=False).size()
    return grouped.rename("cells").reset_index()


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries by column name."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _way(row: dict[str, Any], constant: set[str]) -> str:
    """The kernel, with device and dtype unless they are the same in the whole table."""
    return ", ".join(str(row[name]) for name in WAY if name == "kernel" or name not in constant)


def _constant(frame: pd.DataFrame) -> set[str]:
    return {name for name in WAY if name in frame and frame[name].nunique() == 1}


def _time_or_miss(row: dict[str, Any], target: str) -> str:
    if pd.isna(row[f"time_to_{target}_s"]):
        hits = row[f"hits_{target}"]
        return text.MISSED if not hits else f"{hits} of {row['runs']} runs"
    low, high = row[f"time_to_{target}_low_s"], row[f"time_to_{target}_high_s"]
    return text.seconds_with_range(row[f"time_to_{target}_s"], low, high)


def _counted(statuses: pd.Series[str]) -> str:
    counts = statuses.value_counts()
    if len(counts) == 1:
        return str(counts.index[0])
    return ", ".join(f"{count} {status}" for status, count in counts.items())
