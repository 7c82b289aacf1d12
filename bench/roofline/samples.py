"""What a roofline measured: samples of calls that took turns, kept as one JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files.json_documents import read_document

SCHEMA_VERSION = 1
READ = "read X"
"""The entry that reads X once: the roof."""


@dataclass(frozen=True)
class Entry:
    """One call of a case.

    Args:
        name: the kernel's, or what else was called.
        traffic_bytes: that a call moves by the model; None where there is no model.
        seconds_per_call: one sample a round; empty where it was not measured.
        reason: why it was not, in words.
    """

    name: str
    traffic_bytes: int | None
    seconds_per_call: tuple[float, ...]
    reason: str = ""


@dataclass(frozen=True)
class Asked:
    """A ratio of two entries that a case is held to: `entry` / `beside`, of seconds per call.

    Args:
        beside: empty where it is not a ratio, but the time itself.
        at_most: the ratio asked for, time over time; or seconds.
        words: how people put it.
    """

    entry: str
    beside: str
    at_most: float
    words: str


@dataclass(frozen=True)
class Case:
    """Entries that took turns on the same data.

    Args:
        name: what the table calls it.
        n_samples, n_features, dtype, device: of the data.
        x_bytes: bytes of X.
        state: "from memory", "hot in cache" or "cold": where X lies before a call.
        asked: what it is held to.
    """

    name: str
    n_samples: int
    n_features: int
    dtype: str
    device: str
    x_bytes: int
    state: str
    entries: tuple[Entry, ...]
    asked: tuple[Asked, ...] = ()

    def samples(self, name: str) -> tuple[float, ...]:
        """The samples of an entry; none where there is no such entry."""
        return next((e.seconds_per_call for e in self.entries if e.name == name), ())


@dataclass(frozen=True)
class Roofline:
    """All cases of one run, and where it was."""

    cases: tuple[Case, ...]
    environment: Mapping[str, Any]
    caches: Mapping[str, int]
    """Bytes of the caches, by name: "L1", "L2", "L3"."""
    created: str
    schema_version: int = SCHEMA_VERSION


def as_json(roofline: Roofline) -> str:
    """The whole, raw samples included."""
    return json.dumps(dataclasses.asdict(roofline), indent=1) + "\n"


def load_roofline(path: Path) -> Roofline:
    """Read what `as_json` wrote.

    Raises:
        InputError: the file is something else, or of another version.
    """
    return read_document(path, "a roofline", SCHEMA_VERSION, "python -m bench roofline", _roofline)


def _roofline(fields: dict[str, Any]) -> Roofline:
    cases = tuple(_case(case) for case in fields.pop("cases"))
    return Roofline(cases=cases, **fields)


def _case(fields: dict[str, Any]) -> Case:
    entries = tuple(
        Entry(**{**entry, "seconds_per_call": tuple(entry["seconds_per_call"])})
        for entry in fields.pop("entries")
    )
    asked = tuple(Asked(**one) for one in fields.pop("asked"))
    return Case(entries=entries, asked=asked, **fields)
