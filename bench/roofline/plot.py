"""The plot of a roofline: how near each kernel is to reading its X once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from bench.command.figures import COLOURS, plain, plot_style
from bench.roofline.samples import READ
from bench.roofline.tables import Tables

# Each has the same colour in every roofline; other kernels get the colours that are left.
_KNOWN = ("torch-autograd", "fused-cpu", "fused-cuda", "torch-compile", "numpy", "jax")
_LEFT = [colour for colour in COLOURS[len(_KNOWN) :] if colour != "#000000"]


def plot(tables: Tables, caches: Mapping[str, int]) -> Figure:
    """The share of the read speed, by case; and where sizes were swept, by the size of X.

    Left: for each case, the time to read X once over the time of a call. A kernel that reads X
    twice can't pass one half. Right: X's bytes over the time of a call against the size of X,
    below the roof that was measured; X is hot in cache, or cold.

    Args:
        tables: of the roofline; calls without a traffic model are left out.
        caches: bytes of the caches, by name.
    """
    calls = tables.calls
    share = calls["of_read"].astype(float)
    drawn = calls[np.isfinite(share) & calls["traffic_bytes"].notna()]
    kernels = drawn[drawn["entry"] != READ]
    others = [name for name in kernels["entry"].unique() if name not in _KNOWN]
    colours = {**dict(zip(_KNOWN, COLOURS, strict=False)), **dict(zip(others, cycle(_LEFT)))}
    names = [name for name in colours if name in set(kernels["entry"])]
    required = kernels["case"].isin(tables.requirements.get("case", ()))
    bars = kernels[required] if required.any() else kernels
    sweep = _sweep(drawn)
    with plot_style():
        height = max(4.2, 1.2 + 0.9 * bars["case"].nunique())
        width, columns, ratios = (7.5, 4, (1,)) if sweep.empty else (13, 7, (1, 1.1))
        figure = Figure(figsize=(width, height))
        panels = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
        _bars(panels[0], bars, colours)
        if not sweep.empty:
            _speeds(panels[1], sweep, caches, colours)
            panels[1].plot([], [], color="black", lw=2.2, label="the roof: reading X once")
        for name in names:
            panels[-1].plot([], [], color=colours[name], lw=4, label=plain(name))
        figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _bars(panel: Axes, kernels: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """A bar for each kernel of each case: its share of the read speed, with the interval."""
    ticks, labels, at = [], [], 0.0
    for case, rows in kernels.groupby("case", sort=False):
        ticks.append(at + (len(rows) - 1) / 2)
        labels.append(plain(str(case).replace(" float", "\nfloat").replace(", 2", ",\n2")))
        for row in rows.to_dict("records"):
            share, low, high = row["of_read"], row["of_read_low"], row["of_read_high"]
            panel.barh(at, share, height=0.8, color=colours[row["entry"]])
            panel.plot([low, high], [at, at], color="black", lw=1)
            # An interval may end far to the right: its label must not squeeze the panel.
            right = max(share, high) + 0.01
            label = panel.text(right, at, f"{share:.0%}", va="center", fontsize=7.5, clip_on=True)
            label.set_in_layout(False)
            at += 1
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


def _sweep(calls: pd.DataFrame) -> pd.DataFrame:
    """The calls on shapes that were timed cold, too; empty if there are none."""
    shape = ["n_features", "dtype"]
    swept = calls.merge(calls.loc[calls["x"] == "cold", shape].drop_duplicates(), on=shape)
    return swept[~swept["case"].str.startswith("batch")]


def _speeds(
    panel: Axes, calls: pd.DataFrame, caches: Mapping[str, int], colours: Mapping[str, str]
) -> None:
    """X's bytes a second against X's bytes, a line for each kernel; dashed where X was cold.

    An X that comes from memory anyway is a point of both lines.
    """
    for state, line in (("hot in cache", "-"), ("cold", "--")):
        points = calls[calls["x"].isin((state, "from memory"))].sort_values("x_bytes")
        for name, of_call in points.groupby("entry", sort=False):
            panel.plot(
                of_call["x_bytes"],
                of_call["x_bytes"] / of_call["median_s"],
                color="black" if name == READ else colours[str(name)],
                ls=line,
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
