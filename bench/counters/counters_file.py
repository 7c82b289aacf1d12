"""`results/counters.json`: what is counted, as it is kept, and what has changed.

Format 1: the first.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files.json_documents import versioned_fields

SCHEMA_VERSION = 1
END = "end"
"""Where a run's counters are totals; elsewhere they are at one of its targets."""
CELL, THERE = "cell", "there"
"""The counter, and its value, of a cell that comes or goes as a whole."""
RUNS, READS, CUDA, SETTINGS = "runs", "reads_of_x", "cuda", "settings"
SECTIONS = (SETTINGS, READS, RUNS, CUDA)
"""What is compared. Changes are shown in this order, causes before their effects."""

_SEPARATOR = " | "

_TOLERANCE = {
    "optimizers": ["lbfgs"],
    "at": END,
    "status": "converged",
    "allowed": 3,
    "reason": (
        "Everything is exact, but for where an L-BFGS run ends that converges: its last steps "
        "follow the rounding errors of its gradients. On the quick suite no count differed between "
        "the three kernels, nor with OpenBLAS for Prescott, Haswell and SkylakeX, torch with and "
        "without AVX2 and AVX-512, MKL with and without CBWR, fused-cpu with vectors of 256 and "
        "512 bits, 1 and 2 threads. With errors of 1e-15, relative, put into every gradient, 4 of "
        "312 L-BFGS runs ended up to 3 calls later, and no count at a target moved."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Everything that is counted of one state of the code, in the order of the file.

    Args:
        tolerance: which counts may differ, by how much, and why.
        environment: versions, and the code paths that libraries chose; no name of a machine.
        not_counted: the reason for each thing that was left out.
        settings: what was run: suite, kernels, dtype, seed, passes.
        reads_of_x: how often each call reads X, by kernel and data.
        cuda: launches, synchronisations and copies to the host, by kernel and call; empty where
            there is no device.
        runs: of optimizers; see `bench.counters.run_counts.count_runs`.
    """

    tolerance: Mapping[str, Any] = field(default_factory=lambda: _TOLERANCE)
    environment: Mapping[str, Any]
    not_counted: Mapping[str, str]
    settings: Mapping[str, Any]
    reads_of_x: Mapping[str, Mapping[str, Any]]
    cuda: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """One counter that differs.

    Args:
        section: one of `SECTIONS`.
        cell: the names of a run, or of a kernel and its data.
        counter: such as "oracle_calls", "value_and_grad" or "status".
        at: a target of a run, or "end"; empty for other counters.
        committed, now: the two values; None is a miss, or a counter that is not there.
        allowed: how far apart they may be.
    """

    section: str
    cell: tuple[str, ...]
    counter: str
    at: str
    committed: Any
    now: Any
    allowed: int = 0

    @property
    def difference(self) -> float | None:
        """Now less committed; None where one of them is a miss or a word."""
        one, other = self.committed, self.now
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return other - one if numbers else None

    def is_allowed(self) -> bool:
        """Whether the two are the same, or no further apart than they may be."""
        difference = self.difference
        near = difference is not None and abs(difference) <= self.allowed
        return near or self.committed == self.now


def cell_name(*names: str) -> str:
    """The key of a cell."""
    return _SEPARATOR.join(names)


def as_json(counters: Counters) -> str:
    """JSON, sorted, with one line a counter, so that a diff shows only what changed."""
    document = {
        "about": "Exact counts, compared by: python -m bench counters --check; rewritten by "
        "python -m bench counters --update",
        "schema_version": SCHEMA_VERSION,
        **vars(counters),
    }
    return _indented(document, depth=0) + "\n"


def read_counters(path: Path) -> Counters:
    """Read what `as_json` wrote.

    Raises:
        InputError: there is no such file, it is something else, or a newer version wrote it.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no counters at {path}: run python -m bench counters --update") from None
    fields = versioned_fields(
        text,
        str(path),
        "a counters file",
        SCHEMA_VERSION,
        otherwise="restore it from git, or move it away",
        other_version="update this checkout if it is newer, or move the file away",
    )
    names = [one.name for one in dataclasses.fields(Counters)]
    if not all(isinstance(fields.get(name), dict) for name in names) or not all(
        isinstance(cell, dict) for name in (RUNS, READS, CUDA) for cell in fields[name].values()
    ):
        raise InputError(f"{path} does not have the fields of counters: restore it from git")
    return Counters(**{name: fields[name] for name in names})


def changes(committed: Counters, now: Counters) -> list[Change]:
    """What differs by more than the committed tolerance.

    A cell that comes or goes is one change. So is a run that ends with another status, whatever
    else of it differs. CUDA is compared where both have counted it.
    """
    found: list[Change] = []
    for section in SECTIONS:
        before, after = _cells(committed, section), _cells(now, section)
        if section == CUDA and not (before and after):
            continue
        for name in dict.fromkeys([*before, *after]):
            cell = tuple(name.split(_SEPARATOR))
            if name not in before or name not in after:
                was, is_now = (THERE if name in cells else None for cells in (before, after))
                found.append(Change(section, cell, CELL, "", was, is_now))
                continue
            if section == RUNS and before[name].get("status") != after[name].get("status"):
                was, is_now = _status(before[name]), _status(after[name])
                found.append(Change(section, cell, "status", "", was, is_now))
                continue
            one, other = _flat(before[name]), _flat(after[name])
            for key in dict.fromkeys([*one, *other]):
                allowed = _allowed(committed, cell, *key) if section == RUNS else 0
                change = Change(section, cell, *key, one.get(key), other.get(key), allowed)
                if not change.is_allowed():
                    found.append(change)
    return found


def other_versions(committed: Counters, now: Counters) -> list[str]:
    """What differs from the committed environment, in words.

    GPUs matter where both have one: elsewhere no counts of theirs are compared.
    """
    names = dict.fromkeys([*committed.environment, *now.environment])
    pairs = {name: (committed.environment.get(name), now.environment.get(name)) for name in names}
    if not (committed.cuda and now.cuda):
        pairs.pop("gpus", None)
    return [f"{name} {was}, here {here}" for name, (was, here) in pairs.items() if was != here]


def _cells(counters: Counters, section: str) -> Mapping[str, Mapping[str, Any]]:
    cells: Mapping[str, Any] = getattr(counters, section)
    return {SETTINGS: cells} if section == SETTINGS else cells


def _flat(counts: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Numbers by `counter` and `at` of a `Change`."""
    flat: dict[tuple[str, str], Any] = {}
    for counter, value in counts.items():
        if isinstance(value, Mapping):
            flat |= {(counter, at): number for at, number in value.items()}
        elif counter != "message":  # it is shown with the status
            flat[counter, ""] = value
    return flat


def _status(run: Mapping[str, Any]) -> str:
    return ": ".join(str(run[name]) for name in ("status", "message") if run.get(name))


def _allowed(committed: Counters, cell: tuple[str, ...], counter: str, at: str) -> int:
    """The tolerance of a run's counter; 0 wherever none is stated."""
    rule, run = committed.tolerance, committed.runs[cell_name(*cell)]
    applies = (
        cell[1].partition(":")[0] in rule.get("optimizers", ())
        and run.get("status") == rule.get("status")
        and (at == rule.get("at") or counter == "steps")
    )
    return int(rule.get("allowed", 0)) if applies else 0


def _indented(value: Any, depth: int) -> str:
    """JSON with a line for each innermost mapping, and one for each other value."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    numbers = all(x is None or isinstance(x, int | float) for x in value.values())
    if depth > 1 and numbers:
        return json.dumps(value, allow_nan=False)
    # A run's counters stay in the order of its targets, which is not alphabetic.
    names = value if depth == 0 else sorted(value)
    inner = " " * (depth + 1)
    lines = [f"{inner}{json.dumps(str(k))}: {_indented(value[k], depth + 1)}" for k in names]
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"
