"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MISSED = "missed"
INTERVAL = "95% interval, or range of fewer than 6 runs"
"""What stands in brackets behind a median. With fewer than 6 runs the bootstrap gives the range."""
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def seconds(value: float) -> str:
    """Three significant digits in the unit that fits: 0.00123 -> "1.23 ms"."""
    unit, name = _unit(value)
    return f"{_three_digits(value / unit)} {name}"


def seconds_with_range(median: float, low: float | None, high: float | None) -> str:
    """All three in the median's unit: "1.23 ms [1.20-1.31]". An end that is None is a miss."""
    unit, name = _unit(median)
    ends = (
        MISSED if end is None or math.isnan(end) else _three_digits(end / unit)
        for end in (low, high)
    )
    return f"{_three_digits(median / unit)} {name} [{'-'.join(ends)}]"


def ratio_with_range(median: float, low: float, high: float) -> str:
    """A ratio with its range: "1.4x [1.3-1.6]", or "1.4x [1.3-beyond]"."""
    return f"{_two_digits(median)}x [{_two_digits(low)}-{_two_digits(high)}]"


def gap(value: float | None) -> str:
    """A gap in two significant digits, or a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.1e}"


def percent(fraction: float) -> str:
    """Up to three significant digits: 0.05 -> "5%"."""
    return f"{100 * fraction:.3g}%"


def in_a_table(words: str) -> str:
    """A field of a Markdown table: one line, with its bars escaped."""
    return " ".join(words.split()).replace("|", "\\|")


def listing(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def machine_line(environment: Mapping[str, Any]) -> str:
    """The machine and the versions that times depend on, in one line."""
    parts = [
        f"{environment['cpu']}, {environment['usable_cores']} cores",
        *environment["gpus"],
        f"{environment['torch_threads']} torch threads",
        f"torch {environment['torch']}",
        f"numpy {environment['numpy']}",
        f"Python {environment['python']}",
    ]
    return ", ".join(parts)


def _unit(value: float) -> tuple[float, str]:
    return next((unit for unit in _UNITS if value >= unit[0]), _UNITS[-1])


def _three_digits(value: float) -> str:
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def _two_digits(value: float) -> str:
    if math.isinf(value):
        return "beyond"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 1.95 else f"{value:.2f}"
