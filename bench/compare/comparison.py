"""What a comparison of two commits found; it is kept as one JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import InputError
from bench.files.json_lines import jsonable

SCHEMA_VERSION = 2

# Verdicts of cells that have no ratio; those that have one are in bench.statistics.verdicts.
FAILED = "FAILED"
NEW = "NEW"
GONE = "GONE"
NOT_TIMED = "NOT TIMED"
REGRESSIONS = ("SLOWER", FAILED)
"""What fails a check."""


@dataclass(frozen=True)
class Cell:
    """What is timed: a call of a kernel, a run of an optimizer, or a cell of the user's own.

    Args:
        problem: a spec; for a cell of the user's own, its name in `file`.
        kernel: name of a kernel, or the library of a solver that brings its own loss.
        optimizer: a spec; empty for a call of value and gradient.
        file: where the user's own cells are, relative to the repository; empty for ours.
    """

    problem: str
    kernel: str = ""
    optimizer: str = ""
    device: str = ""
    dtype: str = ""
    file: str = ""

    @property
    def process_key(self) -> tuple[str, ...]:
        """Cells with the same key share a process: those of one problem and one bound kernel.

        A cell of the user's own has a process of its own.
        """
        if self.file:
            return (self.file, self.problem)
        return (self.problem, self.kernel, self.device, self.dtype)

    def __str__(self) -> str:
        work = self.optimizer or ("value and gradient" if self.kernel else "")
        unusual = (part for part in (self.device, self.dtype) if part not in ("cpu", "float64"))
        return " · ".join(filter(None, (self.problem, work, self.kernel, *unusual)))


@dataclass(frozen=True)
class Side:
    """One of the two commits: its name as given, its hash, and the first line of its message."""

    name: str
    commit: str
    subject: str = ""


@dataclass(frozen=True)
class CellResult:
    """What is known of a cell.

    Args:
        cell: what was timed.
        verdict: see `bench.statistics.verdicts`, or one of those above.
        ratio, low, high: head's time over base's, with the ends of its interval, which holds for
            all cells together; None where there is no ratio.
        base_s, head_s: median seconds of a call, one entry a session.
        log_ratios: log(head / base), one entry a session.
        work: what a block repeats. "calls": calls a block; "passes": passes of a run, or
            iterations of another library's solver, 0 for a call of a kernel; "rows": rows of X
            that are read as an injected slow-down.
        reason: why there is no ratio, in one line.
    """

    cell: Cell
    verdict: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    base_s: tuple[float, ...] = ()
    head_s: tuple[float, ...] = ()
    log_ratios: tuple[float, ...] = ()
    work: Mapping[str, float] = dataclasses.field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """All cells of two sides.

    Args:
        sessions: how often new processes were started for both sides.
        seconds: duration of the whole comparison.
        notes: further facts that a reader needs, one line each.
    """

    base: Side
    head: Side
    cells: tuple[CellResult, ...]
    threshold: float
    confidence: float
    sessions: int
    seconds: float
    environment: Mapping[str, Any]
    created: str
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def regressions(self) -> tuple[CellResult, ...]:
        """The cells that fail a check."""
        return tuple(cell for cell in self.cells if cell.verdict in REGRESSIONS)

    def require_timed(self) -> None:
        """Raise InputError where no cell could be timed on both sides.

        Cells that are all new, or gone, are no error: there is nothing to compare them with.
        """
        verdicts = {cell.verdict for cell in self.cells}
        if NOT_TIMED in verdicts and verdicts <= {NEW, GONE, NOT_TIMED}:
            reason = next(cell.reason for cell in self.cells if cell.verdict == NOT_TIMED)
            raise InputError(
                f"no cell could be timed on both sides, the first because: {reason} (all reasons: "
                "comparison.md in the results folder)"
            )


def as_json(comparison: Comparison) -> str:
    """The whole, samples included; an end of an interval at infinity is null."""
    return json.dumps(jsonable(dataclasses.asdict(comparison)), indent=1, allow_nan=False) + "\n"
