"""What a comparison of two commits, or of two saved sets, found: kept as one JSON file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files.json_documents import read_document

SCHEMA_VERSION = 1

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
        problem: a spec; of the user's own cells, the name in `file`.
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
    def place(self) -> tuple[str, ...]:
        """What cells that are set up together have in common: a problem, a kernel and where it
        runs; or a file and the one cell in it."""
        if self.file:
            return (self.file, self.problem)
        return (self.problem, self.kernel, self.device, self.dtype)

    def __str__(self) -> str:
        work = self.optimizer or ("value and gradient" if self.kernel else "")
        unusual = (part for part in (self.device, self.dtype) if part not in ("cpu", "float64"))
        return " · ".join(filter(None, (self.problem, work, self.kernel, *unusual)))


@dataclass(frozen=True)
class Side:
    """One of the two: `name` as it was asked for, `commit` as git knows it, `subject` its title.

    Saved results have the folder for a name, and the commit that they were made with.
    """

    name: str
    commit: str
    subject: str = ""


@dataclass(frozen=True)
class CellResult:
    """What is known of a cell.

    Args:
        cell: what was timed.
        verdict: see `bench.statistics.verdicts`, or one of those above.
        ratio, low, high: head's time over base's, and its interval over all cells together; None
            where there is none.
        base_s, head_s: median seconds of each session; of saved results, the middle of each run.
        log_ratios: one for each session; none for saved results.
        work: "passes" of a run (0: not a run; a part of one where one is long; of a library's
            solver its iterations) and "calls" a block; in a self-test "rows" of X that are read
            besides.
        reason: why there is no ratio, or no interval, in one line.
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
        paired: whether the sides took turns.
        sessions: how often everything was started anew; 0 for saved results.
        seconds: that all of it took.
        notes: what a reader must know besides, one line each.
    """

    base: Side
    head: Side
    cells: tuple[CellResult, ...]
    threshold: float
    confidence: float
    paired: bool
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
        """Raise InputError where no cell could be timed on both sides: that is no answer.

        If all of them are new, or gone, it is one: there is nothing to compare with.
        """
        verdicts = {cell.verdict for cell in self.cells}
        if NOT_TIMED in verdicts and verdicts <= {NEW, GONE, NOT_TIMED}:
            reason = next(cell.reason for cell in self.cells if cell.verdict == NOT_TIMED)
            raise InputError(
                f"no cell could be timed on both sides, the first because: {reason} (all reasons: "
                "tables/comparison.md in the results folder)"
            )


def as_json(comparison: Comparison) -> str:
    """The whole, samples included; an end of an interval at infinity is null."""
    return json.dumps(_finite(dataclasses.asdict(comparison)), indent=1, allow_nan=False) + "\n"


def load_comparison(path: Path) -> Comparison:
    """Read what `as_json` wrote.

    Raises:
        InputError: the file is something else, or of another version.
    """
    return read_document(
        path, "a comparison", SCHEMA_VERSION, "python -m bench compare", _comparison
    )


def _comparison(fields: dict[str, Any]) -> Comparison:
    fields["base"], fields["head"] = Side(**fields["base"]), Side(**fields["head"])
    fields["cells"] = tuple(_cell_result(cell) for cell in fields["cells"])
    fields["notes"] = tuple(fields["notes"])
    return Comparison(**fields)


def _cell_result(fields: dict[str, Any]) -> CellResult:
    samples = {name: tuple(fields[name]) for name in ("base_s", "head_s", "log_ratios")}
    return CellResult(**{**fields, "cell": Cell(**fields["cell"]), **samples})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
