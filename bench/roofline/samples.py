"""What a roofline measured: samples of calls that took turns, kept as one JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1
READ = "read X"
"""The call that reads X once: its speed is the roof."""


@dataclass(frozen=True)
class TimedCall:
    """One of the calls that a case times.

    Args:
        name: the kernel's name, or what else was called.
        traffic_bytes: bytes that a call moves by the traffic model; None where there is no model.
        seconds_per_call: one sample a round; empty where it was not measured.
        reason: why it was not measured, in words; else empty.
    """

    name: str
    traffic_bytes: int | None
    seconds_per_call: tuple[float, ...]
    reason: str = ""


@dataclass(frozen=True)
class Requirement:
    """An upper bound on the time of a call, alone or relative to another call of its case.

        seconds(entry) / seconds(beside) <= at_most,   or seconds(entry) <= at_most

    Args:
        entry: name of the timed call.
        beside: name of the call that it is divided by; empty for the time itself.
        at_most: the bound, a ratio or seconds.
        words: the bound in words.
    """

    entry: str
    beside: str
    at_most: float
    words: str


@dataclass(frozen=True)
class Case:
    """Calls that took turns on the same data.

    Args:
        name: what the tables call it.
        n_samples, n_features, dtype, device: of the data.
        x_bytes: bytes of X.
        state: where X lies before a call: "from memory", "hot in cache" or "cold".
        entries: the calls.
        asked: the requirements on their times.
    """

    name: str
    n_samples: int
    n_features: int
    dtype: str
    device: str
    x_bytes: int
    state: str
    entries: tuple[TimedCall, ...]
    asked: tuple[Requirement, ...] = ()

    def samples(self, name: str) -> tuple[float, ...]:
        """The samples of a call; empty where it was not measured."""
        return next((call.seconds_per_call for call in self.entries if call.name == name), ())


@dataclass(frozen=True)
class Roofline:
    """All cases of one run, and the machine that it ran on."""

    cases: tuple[Case, ...]
    environment: Mapping[str, Any]
    caches: Mapping[str, int]
    """Bytes of the caches, by name: "L1", "L2", "L3"."""
    created: str
    schema_version: int = SCHEMA_VERSION


def as_json(roofline: Roofline) -> str:
    """All fields under their own names, raw samples included."""
    return json.dumps(dataclasses.asdict(roofline), indent=1) + "\n"
