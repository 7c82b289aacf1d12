"""Compare two saved results folders, where they come from one machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.compare.comparison import CellResult, Comparison, Side
from bench.compare.saved_cells import THREADS, VERSIONS, Pair, pair_cells
from bench.errors import InputError
from bench.records import Record, RecordStore, latest
from bench.statistics.verdicts import Judged, Verdict, judge_saved, run_middle_s


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
    machines = _machines(records[0], records[1], any_machine)
    pairs = pair_cells(records[0], records[1], any_machine=any_machine)
    if all(pair.alone for pair in pairs):
        raise InputError(f"{base} and {head} have no timed cell in common: run the same suite")
    timed = [pair for pair in pairs if not pair.verdict]
    judged = judge_saved(
        [pair.base for pair in timed],
        [pair.head for pair in timed],
        threshold=threshold,
        confidence=confidence,
    )
    results = [_result(pair, found) for pair, found in zip(timed, judged, strict=True)]
    results += [
        CellResult(pair.cell, pair.verdict, reason=pair.reason) for pair in pairs if pair.verdict
    ]
    used = [[pair.records[k] for pair in timed] or records[k][-1:] for k in (0, 1)]
    return Comparison(
        base=_side(base, used[0]),
        head=_side(head, used[1]),
        cells=tuple(results),
        threshold=threshold,
        confidence=confidence,
        paired=False,
        sessions=0,
        seconds=0.0,
        environment=dict(used[1][-1].environment),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(*machines, *_notes(timed, results), *_differ(used[0], used[1])),
    )


def is_saved(name: str | None) -> bool:
    """Whether a side is named by a results folder, rather than by a commit."""
    return name is not None and (Path(name) / "records.jsonl").is_file()


def _records(folder: Path) -> list[Record]:
    records = RecordStore(folder).read()
    if not records:
        raise InputError(f"{folder} has no records: name a results folder of python -m bench run")
    return records


def _result(pair: Pair, judged: Judged) -> CellResult:
    reason = ""
    if judged.verdict == Verdict.INCONCLUSIVE and judged.low == 0:
        single = [
            side
            for side, runs in (("base", pair.base), ("head", pair.head))
            if len(runs) == len(runs[0]) == 1
        ]
        reason = (
            f"{single[0]}: a single sample has no scatter to judge by: more --repetitions"
            if single
            else "too few other cells to tell what the machine did between the two sets"
        )
    return CellResult(
        cell=pair.cell,
        verdict=str(judged.verdict),
        ratio=judged.ratio,
        low=judged.low,
        high=judged.high,
        base_s=tuple(map(run_middle_s, pair.base)),
        head_s=tuple(map(run_middle_s, pair.head)),
        reason=reason,
    )


def _machines(base: Sequence[Record], head: Sequence[Record], any_machine: bool) -> tuple[str, ...]:
    """A note where the two are of different machines.

    Raises:
        OtherMachine: they are, and may not be.
    """
    machines = [{r.machine: r for r in latest(side)} for side in (base, head)]
    if set(machines[0]) == set(machines[1]) and len(machines[0]) == 1:
        return ()
    names = [
        ", ".join(sorted(f"{m} ({r.environment['cpu']})" for m, r in side.items()))
        for side in machines
    ]
    words = f"base was measured on {names[0]}, head on {names[1]}"
    if not any_machine:
        raise OtherMachine(
            f"{words}: times of different machines say nothing about the code; measure both on one "
            "machine, or insist with --other-machine"
        )
    return (f"{words}: the ratios are the machines' too",)


def _notes(timed: Sequence[Pair], results: Sequence[CellResult]) -> list[str]:
    """What a reader must know of the cells that were compared."""
    ratios = [result.ratio for result in results if result.ratio is not None]
    if not ratios:
        return []
    notes = [
        "the two sets did not take turns: what all cells have in common (the middle ratio is "
        f"{median(ratios):.2f}x) may be the machine's doing, and a ratio counts only where it "
        "stands out from that; compare commits instead of folders for a sharper answer"
    ]
    single = sum(pair.runs == 1 for pair in timed)
    if single:
        cells = "each cell" if single == len(timed) else f"{single} of {len(timed)} cells"
        notes.append(
            f"{cells} has a single run on a side: by how much two runs of the same code differ was "
            "not measured, only guessed from the other cells; python -m bench run --rerun adds a "
            "run to a folder"
        )
    if any(pair.cell.optimizer for pair in timed):
        notes.append(
            "a run counts by its time per pass: one that needs more passes is not slower here; "
            "python -m bench counters finds it"
        )
    if any(pair.left_out for pair in timed):
        notes.append(
            "records of other commits, versions or settings of the same cells were left out: a "
            "cell counts by the latest that the two sets can be compared in"
        )
    return notes


def _differ(base: Sequence[Record], head: Sequence[Record]) -> list[str]:
    """What else the two sets differ in than the code."""
    notes = []
    for name in (*VERSIONS, *THREADS):
        values = [_values(side, name) for side in (base, head)]
        if values[0] != values[1]:
            notes.append(f"{name} differs: {values[0]} and {values[1]}")
    for side, records in (("base", base), ("head", head)):
        commits = {str(record.environment.get("commit")) for record in records}
        if len(commits) > 1:
            notes.append(f"{side} has cells of {len(commits)} commits: the latest is named above")
    return notes


def _values(records: Iterable[Record], name: str) -> str:
    found = {str(_listed(record.environment.get(name))) for record in records}
    return ", ".join(sorted(found))


def _listed(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _side(folder: Path, records: Sequence[Record]) -> Side:
    newest = max(records, key=lambda record: record.created)
    return Side(str(folder), str(newest.environment.get("commit") or "unknown"))
