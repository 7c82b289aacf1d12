"""From records to a history: what is new of a results folder, and what can't be entered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.errors import InputError
from bench.history.commits import HERE, known_dates
from bench.history.entries import MEASURES, Entry, HistoryStore
from bench.records import Record, RecordStore, digest, latest

MOST_SAMPLES = 50
"""Of an entry: enough for its median and an interval."""

LOCK_S = 10.0
"""How long to wait for another process that writes."""

PYTEST_SUITE = "pytest"
"""What `pytest --benchmark-only` names the suite of its records."""


@dataclass(frozen=True)
class Appended:
    """What was entered, and how many records could not be: without a commit, or not committed."""

    entries: tuple[Entry, ...]
    files: tuple[Path, ...]
    uncommitted: int
    without_commit: int


def append_records(folder: Path, repository: Path = HERE) -> Appended:
    """Enter what is new of a results folder's records into its history.

    Records of uncommitted changes are left out: they are of no commit, and two of them with the
    same name need not be of the same code.

    Raises:
        InputError: records or history can't be read, or another process is writing there.
    """
    store = HistoryStore(folder)
    records = RecordStore(folder).read()
    committed = [r for r in records if _commit(r) and not _commit(r).endswith("+")]
    if not committed:
        return Appended((), (), *_left_out(records))
    store.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(store.folder / ".lock", timeout=LOCK_S):
            known = {(entry.measure, source) for entry in store.read() for source in entry.sources}
            new = entries(committed, repository=repository, known=known, most=MOST_SAMPLES)
            files = store.append(new)
    except Timeout:
        raise InputError(
            f"another process is writing to {store.folder}: wait for it, or remove .lock there"
        ) from None
    return Appended(tuple(new), tuple(files), *_left_out(records))


def entries(
    records: Iterable[Record],
    *,
    repository: Path = HERE,
    known: Iterable[tuple[str, str]] = (),
    most: int | None = None,
) -> list[Entry]:
    """The measures of records, pooled by commit, cell and measure.

    A kernel's record has samples of `seconds_per_call`; an optimizer's is one sample of each of
    `seconds_per_pass` = run_s / passes, and, where an optimum is proved, `time_to_1e-6_s` and
    `passes_to_1e-6`, each of which may be a miss. A run that failed missed. What is unavailable,
    or what a solver does not count, has no samples.

    Args:
        repository: where dates of commits come from.
        known: (measure, digest of a record) of what is left out; none is entered twice.
        most: samples of an entry, of which more are thinned out; None keeps all.
    """
    entered = set(known)
    new: list[tuple[Record, str, str, list[float | None]]] = []
    for record in records:
        source = _source(record)
        for measure, samples in _samples(record).items():
            if samples and (measure, source) not in entered:
                entered.add((measure, source))
                new.append((record, source, measure, samples))
    dates = known_dates([_commit(record).rstrip("+") for record, *_ in new], repository)
    pooled: dict[tuple[str, ...], Entry] = {}
    for record, source, measure, samples in new:
        date = dates.get(_commit(record).rstrip("+"), record.created)
        one = _entry(record, measure, samples, source, date)
        before = pooled.get((one.commit, *one.series))
        pooled[one.commit, *one.series] = _joined(before, one) if before else one
    return [replace(one, samples=evenly(one.samples, most)) for one in pooled.values()]


def evenly(samples: Sequence[float | None], most: int | None) -> tuple[float | None, ...]:
    """At most so many samples, evenly chosen by rank, so that quantiles stay; misses are last."""
    ordered = sorted(samples, key=lambda sample: (sample is None, sample or 0.0))
    if most is None or len(ordered) <= most:
        return tuple(ordered)
    return tuple(ordered[(2 * i + 1) * len(ordered) // (2 * most)] for i in range(most))


def _commit(record: Record) -> str:
    return str(record.environment.get("commit") or "")


def _source(record: Record) -> str:
    """What tells a record from all others: two runs of one cell have other times."""
    times = record.samples.get("seconds_per_call")
    where = (record.machine, _commit(record), record.key, record.created)
    return digest(*where, dict(record.score), times)


def _left_out(records: Sequence[Record]) -> tuple[int, int]:
    commits = [_commit(record) for record in records]
    return sum(commit.endswith("+") for commit in commits), commits.count("")


def _samples(record: Record) -> dict[str, list[float | None]]:
    """Samples by measure; None is a miss."""
    if record.status == "unavailable":
        return {}
    if record.kind == "kernel":
        times = record.samples.get("seconds_per_call", [])
        return {"seconds_per_call": [t for t in times if t]}
    found: dict[str, list[float | None]] = {}
    run_s, passes = record.score.get("run_s"), record.score.get("passes")
    if run_s and passes:
        found["seconds_per_pass"] = [run_s / passes]
    if record.problem_facts["f_star"] is None:
        return found  # there is nothing to come near to
    time_s = record.score.get("time_to_1e-6_s")
    found["time_to_1e-6_s"] = [time_s or None]
    if time_s is None or record.score.get("passes_to_1e-6"):
        found["passes_to_1e-6"] = [record.score.get("passes_to_1e-6") or None]
    return found


def _entry(
    record: Record, measure: str, samples: list[float | None], source: str, date: str
) -> Entry:
    kernel = record.kind == "kernel"
    environment = record.environment
    return Entry(
        commit=_commit(record),
        commit_date=date,
        created=record.created,
        machine=record.machine,
        configuration={
            "cpu": environment["cpu"],
            "cores": environment["usable_cores"],
            "gpus": list(environment["gpus"]),
            "torch": environment["torch"],
            "numpy": environment["numpy"],
            "threads": environment["torch_threads"],
        },
        problem=record.problem,
        kernel=record.kernel,
        optimizer=record.optimizer,
        device=record.device,
        dtype=record.dtype,
        timed_beside=str(record.score.get("timed_beside") or "") if kernel else "",
        timed_by="pytest-benchmark" if kernel and record.suite == PYTEST_SUITE else "bench",
        data=str(record.problem_facts["fingerprint"])[:12],
        budget="" if kernel else _budget(record),
        measure=measure,
        unit=MEASURES[measure],
        samples=tuple(samples),
        runs=len(samples),
        misses=sum(sample is None for sample in samples),
        sources=(source,),
    )


def _budget(record: Record) -> str:
    passes, seconds = record.score.get("budget_passes"), record.score.get("budget_s")
    limits = ((passes, "passes"), (seconds, "s"))
    return ", ".join(f"{limit:g} {unit}" for limit, unit in limits if limit is not None)


def _joined(a: Entry, b: Entry) -> Entry:
    return replace(
        b,
        created=max(a.created, b.created),
        samples=(*a.samples, *b.samples),
        runs=a.runs + b.runs,
        misses=a.misses + b.misses,
        sources=(*a.sources, *b.sources),
    )


def of_commit(
    folder: Path, commit: str | None, repository: Path = HERE
) -> tuple[list[Entry], dict[str, Any]]:
    """What a commit measured, with all its samples, and the environment that it did so in.

    Of records of the results folder the latest of each cell counts; where they have none of the
    commit, its history does, pooled and thinned out as it is.

    Args:
        commit: at least the first four letters; None for that of the newest record. Its machine
            is the one of its newest record.
    Raises:
        InputError: there is no such commit, or it is not told apart by these letters.
    """
    records = RecordStore(folder).read()
    kept = HistoryStore(folder).read() if commit or not records else []
    if commit is None:
        if not records:
            raise InputError(f"no records in {folder}: run python -m bench run first")
        whole = _commit(records[-1])
    else:
        whole = _whole(commit, [*map(_commit, records), *(entry.commit for entry in kept)])
    found = [r for r in records if _commit(r) == whole]
    if found:
        machine = found[-1].machine
        newest = latest(r for r in found if r.machine == machine)
        return entries(newest, repository=repository), dict(found[-1].environment)
    of_history = [entry for entry in kept if entry.commit == whole]
    machine = of_history[-1].machine
    pooled: dict[tuple[str, ...], Entry] = {}
    for entry in (entry for entry in of_history if entry.machine == machine):
        before = pooled.get(entry.series)
        pooled[entry.series] = _joined(before, entry) if before else entry
    return [replace(e, samples=evenly(e.samples, None)) for e in pooled.values()], {}


def _whole(prefix: str, commits: Iterable[str]) -> str:
    """The one commit that begins like this; a prefix that is a whole name is that commit."""
    there = list(dict.fromkeys(filter(None, commits)))
    if prefix in there:
        return prefix
    found = [commit for commit in there if commit.startswith(prefix)]
    if len(found) == 1 and len(prefix) >= 4:
        return found[0]
    if found:
        raise InputError(
            f"{len(found)} commits begin with {prefix!r}: name at least 4 letters, or more"
        )
    measured = ", ".join(commit[:12] for commit in there[-5:]) or "none"
    raise InputError(
        f"there is no result of {prefix!r}: name one of those measured, the last being {measured}"
    )
