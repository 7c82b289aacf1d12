"""The table of kernels: time per call, and ratios of those that were timed in turns."""

from __future__ import annotations

import pandas as pd

from bench.command import text
from bench.command.tables import rows_of
from bench.report.tables import constant_ways, way_name


def kernel_times(samples: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, kernel, device and dtype, and per set of kernels timed in turns.

    Columns: names, `timed_beside`, `samples`; seconds per call of `value_and_grad`: `median_s`, and
    the quartiles `low_s` and `high_s`; the ratio to the fastest of the set, sample by sample:
    `ratio` (median), `ratio_low` and `ratio_high` (quartiles), missing for a kernel timed alone.

    Args:
        samples: see `Results.kernel_times`.
    """
    rows = []
    for names, group in samples.groupby(["problem", "device", "dtype", "timed_beside"], sort=False):
        times_of = group.pivot(index="sample", columns="kernel", values="seconds_per_call")
        fastest = times_of[times_of.median().idxmin()]
        for kernel in times_of:
            times = times_of[kernel].dropna()
            ratio = times / fastest if times_of.shape[1] > 1 else pd.Series(dtype=float)
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
    constant = constant_ways(kernels)
    for row in rows_of(kernels):
        ratio = "the fastest"
        if pd.isna(row["ratio"]):
            ratio = "timed alone"
        elif row["ratio"] != 1:
            ratio = text.ratio_with_range(row["ratio"], row["ratio_low"], row["ratio_high"])
        rows.append(
            {
                "problem": row["problem"],
                "kernel": way_name(row, constant),
                "time per call [quartiles]": text.seconds_with_range(
                    row["median_s"], row["low_s"], row["high_s"]
                ),
                "slower than the fastest by": ratio,
            }
        )
    return pd.DataFrame(rows)
