"""Tables and the plot of a roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from bench.command import text
from bench.command.figures import COLOURS, plain, plot_style
from bench.roofline.samples import READ, Asked, Case, Entry, Roofline
from bench.statistics.intervals import median_interval, ratio_interval

# Those of every roofline have the same colour in each; others get what is left.
_KNOWN = ("torch-autograd", "fused-cpu", "fused-cuda", "torch-compile", "numpy", "jax")


def entries(roofline: Roofline) -> pd.DataFrame:
    """One row per case and entry.

    Columns: case, entry, where X lies, `median_s` with its 95% interval, bytes by the traffic
    model and what they come to in GB/s, and `of_read`: the time to read X over the entry's, round
    by round, with its interval. An entry that moves X twice can't be above 0.5.
    """
    rows = []
    for case in roofline.cases:
        read = case.samples(READ)
        for entry in case.entries:
            row: dict[str, Any] = {
                "case": case.name,
                "entry": entry.name,
                "dtype": case.dtype,
                "device": case.device,
                "n_samples": case.n_samples,
                "n_features": case.n_features,
                "x": case.state,
                "x_bytes": case.x_bytes,
                "traffic_bytes": entry.traffic_bytes,
                "reason": entry.reason,
            }
            if entry.seconds_per_call:
                middle = median_interval(entry.seconds_per_call)
                row |= {"median_s": middle.median, "low_s": middle.low, "high_s": middle.high}
                if entry.traffic_bytes is not None and middle.median:
                    row["gb_per_s"] = entry.traffic_bytes / middle.median / 1e9
                if read:
                    share = ratio_interval(entry.seconds_per_call, read)
                    row |= {
                        "of_read": share.median,
                        "of_read_low": share.low,
                        "of_read_high": share.high,
                    }
            rows.append(row)
    columns = ["median_s", "low_s", "high_s", "gb_per_s", "of_read", "of_read_low", "of_read_high"]
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=[*frame.columns, *(c for c in columns if c not in frame)])


def readable_entries(frame: pd.DataFrame) -> pd.DataFrame:
    """`entries` with units."""
    rows = []
    for row in frame.to_dict("records"):
        measured = not pd.isna(row["median_s"])
        shown = {
            "case": row["case"],
            "X": row["x"],
            "kernel": row["entry"],
            "per call [95% interval]": "not measured",
            "bytes": "",
            "GB/s": "",
            "of the read speed": "",
        }
        if measured:
            shown["per call [95% interval]"] = text.seconds_with_range(
                row["median_s"], row["low_s"], row["high_s"]
            )
            if not pd.isna(row["gb_per_s"]):
                shown["bytes"] = f"{row['traffic_bytes'] / 1e6:,.4g} MB"
                shown["GB/s"] = f"{row['gb_per_s']:.3g}"
            if not pd.isna(row["of_read"]):
                ends = f"{row['of_read_low']:.0%}-{row['of_read_high']:.0%}"
                shown["of the read speed"] = f"{row['of_read']:.0%} [{ends}]"
        rows.append(shown)
    return pd.DataFrame(rows)


def reasons(frame: pd.DataFrame) -> list[str]:
    """Why entries of `entries` were not measured, a line for each reason."""
    found = frame[frame["reason"] != ""]
    return list(dict.fromkeys(f"{r['entry']}: {r['reason']}" for r in found.to_dict("records")))


def verdicts(roofline: Roofline) -> pd.DataFrame:
    """What each case is held to, beside what was measured.

    Columns: `case`, `asked`, `at_most`, `measured` with `low` and `high`, ratios of time over time
    (or seconds), and `verdict`: "met", "missed" or "not measured", by the median.
    """
    rows = []
    for case in roofline.cases:
        for asked in case.asked:
            middle, low, high = _measured(case, asked)
            verdict = "not measured"
            if middle is not None:
                verdict = "met" if middle <= asked.at_most else "missed"
            rows.append(
                {
                    "case": case.name,
                    "entry": asked.entry,
                    "asked": asked.words,
                    "at_most": asked.at_most,
                    "is_ratio": bool(asked.beside),
                    "measured": middle,
                    "low": low,
                    "high": high,
                    "verdict": verdict,
                }
            )
    return pd.DataFrame(rows)


def readable_verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """`verdicts` in words: a ratio asked for as "x faster" is shown as that."""
    rows = []
    for row in frame.to_dict("records"):
        shown = "-"
        if row["verdict"] != "not measured":
            middle, low, high = row["measured"], row["low"], row["high"]
            if not row["is_ratio"]:
                shown = text.seconds_with_range(middle, low, high)
            elif "faster" in row["asked"]:
                shown = f"{1 / middle:.2f} x [{1 / high:.2f}-{1 / low:.2f}]"
            else:
                shown = f"{middle:.2f} x [{low:.2f}-{high:.2f}]"
        rows.append(
            {
                "case": row["case"],
                "kernel": row["entry"],
                "asked": row["asked"],
                "measured [95% interval]": shown,
                "": row["verdict"],
            }
        )
    return pd.DataFrame(rows)


def agreement(first: Roofline, second: Roofline) -> pd.DataFrame:
    """Two runs of the same cases: what each is held to, both times.

    Columns: `case`, `asked`, `first` and `second` with their ends, and whether the intervals
    overlap.
    """
    a, b = verdicts(first), verdicts(second)
    if a.empty or b.empty:
        return pd.DataFrame()
    both = a.merge(b, on=["case", "entry", "asked"], suffixes=("_first", "_second"))
    both = both.dropna(subset=["measured_first", "measured_second"])
    both["agree"] = (both["low_first"] <= both["high_second"]) & (
        both["low_second"] <= both["high_first"]
    )
    names = ["measured_first", "low_first", "high_first"]
    names += [name.replace("first", "second") for name in names]
    return both[["case", "entry", "asked", *names, "agree"]]


def plot(roofline: Roofline) -> Figure:
    """How near to the roof: by case and, where sizes were swept, by the size of X.

    Left: for each case X's read speed, as a fraction of what reading X once takes beside it; what
    reads X twice can't pass one half. Right: X's bytes over the time of a call against the size
    of X, below the measured roof, hot in cache and cold.
    """
    measured = [case for case in roofline.cases if case.samples(READ)]
    cases = [case for case in measured if case.asked] or measured
    drawn = [e.name for case in measured for e in case.entries if _is_drawn(e)]
    names = [
        *(n for n in _KNOWN if n in drawn),
        *(n for n in dict.fromkeys(drawn) if n not in _KNOWN),
    ]
    others = [c for c in COLOURS if c not in COLOURS[: len(_KNOWN)] and c != "#000000"]
    colours = dict(zip(_KNOWN, COLOURS, strict=False))
    for number, name in enumerate(n for n in names if n not in _KNOWN):
        colours[name] = others[number % len(others)]
    sweep = _sweep(measured)
    with plot_style():
        size = (13 if sweep else 7.5, max(4.2, 1.2 + 0.9 * len(cases)))
        ratios = (1, 1.1) if sweep else (1,)
        figure, panels = plt.subplots(
            1, len(ratios), figsize=size, width_ratios=ratios, squeeze=False
        )
        _bars(panels[0, 0], cases, colours)
        if sweep:
            _speeds(panels[0, 1], sweep, roofline.caches, colours)
            panels[0, 1].plot([], [], color="black", lw=2.2, label="the roof: reading X once")
        for name in names:
            panels[0, -1].plot([], [], color=colours[name], lw=4, label=plain(name))
        figure.legend(loc="outside lower center", ncols=7 if sweep else 4, frameon=False)
    plt.close(figure)
    return figure


def _is_drawn(entry: Entry) -> bool:
    """Kernels, and others with a traffic model, but for the roof itself."""
    measured = bool(entry.seconds_per_call) and entry.traffic_bytes is not None
    return measured and entry.name != READ


def _measured(case: Case, asked: Asked) -> tuple[float | None, float | None, float | None]:
    times = case.samples(asked.entry)
    if not times:
        return None, None, None
    if not asked.beside:
        alone = median_interval(times)
        return alone.median, alone.low, alone.high
    beside = case.samples(asked.beside)
    if not beside:
        return None, None, None
    ratio = ratio_interval(beside, times)
    return ratio.median, ratio.low, ratio.high


def _bars(panel: Axes, cases: Sequence[Case], colours: Mapping[str, str]) -> None:
    """A bar for each kernel of each case: time to read X over time of a call."""
    ticks, labels, at = [], [], 0.0
    for case in cases:
        read = case.samples(READ)
        start = at
        for entry in case.entries:
            if not _is_drawn(entry):
                continue
            share = ratio_interval(entry.seconds_per_call, read)
            if share.median is None or not math.isfinite(share.median):
                continue
            panel.barh(at, share.median, height=0.8, color=colours[entry.name])
            panel.plot([share.low, share.high], [at, at], color="black", lw=1)
            panel.text(
                max(share.median, share.high) + 0.01,
                at,
                f"{share.median:.0%}",
                va="center",
                fontsize=7.5,
            )
            at += 1
        if at > start:
            ticks.append((start + at - 1) / 2)
            labels.append(plain(case.name.replace(" float", "\nfloat").replace(", 2", ",\n2")))
        at += 0.8
    panel.axvline(1, color="black", lw=1.5)
    panel.axvline(0.5, color="black", lw=0.8, ls=":")
    for at_share, words in ((1.0, "reading X once"), (0.5, "twice")):
        above = panel.get_xaxis_transform()
        panel.text(at_share, 1.01, words, ha="center", fontsize=8.5, transform=above)
    panel.set_yticks(ticks, labels, fontsize=8.5)
    panel.set_xlim(0, 1.18)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("time to read X once / time of a call (more is faster)")
    panel.set_title("How near to the roof", loc="left")


def _sweep(cases: Sequence[Case]) -> dict[tuple[str, bool], list[tuple[float, float]]]:
    """(bytes of X, X's bytes a second) by entry and whether caches were swept; empty if none was.

    What comes from memory anyway belongs to both.
    """
    points: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    swept = {(case.n_features, case.dtype) for case in cases if case.state == "cold"}
    for case in cases:
        if (case.n_features, case.dtype) not in swept or case.name.startswith("batch"):
            continue
        for entry in case.entries:
            if entry.name == READ or _is_drawn(entry):
                speed = case.x_bytes / float(np.median(entry.seconds_per_call))
                for cold in (False, True):
                    if case.state == "from memory" or cold == (case.state == "cold"):
                        points.setdefault((entry.name, cold), []).append((case.x_bytes, speed))
    return points


def _speeds(
    panel: Axes,
    points: Mapping[tuple[str, bool], list[tuple[float, float]]],
    caches: Mapping[str, int],
    colours: Mapping[str, str],
) -> None:
    """X's bytes a second against X's bytes, a line for each kernel; dashed where X was cold."""
    for (name, cold), line in points.items():
        x, y = zip(*sorted(line), strict=True)
        panel.plot(
            x,
            y,
            color="black" if name == READ else colours[name],
            ls="--" if cold else "-",
            lw=2.2 if name == READ else 1.6,
            marker="o",
            ms=3.5,
        )
    panel.set_xscale("log")
    panel.set_yscale("log")
    for name, size in sorted(caches.items()):
        panel.axvline(size, color="grey", lw=0.8, ls=":")
        panel.text(size, 0.02, f" {name}", transform=panel.get_xaxis_transform(), fontsize=8.5)
    panel.xaxis.set_major_formatter(EngFormatter(unit="B"))
    panel.yaxis.set_major_formatter(EngFormatter(unit="B/s"))
    panel.set_xlabel("size of X (solid: calls repeat, dashed: caches swept before each)")
    panel.set_title("X's bytes per second of a call", loc="left")
