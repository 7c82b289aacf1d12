"""Compare two saved results folders, where they come from one machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.comparisons import NEW, NOT_TIMED, Cell, CellResult, Comparison, Side
from bench.errors import InputError
from bench.records import Record, RecordStore, latest
from bench.score.verdicts import judge_saved

_DIFFER = ("torch", "numpy", "scipy", "python", "torch_threads", "blas_threads")


class OtherMachine(Exception):  # noqa: N818 - the name says it
    """The two sets were measured on different machines; the text says which."""


def compare_saved(
    base: Path, head: Path, *, threshold: float, confidence: float = 0.95, any_machine: bool = False
) -> Comparison:
    """Compare seconds per call of kernels, and per pass of runs, cell by cell.

    The runs did not take turns: see `judge_saved` for what that costs.

    Args:
        base, head: results folders, with `records.jsonl`.
        any_machine: compare even what different machines measured.
    Raises:
        InputError: no records, or nothing that both have.
        OtherMachine: the machines differ, and `any_machine` is not set.
    """
    records = [_records(folder) for folder in (base, head)]
    notes = _notes(records[0], records[1], any_machine)
    samples = [_samples(side) for side in records]
    both = [cell for cell in samples[0] if cell in samples[1]]
    if not both:
        raise InputError(f"{base} and {head} have no timed cell in common: run the same suite")
    judged = judge_saved(
        [samples[0][cell] for cell in both],
        [samples[1][cell] for cell in both],
        threshold=threshold,
        confidence=confidence,
    )
    results = [
        CellResult(
            cell=cell,
            verdict=str(found.verdict),
            ratio=found.ratio,
            low=found.low,
            high=found.high,
            base_s=tuple(samples[0][cell]),
            head_s=tuple(samples[1][cell]),
        )
        for cell, found in zip(both, judged, strict=True)
    ]
    for here, there, verdict in ((1, 0, NEW), (0, 1, NOT_TIMED)):
        reason = f"only in {(base, head)[here]}"
        results += [
            CellResult(cell, verdict, reason=reason)
            for cell in samples[here]
            if cell not in samples[there]
        ]
    return Comparison(
        base=_side(base, records[0]),
        head=_side(head, records[1]),
        cells=tuple(results),
        threshold=threshold,
        confidence=confidence,
        paired=False,
        sessions=0,
        seconds=0.0,
        environment=dict(records[1][-1].environment),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=notes,
    )


def is_saved(name: str | None) -> bool:
    """Whether a side is named by a results folder, rather than by a commit."""
    return name is not None and (Path(name) / "records.jsonl").is_file()


def _records(folder: Path) -> list[Record]:
    records = latest(RecordStore(folder).read())
    if not records:
        raise InputError(f"{folder} has no records: name a results folder of python -m bench run")
    return records


def _notes(base: Sequence[Record], head: Sequence[Record], any_machine: bool) -> tuple[str, ...]:
    notes = [
        "the two sets did not take turns: a ratio counts only where it stands out from what all "
        "cells have in common; compare commits instead of folders for a sharper answer"
    ]
    machines = [{record.machine: record for record in side} for side in (base, head)]
    if set(machines[0]) != set(machines[1]) or len(machines[0]) > 1:
        names = [
            ", ".join(sorted(f"{m} ({r.environment['cpu']})" for m, r in side.items()))
            for side in machines
        ]
        words = f"base was measured on {names[0]}, head on {names[1]}"
        if not any_machine:
            raise OtherMachine(
                f"{words}: times of different machines say nothing about the code; measure both on "
                "one machine, or insist with --other-machine"
            )
        notes.append(f"{words}: the ratios are the machines' too")
    for name in _DIFFER:
        values = [side[-1].environment.get(name) for side in (base, head)]
        if values[0] != values[1]:
            notes.append(f"{name} differs: {values[0]} and {values[1]}")
    return tuple(notes)


def _samples(records: Sequence[Record]) -> dict[Cell, list[float]]:
    """Seconds of each cell: one for each block of calls, or for each run's passes."""
    found: dict[Cell, list[float]] = {}
    for record in records:
        cell = Cell(record.problem, record.kernel, record.optimizer, record.device, record.dtype)
        if record.kind == "kernel":
            times = [s for s in record.samples.get("seconds_per_call", []) if s]
        else:
            run_s, passes = record.score.get("run_s"), record.score.get("passes")
            times = [run_s / passes] if run_s and passes else []
        found.setdefault(cell, []).extend(t for t in times if t > 0 and math.isfinite(t))
    return {cell: times for cell, times in found.items() if times}


def _side(folder: Path, records: Sequence[Record]) -> Side:
    return Side(str(folder), str(records[-1].environment.get("commit") or "unknown"))
