"""Style and parts that all figures share, and how their files are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

from bench.files.whole import write_whole

Styles: TypeAlias = Mapping[str, tuple[str, str]]
"""Colour and line of each optimizer."""

# Okabe and Ito's palette: its colours differ for any kind of colour vision, and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D31")
_LINES = ("-", "--", "-.", ":")
_PNG_DPI = 130
_RC: Any = {
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "logreg-bench",  # the same plot is the same file
}


@contextmanager
def plot_style() -> Iterator[None]:
    """matplotlib's settings, inside the block alone."""
    with mpl.rc_context(_RC):
        yield


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as SVG and PNG; `path` is given without a suffix.

    The panels are laid out once, for both. Rejected: `Figure.savefig`, which draws each file twice.
    """
    png, svg = BytesIO(), BytesIO()
    with plot_style():
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(svg, metadata={"Date": None})  # type: ignore[no-untyped-call]
        figure.set_layout_engine("none")
        figure.set_dpi(_PNG_DPI)
        FigureCanvasAgg(figure).print_png(png)  # type: ignore[no-untyped-call]
    return [
        write_whole(file, buffer.getvalue())
        for file, buffer in zip(figure_files(path), (svg, png), strict=True)
    ]


def figure_files(path: Path) -> list[Path]:
    """The files of a figure whose `path` is given without a suffix."""
    return [path.with_name(f"{path.name}.{suffix}") for suffix in ("svg", "png")]


def styles_of(optimizers: Iterable[str]) -> Styles:
    """A colour and a line for each optimizer; the same in every plot of a report."""
    n = len(COLOURS)
    return {
        name: (COLOURS[i % n], _LINES[i // n % len(_LINES)]) for i, name in enumerate(optimizers)
    }


def time_axis(panel: Axes) -> None:
    """Ticks at 1, 2 and 5 of each decade, in words: "200 µs", "1 ms"; fewer on a long axis."""
    low, high = panel.get_xlim()
    minor = (2.0, 5.0) if high / low < 300 else ()
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0,)))
    panel.xaxis.set_minor_locator(LogLocator(subs=minor) if minor else NullLocator())
    panel.xaxis.set_major_formatter(EngFormatter(unit="s"))
    panel.xaxis.set_minor_formatter(EngFormatter(unit="s"))
    panel.tick_params(axis="x", which="both", labelsize=8.5)


def plain_ticks(axis: Axis) -> None:
    """Powers of ten as in tables, "1e-6" and "100". Mathematical text takes far longer to draw."""

    def plain_number(value: float, _: int | None) -> str:
        return f"{value:g}" if 0.01 <= value < 1e5 else f"1e{round(math.log10(value))}"

    axis.set_major_formatter(FuncFormatter(plain_number))
    axis.set_minor_locator(NullLocator())


def legend_height(n_optimizers: int) -> float:
    """Inches that a figure needs for that many lines of legend."""
    return max(3.8, 0.6 + 0.19 * n_optimizers)


def plain(name: str) -> str:
    """A name whose $ are escaped, which matplotlib would take for mathematics."""
    return name.replace("$", r"\$")


def legend(figure: Figure, panel: Axes, optimizers: Iterable[str], styles: Styles) -> None:
    """The optimizers' lines, right of the panels."""
    for optimizer in optimizers:
        colour, line = styles[optimizer]
        panel.plot([], [], color=colour, ls=line, lw=2, label=plain(optimizer))
    figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)


def file_names(problems: list[str]) -> dict[str, str]:
    """A file name for each problem; a number is appended where two would have the same."""
    names: dict[str, str] = {}
    for problem in problems:
        name = "".join(c if c.isalnum() or c in "-." else "_" for c in problem)
        alike = sum(other == name or other.startswith(f"{name}~") for other in names.values())
        names[problem] = f"{name}~{alike + 1}" if alike else name
    return names
