"""The tables of a roofline, each computed once: full numbers, and as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.command import text
from bench.command.tables import rows_of
from bench.roofline.samples import READ, Case, Requirement, Roofline
from bench.statistics.intervals import median_interval, ratio_interval

_MEASURED = ("median_s", "low_s", "high_s", "gb_per_s", "of_read", "of_read_low", "of_read_high")


@dataclass(frozen=True)
class Tables:
    """Every table of one roofline.

    Args:
        calls: see `calls_table`.
        requirements: see `requirement_table`; empty where no case has any.
        readable_calls, readable_requirements: the same with units.
        reasons: why calls were not measured, a line for each reason.
    """

    calls: pd.DataFrame
    requirements: pd.DataFrame
    readable_calls: pd.DataFrame
    readable_requirements: pd.DataFrame
    reasons: list[str]


def tables_of(roofline: Roofline) -> Tables:
    """All tables of a roofline."""
    calls, requirements = calls_table(roofline), requirement_table(roofline)
    not_measured = calls[calls["reason"] != ""]
    return Tables(
        calls,
        requirements,
        pd.DataFrame(map(_readable_call, rows_of(calls))),
        pd.DataFrame(map(_readable_requirement, rows_of(requirements))),
        list(dict.fromkeys(not_measured["entry"] + ": " + not_measured["reason"])),
    )


def calls_table(roofline: Roofline) -> pd.DataFrame:
    """One row for each case and call.

    Columns: `case`, `entry` (the call), `dtype`, `device`, `n_samples`, `n_features`; `x`, where X
    lies, and `x_bytes`; `traffic_bytes` by the traffic model, and `reason` if it was not measured.
    `median_s` has its 95% interval `low_s`, `high_s`; `gb_per_s` is traffic_bytes / median_s / 1e9.
    `of_read` is the time to read X once over the time of the call, round by round, with its
    interval. A call that moves X twice can't exceed 0.5.
    """
    rows = []
    for case in roofline.cases:
        for call in case.entries:
            row: dict[str, Any] = {
                "case": case.name,
                "entry": call.name,
                "dtype": case.dtype,
                "device": case.device,
                "n_samples": case.n_samples,
                "n_features": case.n_features,
                "x": case.state,
                "x_bytes": case.x_bytes,
                "traffic_bytes": call.traffic_bytes,
                "reason": call.reason,
                **dict.fromkeys(_MEASURED),
            }
            if call.seconds_per_call:
                time = median_interval(call.seconds_per_call)
                row |= {"median_s": time.median, "low_s": time.low, "high_s": time.high}
                if call.traffic_bytes is not None and time.median:
                    row["gb_per_s"] = call.traffic_bytes / time.median / 1e9
                if read := case.samples(READ):
                    share = ratio_interval(call.seconds_per_call, read)
                    row["of_read"] = share.median
                    row |= {"of_read_low": share.low, "of_read_high": share.high}
            rows.append(row)
    return pd.DataFrame(rows)


def requirement_table(roofline: Roofline) -> pd.DataFrame:
    """One row for each requirement, with what was measured.

    Columns: `case`, `entry`, `asked` in words, `at_most`, `is_ratio`; `measured` with `low` and
    `high`, time over time or seconds; `verdict`: "met", "missed" or "not measured", by the median.
    """
    rows = []
    for case in roofline.cases:
        for requirement in case.asked:
            measured, low, high = _measured(case, requirement)
            verdict = "not measured"
            if measured is not None:
                verdict = "met" if measured <= requirement.at_most else "missed"
            rows.append(
                {
                    "case": case.name,
                    "entry": requirement.entry,
                    "asked": requirement.words,
                    "at_most": requirement.at_most,
                    "is_ratio": bool(requirement.beside),
                    "measured": measured,
                    "low": low,
                    "high": high,
                    "verdict": verdict,
                }
            )
    return pd.DataFrame(rows)


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """What two runs of the same cases measured of each requirement, as people read it.

    Args:
        first, second: their `requirement_table`.
    Returns:
        One row for each that both measured; `agree` is "yes" where their intervals overlap.
    """
    if first.empty or second.empty:
        return pd.DataFrame()
    both = first.merge(second, on=["case", "entry", "asked"], suffixes=("_first", "_second"))
    both = both.dropna(subset=["measured_first", "measured_second"])
    shown = both[["case", "entry", "asked"]].rename(columns={"entry": "kernel"})
    for run in ("first", "second"):
        ends = both[[f"{name}_{run}" for name in ("measured", "low", "high")]]
        shown[run] = ["{:.3g} [{:.3g}-{:.3g}]".format(*row) for row in ends.to_numpy(float)]
    low, high = both[["low_first", "low_second"]], both[["high_first", "high_second"]]
    shown["agree"] = np.where(low.max(axis=1) <= high.min(axis=1), "yes", "no")
    return shown


def _measured(case: Case, requirement: Requirement) -> tuple[float | None, ...]:
    """The median of what is required, and the ends of its interval."""
    times, beside = case.samples(requirement.entry), case.samples(requirement.beside)
    if not times or (requirement.beside and not beside):
        return None, None, None
    found = ratio_interval(beside, times) if requirement.beside else median_interval(times)
    return found.median, found.low, found.high


def _readable_call(row: dict[str, Any]) -> dict[str, str]:
    time, n_bytes, speed, share = "not measured", "", "", ""
    if not pd.isna(row["median_s"]):
        time = text.seconds_with_range(row["median_s"], row["low_s"], row["high_s"])
    if not pd.isna(row["gb_per_s"]):
        n_bytes, speed = f"{row['traffic_bytes'] / 1e6:,.4g} MB", f"{row['gb_per_s']:.3g}"
    if not pd.isna(row["of_read"]):
        share = f"{row['of_read']:.0%} [{row['of_read_low']:.0%}-{row['of_read_high']:.0%}]"
    return {
        "case": row["case"],
        "X": row["x"],
        "kernel": row["entry"],
        "per call [95% interval]": time,
        "bytes": n_bytes,
        "GB/s": speed,
        "of the read speed": share,
    }


def _readable_requirement(row: dict[str, Any]) -> dict[str, str]:
    """What was asked for as "x faster" is shown as that."""
    median, low, high = row["measured"], row["low"], row["high"]
    if row["verdict"] == "not measured":
        shown = "-"
    elif not row["is_ratio"]:
        shown = text.seconds_with_range(median, low, high)
    elif "faster" in row["asked"]:
        shown = f"{1 / median:.2f} x [{1 / high:.2f}-{1 / low:.2f}]"
    else:
        shown = f"{median:.2f} x [{low:.2f}-{high:.2f}]"
    return {
        "case": row["case"],
        "kernel": row["entry"],
        "asked": row["asked"],
        "measured [95% interval]": shown,
        "": row["verdict"],
    }
