"""A history: what was measured of each commit, kept as JSON lines, a file a machine.

`history/<machine>.jsonl`, a line a commit, cell and measure of one run, with the fields of `Entry`.
Lines are appended whole (see `bench.files.json_lines`), so that CI can keep the folder, and two
copies that grew apart can be joined line by line.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files.json_documents import versioned_fields
from bench.files.json_lines import append_lines, read_lines

SCHEMA_VERSION = 1

MEASURES: Mapping[str, str] = {
    "seconds_per_call": "s",
    "seconds_per_pass": "s",
    "time_to_1e-6_s": "s",
    "passes_to_1e-6": "passes",
}
"""What is followed over commits, with its unit; smaller is better."""


@dataclass(frozen=True)
class Entry:
    """One measure of one cell at one commit.

    Args:
        commit: whole hash; "+" at its end stands for uncommitted changes, which no history has.
        commit_date: when it was committed, ISO 8601, by git; else `created`.
        created: when its newest run was made, UTC, ISO 8601.
        machine: fingerprint of the hardware.
        configuration: cpu, cores, torch, numpy, threads.
        problem, kernel, optimizer, device, dtype: the cell; optimizer is "" for a kernel's time.
        timed_beside: the kernels that took turns with it; "" for an optimizer.
        timed_by: "bench", or "pytest-benchmark", which times calls one by one.
        data: the first letters of the problem's fingerprint: other data under the same name is
            another series.
        budget: of a run, in words, as it decides what is a miss; "" for a kernel.
        measure: a name of `MEASURES`.
        unit: "s" or "passes".
        samples: in ascending order, None last for each that missed; see `evenly`.
        runs: how many samples there were before some were left out.
        misses: how many of them missed.
        sources: digests of the records that it was made of: none is entered twice.
    """

    commit: str
    commit_date: str
    created: str
    machine: str
    configuration: Mapping[str, Any]
    problem: str
    kernel: str
    optimizer: str
    device: str
    dtype: str
    timed_beside: str
    timed_by: str
    data: str
    budget: str
    measure: str
    unit: str
    samples: tuple[float | None, ...]
    runs: int
    misses: int
    sources: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def series(self) -> tuple[str, ...]:
        """What is followed over commits: entries that differ in it never share an axis.

        Threads are part of it, as another machine would be; versions of libraries are not, as an
        upgrade may well be what made something slower.
        """
        names = (
            *("machine", "measure", "problem", "kernel", "optimizer", "device", "dtype"),
            *("timed_beside", "timed_by", "data", "budget"),
        )
        return (*(getattr(self, name) for name in names), str(self.configuration.get("threads")))


class HistoryStore:
    """The histories of one results folder, in `history/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "history"

    def read(self) -> list[Entry]:
        """All whole entries, machine by machine, oldest line first.

        Raises:
            InputError: a line is not an entry, or was written by a newer version.
        """
        return [
            _parse(line, f"{path}, line {number}", path.stem)
            for path in sorted(self.folder.glob("*.jsonl"))
            for number, line in read_lines(path)
        ]

    def append(self, entries: Iterable[Entry]) -> list[Path]:
        """Append entries, each to its machine's file; returns the files that were written.

        Raises:
            InputError: a machine's fingerprint is none.
        """
        by_machine: dict[str, list[Entry]] = {}
        for entry in entries:
            if not re.fullmatch(r"[\w-]+", entry.machine):
                raise InputError(
                    f"a machine is called {entry.machine!r}, which names no file: its "
                    "fingerprint has letters and digits only"
                )
            by_machine.setdefault(entry.machine, []).append(entry)
        for machine, new in by_machine.items():
            append_lines(self._path(machine), map(dataclasses.asdict, new))
        return [self._path(machine) for machine in by_machine]

    def _path(self, machine: str) -> Path:
        return self.folder / f"{machine}.jsonl"


def _parse(line: bytes, where: str, machine: str) -> Entry:
    fields = versioned_fields(
        line,
        where,
        "a history's entry",
        SCHEMA_VERSION,
        otherwise="remove the line",
        other_version="use another --results folder",
    )
    try:
        samples, sources = tuple(fields.pop("samples")), tuple(fields.pop("sources"))
        entry = Entry(samples=samples, sources=sources, **fields)
    except (TypeError, KeyError):
        entry = None
    if entry is None or not _is_well_formed(entry):
        raise InputError(f"{where} does not have an entry's fields: remove the line")
    if entry.machine != machine:
        raise InputError(
            f"{where} is of machine {entry.machine}: two machines never share a history, so move "
            f"the line to {entry.machine}.jsonl"
        )
    return entry


def _is_well_formed(entry: Entry) -> bool:
    """Whether the fields have the types that every reader relies on."""
    texts = [f.name for f in dataclasses.fields(Entry) if f.type == "str"]
    return (
        all(isinstance(getattr(entry, name), str) for name in texts)
        and MEASURES.get(entry.measure) == entry.unit
        and isinstance(entry.configuration, Mapping)
        and isinstance(entry.runs, int)
        and isinstance(entry.misses, int)
        and all(isinstance(source, str) for source in entry.sources)
        and len(entry.samples) > 0
        and all(s is None or (isinstance(s, int | float) and s > 0) for s in entry.samples)
    )
