"""The score of a run: its fields are the columns of tables and records.

Each field is declared here with its unit and meaning. `COLUMNS` is made from the fields.
`Results.scores()` has these columns, and the record of a run holds no other numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

TARGETS: Mapping[str, float] = MappingProxyType({f"1e-{k}": 10.0**-k for k in range(1, 11)})
"""Relative gaps that runs are scored at, by their names in columns."""


def _column(meaning: str, *, default: Any = dataclasses.MISSING, name: str = "") -> Any:
    """A field that is a column, or, in `Hit`, a column for each target."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, "name": name})


def _optional(meaning: str) -> Any:
    """A column that is missing (None) unless it is given."""
    return _column(meaning, default=None)


@dataclass(frozen=True, kw_only=True)
class SetupTimes:
    """Seconds to bind a kernel to data; missing for a solver with a loss of its own."""

    setup_s: float | None = _optional("seconds of `bind`, without transfer and compilation")
    transfer_s: float | None = _optional("seconds to bring the data to the device")
    compile_s: float | None = _optional("seconds of compilation")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """The first snapshot at which a target was met."""

    elapsed_s: float = _column(
        "seconds until the relative gap was first {} or less; missing where it never was",
        name="time_to_{}_s",
    )
    passes: float | None = _column(
        "passes until then; missing likewise, or where a solver does not count them",
        name="passes_to_{}",
    )
    oracle_calls: int | None = _column(
        "calls of the objective until then; missing likewise", name="calls_to_{}"
    )


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality of the final w; a number is missing where it does not apply."""

    test_nll: float | None = _optional("mean NLL on the test rows, nats, without the penalty")
    test_accuracy: float | None = _optional(
        "fraction of test rows whose label has the largest probability"
    )
    test_brier: float | None = _optional(
        "Brier score on the test rows: 0 to 1 for two classes, 0 to 2 for more"
    )
    test_calibration_error: float | None = _optional(
        "expected calibration error on the test rows, over 15 bins of confidence: 0 to 1"
    )
    label_agreement: float | None = _optional(
        "fraction of test rows on which w and w* predict the same label"
    )
    distance_to_optimum: float | None = _optional(
        "||w - w*||, along the directions that f depends on"
    )


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run's snapshots, one entry each, from w0 to the end of the run.

    Args:
        step: steps of the optimizer, or iterations of a solver that is fitted anew.
        elapsed_s: seconds since the start of the run; for a solver that is fitted anew, seconds
            of that fit alone.
        oracle_calls: calls of the objective so far; NaN where a solver does not count them.
        passes: rows read so far, divided by n; NaN likewise.
        f: objective, nats, by the float64 reference.
        gap: upper bound on f(w) - f*, nats; NaN without a proved optimum.
    """

    step: tuple[int, ...]
    elapsed_s: tuple[float, ...]
    oracle_calls: tuple[float, ...]
    passes: tuple[float, ...]
    f: tuple[float, ...]
    gap: tuple[float, ...]

    def samples(self) -> dict[str, list[Any]]:
        """The entries as a record keeps them, by `CURVE_COLUMNS`."""
        return {name: list(getattr(self, name)) for name in CURVE_COLUMNS}


CURVE_COLUMNS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Curve))
"""Samples of a run's record, one entry a snapshot."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One run, measured against the optimum of its problem by `bench.score.score`.

    Fields with a meaning are columns of tables. A number is missing (None) for a miss, or where it
    does not apply.

    Args:
        status: "converged", "budget", "diverged" or "failed".
        message: the error of a failed run, or why its problem has no optimum; else empty.
        hits: for each target its `Hit`, or None for a miss.
    """

    status: str
    message: str
    gap: float | None = _optional(
        "upper bound on f(w) - f* at the end, nats; missing without a proved optimum or a finite f"
    )
    relative_gap: float | None = _optional("the gap in units of f(w0) - f*; missing likewise")
    resolution: float | None = _optional(
        "relative gap below which neither the proof of f* nor float64 tells one w from another; "
        "missing without a proved optimum, or where w0 is one"
    )
    f: float = _column("objective at the end, nats, by the float64 reference")
    run_s: float = _column(
        "seconds of the run, its final synchronisation included; of a solver that is fitted anew, "
        "of its longest fit"
    )
    spent_s: float = _column("seconds on the clock in all: `run_s`, or the sum of all fits")
    setup: SetupTimes = SetupTimes()
    steps: int = _column("steps of the optimizer, or iterations of the longest fit")
    oracle_calls: float = _column(
        "calls of the objective; missing where a solver does not count them"
    )
    passes: float = _column("rows read, divided by n; missing likewise")
    hits: Mapping[str, Hit | None]
    area_log_gap: float | None = _optional(
        "mean of log10 of the relative gap over log time, from 0.1 ms to the budget's seconds; "
        "lower is better"
    )
    budget_passes: float | None = _optional("the most passes that the run was given")
    budget_s: float | None = _optional("the most seconds that the run was given")
    quality: Quality = Quality()
    curve: Curve

    def columns(self) -> dict[str, float | None]:
        """The numbers by column, in the order of `COLUMNS`."""
        numbers = {**vars(self), **vars(self.setup), **vars(self.quality)}
        for target, hit in self.hits.items():
            for field in dataclasses.fields(Hit):
                column = field.metadata["name"].format(target)
                numbers[column] = None if hit is None else getattr(hit, field.name)
        return {column: numbers[column] for column in COLUMNS}


def _columns(owner: type[Score | SetupTimes | Quality]) -> dict[str, str]:
    """Name and meaning of every column that a class declares, in order."""
    found: dict[str, str] = {}
    parts = {"setup": SetupTimes, "quality": Quality}
    for field in dataclasses.fields(owner):
        if field.name in parts:
            found |= _columns(parts[field.name])
        elif field.name == "hits":
            for target in TARGETS:
                for part in dataclasses.fields(Hit):
                    name, meaning = part.metadata["name"], part.metadata["meaning"]
                    found[name.format(target)] = meaning.format(target)
        elif "meaning" in field.metadata:
            found[field.name] = field.metadata["meaning"]
    return found


COLUMNS: Mapping[str, str] = MappingProxyType(_columns(Score))
"""Meaning and unit of every number of a run's score, by column."""

SETUP_COLUMNS: Mapping[str, str] = MappingProxyType(_columns(SetupTimes))
"""Likewise, for the record of a kernel's times."""
