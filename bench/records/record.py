"""Records: immutable rows with their details, kept as JSON lines.

One JSON object a line, with the fields of `Record`. A line is appended whole or not at all. An
unfinished last line (the process was killed while writing) is dropped by the next append.

Format 1: without `repetition` and `sampling`. It is read as if they were 0 and "snapshots".
Format 2: a convergence record's `oracle_calls` and `passes` may be missing, where a solver does
    not count them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files.json_documents import versioned_fields
from bench.files.json_lines import append_lines, read_lines
from bench.records.score import COLUMNS, CURVE_COLUMNS, SETUP_COLUMNS

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Record:
    """One cell's result.

    Args:
        kind: "convergence" (an optimizer's run) or "kernel" (time per call of a kernel).
        key: digest of everything that the result depends on.
        problem, kernel, optimizer, device, dtype, seed, repetition: the cell. A kernel record has
            optimizer "", seed 0 and repetition 0.
        sampling: where the curve comes from: "snapshots" of one run, "refits" with growing
            budgets, or "" where there is no curve.
        status: "converged", "budget", "diverged", "failed" or "unavailable"; "ok" for a kernel.
        message: the error or the reason, in one line.
        score: numbers by column; None where one is a miss or does not apply. Convergence: some or
            all of `COLUMNS`. Kernel: `SETUP_COLUMNS`, and `timed_beside`, the names of the
            kernels that took turns with it.
        samples: raw samples. Convergence: `CURVE_COLUMNS`. Kernel: `seconds_per_call`.
        problem_facts: n_samples, n_features, l2, fingerprint, f_star, gap_bound, exists, reason.
        environment: see `bench.measure.environment`.
        suite: the suite that it was run for.
        created: UTC, ISO 8601.
    """

    kind: str
    key: str
    problem: str
    kernel: str
    optimizer: str
    device: str
    dtype: str
    seed: int
    repetition: int
    sampling: str
    status: str
    message: str
    score: Mapping[str, Any]
    samples: Mapping[str, list[Any]]
    problem_facts: Mapping[str, Any]
    environment: Mapping[str, Any]
    suite: str
    created: str
    schema_version: int = SCHEMA_VERSION

    @property
    def machine(self) -> str:
        """Fingerprint of the hardware it was measured on."""
        return str(self.environment["machine"])

    @property
    def cell(self) -> tuple[str, ...]:
        """What it measured, whatever the code or the versions. Tables show the latest of a cell.

        A kernel that was timed beside others is another cell than one that was timed alone.
        """
        names = ("kind", "problem", "kernel", "optimizer", "device", "dtype", "seed", "repetition")
        cell = tuple(str(getattr(self, name)) for name in names)
        return (*cell, str(self.score.get("timed_beside")))

    @property
    def setting(self) -> tuple[Any, ...]:
        """Data and budget: runs are comparable where these are equal."""
        budget = (self.score.get("budget_passes"), self.score.get("budget_s"))
        return (self.problem_facts.get("fingerprint"), *budget)


# What every reader of records relies on. A field of another type is a mapping.
_TYPES: Mapping[str, type] = {"str": str, "int": int}
_FACTS = {"n_samples", "n_features", "l2", "f_star", "gap_bound", "exists", "reason"}
_ENVIRONMENT = {"machine", "cpu", "usable_cores", "gpus", "torch_threads", "torch", "numpy"}


class RecordStore:
    """The records of one results folder, in `records.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "records.jsonl"

    def read(self) -> list[Record]:
        """All whole records, oldest first.

        Raises:
            InputError: a line is not a record, or was written by a newer version.
        """
        return [self._parse(line, number) for number, line in read_lines(self.path)]

    def append(self, records: Iterable[Record]) -> None:
        """Append records, all in one write, and bring them to the disk."""
        append_lines(self.path, map(dataclasses.asdict, records))

    def _parse(self, line: bytes, number: int) -> Record:
        where = f"{self.path}, line {number}"
        fields = versioned_fields(
            line,
            where,
            "a record",
            SCHEMA_VERSION,
            otherwise="move the file away",
            other_version="use another --results folder",
            older=(1,),
        )
        if fields["schema_version"] == 1:
            fields = {"repetition": 0, "sampling": "snapshots"} | fields
        with suppress(TypeError):  # a field too many, or too few
            record = Record(**fields)
            if _is_well_formed(record):
                return record
        raise InputError(f"{where} does not have a record's fields: move the file away")


def _is_well_formed(record: Record) -> bool:
    """Whether the fields have the types that every reader relies on."""
    if not (
        all(
            isinstance(getattr(record, field.name), _TYPES.get(str(field.type), Mapping))
            for field in dataclasses.fields(record)
        )
        and record.kind in ("convergence", "kernel")
        and record.environment.keys() >= _ENVIRONMENT
        and record.problem_facts.keys() >= _FACTS
        and all(_are_numbers(column) for column in record.samples.values())
    ):
        return False
    numbers = dict(record.score)
    if record.kind == "kernel":
        columns = SETUP_COLUMNS
        timed_beside = numbers.pop("timed_beside", None)
        complete = isinstance(timed_beside, str) or not record.samples.get("seconds_per_call")
    else:
        columns = COLUMNS
        lengths = {len(record.samples.get(name, ())) for name in CURVE_COLUMNS}
        complete = not record.samples or len(lengths) == 1
    return complete and numbers.keys() <= columns.keys() and _are_numbers(list(numbers.values()))


def _are_numbers(values: Any) -> bool:
    """A list of numbers, in which None stands for a missing one."""
    return isinstance(values, list) and all(v is None or isinstance(v, int | float) for v in values)


def latest(records: Iterable[Record]) -> list[Record]:
    """The last record of each cell, in the order in which the cells first appeared.

    A run is left out if its data or budget differ from those of the last run of a problem of the
    same name, as a row of a table must not mix them.
    """
    by_cell: dict[tuple[str, ...], Record] = {}
    setting: dict[str, tuple[Any, ...]] = {}
    for record in records:
        by_cell[record.cell] = record
        if record.kind == "convergence":
            setting[record.problem] = record.setting
    return [
        record
        for record in by_cell.values()
        if record.kind != "convergence" or record.setting == setting[record.problem]
    ]


def digest(*parts: Any) -> str:
    """A short key for a tuple of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
