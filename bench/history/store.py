"""A history: what was measured of each commit, kept as JSON lines, one file a machine.

A line of `history/<machine>.jsonl` has the fields of `Measurement`. Lines are appended whole (see
`bench.files.json_lines`), so that CI can keep the folder. Two copies that grew apart can be joined
line by line.
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
class Measurement:
    """One measure of one cell at one commit.

    Args:
        commit: whole hash; "+" at its end stands for uncommitted changes, which no history has.
        commit_date: the committer's date by git, ISO 8601; `created` where git does not know it.
        created: when the newest of its runs was made, UTC, ISO 8601.
        machine: fingerprint of the hardware.
        configuration: cpu, cores, gpus, torch, numpy, threads.
        problem, kernel, optimizer, device, dtype: the cell; optimizer is "" for a kernel's time.
        timed_beside: the kernels that took turns with it; "" for an optimizer.
        timed_by: "bench", or "pytest-benchmark", which times calls one by one.
        data: the first letters of the problem's fingerprint.
        budget: of a run, in words, as it decides what is a miss; "" for a kernel.
        measure: a name of `MEASURES`.
        unit: "s" or "passes".
        samples: ascending, with a None at the end for each run that missed; see `thin_out`.
        runs: how many samples there were before some were left out.
        misses: how many of them missed.
        sources: digests of the records that it was made of. No record is entered twice.
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
    def series_key(self) -> tuple[str, ...]:
        """Which series it is a point of: two that differ in this never share an axis.

        Other data under the same name and other threads are other series. Other versions of
        libraries are not, as an upgrade may be what made something slower.
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

    def read(self) -> list[Measurement]:
        """All measurements, machine by machine, the oldest line first.

        Raises:
            InputError: a line is something else, or a newer version wrote it.
        """
        return [
            _parse(line, f"{path}, line {number}", path.stem)
            for path in sorted(self.folder.glob("*.jsonl"))
            for number, line in read_lines(path)
        ]

    def append(self, measurements: Iterable[Measurement]) -> list[Path]:
        """Append each to its machine's file; return the files that were written.

        Raises:
            InputError: a machine's fingerprint can't be the name of a file.
        """
        by_machine: dict[str, list[Measurement]] = {}
        for one in measurements:
            if not re.fullmatch(r"[\w-]+", one.machine):
                raise InputError(
                    f"a machine is called {one.machine!r}, which names no file: its "
                    "fingerprint has letters and digits only"
                )
            by_machine.setdefault(one.machine, []).append(one)
        files = [self.folder / f"{machine}.jsonl" for machine in by_machine]
        for path, new in zip(files, by_machine.values(), strict=True):
            append_lines(path, map(dataclasses.asdict, new))
        return files


def _parse(line: bytes, where: str, machine: str) -> Measurement:
    fields = versioned_fields(
        line,
        where,
        "a measurement",
        SCHEMA_VERSION,
        otherwise="remove the line",
        other_version="use another --results folder",
    )
    try:
        for name in ("samples", "sources"):
            fields[name] = tuple(fields[name])
        found = Measurement(**fields)
    except (TypeError, KeyError):
        found = None
    if found is None or not _is_well_formed(found):
        raise InputError(f"{where} does not have the fields of a measurement: remove the line")
    if found.machine != machine:
        raise InputError(
            f"{where} is of machine {found.machine}: two machines never share a history, so move "
            f"the line to {found.machine}.jsonl"
        )
    return found


def _is_well_formed(found: Measurement) -> bool:
    """Whether the fields have the types that every reader relies on."""
    texts = [f.name for f in dataclasses.fields(Measurement) if f.type == "str"]
    return (
        all(isinstance(getattr(found, name), str) for name in texts)
        and MEASURES.get(found.measure) == found.unit
        and isinstance(found.configuration, Mapping)
        and isinstance(found.runs, int)
        and isinstance(found.misses, int)
        and all(isinstance(source, str) for source in found.sources)
        and len(found.samples) > 0
        and all(s is None or (isinstance(s, int | float) and s > 0) for s in found.samples)
    )
