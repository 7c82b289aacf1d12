"""Cells of two saved sets, side by side: the seconds of each run, or why there is no ratio."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.compare.comparison import FAILED, GONE, NEW, NOT_TIMED, Cell
from bench.records import Record

Runs = tuple[tuple[float, ...], ...]

VERSIONS = (
    *("torch", "numpy", "scipy", "scikit-learn", "triton", "glum", "jax", "snapml"),
    *("python", "blas", "cuda_driver", "os"),
)
THREADS = ("torch_threads", "blas_threads")

_PYTEST = "pytest"  # the suite's name of records that pytest-benchmark timed
_BAD = ("failed", "unavailable", "diverged")


@dataclass(frozen=True)
class Pair:
    """A cell of two sets.

    Args:
        base, head: seconds of its samples, run by run, the latest first; empty with a verdict.
        verdict, reason: why they aren't compared.
        records: the latest of base and of head that belong together, where there are any.
        left_out: whether one side also has records of other code or settings.
        alone: whether only one of the two has it.
    """

    cell: Cell
    base: Runs = ()
    head: Runs = ()
    verdict: str = ""
    reason: str = ""
    records: tuple[Record, ...] = ()
    left_out: bool = False
    alone: bool = False

    @property
    def runs(self) -> int:
        """Of the side that has fewer."""
        return min(len(self.base), len(self.head))


def pair_cells(
    base: Sequence[Record], head: Sequence[Record], *, any_machine: bool = False
) -> list[Pair]:
    """Every cell of either set, those of both first.

    A cell is compared only where data, penalty, budget, threads, and the way it was timed are the
    same. Of several runs in a folder those count that are of the latest's commit and versions.

    Args:
        base, head: all records, oldest first.
        any_machine: the machines, and so the threads, may differ.
    """
    cells = [_by_cell(side) for side in (base, head)]
    both = [cell for cell in cells[0] if cell in cells[1]]
    return [
        *(_pair(cell, cells[0][cell], cells[1][cell], any_machine) for cell in both),
        *(_alone(cell, "head", cells[1][cell]) for cell in cells[1] if cell not in cells[0]),
        *(_alone(cell, "base", cells[0][cell]) for cell in cells[0] if cell not in cells[1]),
    ]


def _by_cell(records: Iterable[Record]) -> dict[Cell, list[Record]]:
    found: dict[Cell, list[Record]] = {}
    for record in records:
        cell = Cell(record.problem, record.kernel, record.optimizer, record.device, record.dtype)
        found.setdefault(cell, []).append(record)
    return found


def _alone(cell: Cell, side: str, records: Sequence[Record]) -> Pair:
    bad = _bad(records)
    alone = NEW if side == "head" else GONE
    verdict = NOT_TIMED if bad else alone
    reason = f"only in {side}: {bad}" if bad else f"only in {side}"
    return Pair(cell, verdict=verdict, reason=reason, alone=True)


def _pair(
    cell: Cell, all_base: Sequence[Record], all_head: Sequence[Record], any_machine: bool
) -> Pair:
    last = _latest_alike(all_base, all_head, any_machine)
    if last is None:
        reason = _other_settings(all_base[-1], all_head[-1], any_machine)
        return Pair(cell, verdict=NOT_TIMED, reason=reason)
    base, head = (
        [r for r in side if not _differences(r, one, any_machine) and _same_code(r, one)]
        for side, one in zip((all_base, all_head), last, strict=True)
    )
    verdict, reason = _why_not(base, head)
    if verdict:
        return Pair(cell, verdict=verdict, reason=reason)
    anew = [record for record in head if record not in base]
    if not anew:
        reason = "the same measurement is in both: run head's anew, with --rerun"
        return Pair(cell, verdict=NOT_TIMED, reason=reason)
    sides = {"base": _runs(base), "head": _runs(anew)}
    for side, runs in sides.items():
        if not runs:
            what = "its passes were not counted" if cell.optimizer else "it has no samples"
            return Pair(cell, verdict=NOT_TIMED, reason=f"{side}: {what}")
    others = len(all_base) + len(all_head) > len(base) + len(head)
    return Pair(cell, sides["base"], sides["head"], records=last, left_out=others)


def _latest_alike(
    base: Sequence[Record], head: Sequence[Record], any_machine: bool
) -> tuple[Record, Record] | None:
    """The latest of head that there is one like in base, with the latest of those."""
    for h in reversed(head):
        for b in reversed(base):
            if not _differences(b, h, any_machine):
                return b, h
    return None


def _differences(a: Record, b: Record, any_machine: bool) -> list[str]:
    ours, theirs = _settings(a, any_machine), _settings(b, any_machine)
    return [name for name in ours if name in theirs and ours[name] != theirs[name]]


def _other_settings(base: Record, head: Record, any_machine: bool) -> str:
    names = _differences(base, head, any_machine)
    ours, theirs = _settings(base, any_machine), _settings(head, any_machine)
    if "l2" in names and "size" not in names:
        names.remove("data")  # its fingerprint covers the penalty
    return "; ".join(
        f"other {name}: {_words(ours[name])} (base) and {_words(theirs[name])} (head)"
        for name in names
    )


def _settings(record: Record, any_machine: bool) -> dict[str, Any]:
    """What must be the same on both sides; a record without times lacks the way it was timed."""
    facts, environment = record.problem_facts, record.environment
    found: dict[str, Any] = {
        "size": f"{facts['n_samples']} x {facts['n_features']}",
        "l2": facts["l2"],
        "data": str(facts.get("fingerprint"))[:12],
    }
    if not any_machine:
        found["machine"] = record.machine
        found |= {name.replace("_", " "): environment.get(name) for name in THREADS}
    if record.kind == "convergence":
        found["budget"] = (record.score.get("budget_passes"), record.score.get("budget_s"))
    if record.kind == "kernel" and record.samples.get("seconds_per_call"):
        # In each round they take turns in an order by chance, so the order here means nothing.
        together = str(record.score.get("timed_beside")).split(", ")
        found["kernels timed in turns"] = ", ".join(sorted(together))
        found["timer"] = "pytest-benchmark" if record.suite == _PYTEST else "bench"
    if record.kind == "convergence" and record.samples:
        found["sampling"] = record.sampling
    return found


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        limits = zip(value, ("passes", "s"), strict=True)
        return " or ".join(f"{x:g} {unit}" for x, unit in limits if x is not None) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _same_code(a: Record, b: Record) -> bool:
    return a.machine == b.machine and all(
        a.environment.get(name) == b.environment.get(name) for name in ("commit", *VERSIONS)
    )


def _why_not(base: Sequence[Record], head: Sequence[Record]) -> tuple[str, str]:
    """The verdict of a cell that failed on a side, and the reason; empty where both are fine."""
    bad_base, bad_head = _bad(base), _bad(head)
    if bad_base:
        if bad_base == bad_head:
            return NOT_TIMED, f"both: {bad_base}"
        also = f"; head: {bad_head}" if bad_head else ""
        was_unavailable = all(r.status == "unavailable" for r in _latest(base).values())
        verdict = NEW if was_unavailable and not bad_head else NOT_TIMED
        return verdict, f"base: {bad_base}{also}"
    return (FAILED, f"head: {bad_head}") if bad_head else ("", "")


def _bad(records: Sequence[Record]) -> str:
    """What went wrong in the latest run, in one line; empty where nothing did."""
    latest = _latest(records).values()
    bad = [record for record in latest if record.status in _BAD]
    if not bad:
        return ""
    few = f"{len(bad)} of {len(latest)} runs " if len(latest) > 1 else ""
    words = f"{few}{bad[0].status}"
    return " ".join((f"{words}: {bad[0].message}" if bad[0].message else words).split())


def _latest(records: Iterable[Record]) -> Mapping[tuple[int, int], Record]:
    return {(record.seed, record.repetition): record for record in records}


def _runs(records: Sequence[Record]) -> Runs:
    """Seconds by run, the latest first: a record that was made again is of another run.

    A key is a digest of the code, too, so that equal ones of a working tree with changes are of the
    same kernel and optimizer.
    """
    again: dict[tuple[int, int], list[Record]] = {}
    latest = _latest(records)
    for record in reversed(records):
        unit = (record.seed, record.repetition)
        if record.key == latest[unit].key and record.status not in _BAD:
            again.setdefault(unit, []).append(record)
    deepest = max(map(len, again.values()), default=0)
    runs = (
        tuple(s for made in again.values() if len(made) > k for s in _seconds(made[k]))
        for k in range(deepest)
    )
    return tuple(run for run in runs if run)


def _seconds(record: Record) -> list[float]:
    """Per call, or per pass of a run: what is there of it."""
    if record.kind == "kernel":
        times = [s for s in record.samples.get("seconds_per_call", []) if s]
    else:
        run_s, passes = record.score.get("run_s"), record.score.get("passes")
        times = [run_s / passes] if run_s and passes else []
    return [s for s in times if s > 0 and math.isfinite(s)]
