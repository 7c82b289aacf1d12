"""From records to measurements of a history: pooled by commit and series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.history.commits import HERE, known_dates
from bench.history.store import MEASURES, Measurement
from bench.records import Record, digest


def measurements_of(
    records: Iterable[Record],
    *,
    repository: Path = HERE,
    known: Iterable[tuple[str, str]] = (),
    most: int | None = None,
) -> list[Measurement]:
    """The measures of records, pooled by commit, cell and measure.

    A kernel's record has samples of `seconds_per_call`. An optimizer's has one sample of
    `seconds_per_pass` = run_s / passes. Where an optimum is proved it also has `time_to_1e-6_s` and
    `passes_to_1e-6`, each of which may be a miss. A run that failed missed. A cell that is
    unavailable has no samples, nor has what a solver does not count.

    Args:
        repository: where dates of commits come from.
        known: (measure, digest of a record) of what is left out; none is entered twice.
        most: samples of a measurement that are kept, see `thin_out`; None keeps all.
    """
    entered = set(known)
    found = []
    for record in records:
        source = _digest(record)
        for measure, samples in _samples(record).items():
            if samples and (measure, source) not in entered:
                entered.add((measure, source))
                found.append(_measurement(record, measure, samples, source))
    dates = known_dates([one.commit.rstrip("+") for one in found], repository)
    return [
        replace(
            one,
            commit_date=dates.get(one.commit.rstrip("+"), one.created),
            samples=thin_out(one.samples, most),
        )
        for one in pooled(found)
    ]


def pooled(measurements: Iterable[Measurement]) -> list[Measurement]:
    """One for each commit and series, with the samples of all of them, in their order."""
    groups: dict[tuple[str, ...], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.commit, *one.series_key), []).append(one)
    return [
        replace(
            sorted(group, key=lambda one: one.created)[-1],
            samples=tuple(sample for one in group for sample in one.samples),
            runs=sum(one.runs for one in group),
            misses=sum(one.misses for one in group),
            sources=tuple(source for one in group for source in one.sources),
        )
        for group in groups.values()
    ]


def thin_out(samples: Sequence[float | None], most: int | None) -> tuple[float | None, ...]:
    """At most `most` samples in ascending order, misses last, evenly chosen by rank.

    Quantiles stay what they were. None keeps all samples.
    """
    ordered = sorted(samples, key=lambda sample: (sample is None, sample or 0.0))
    if most is None or len(ordered) <= most:
        return tuple(ordered)
    return tuple(ordered[(2 * i + 1) * len(ordered) // (2 * most)] for i in range(most))


def commit_of(record: Record) -> str:
    """The commit of a record; empty where it has none."""
    return str(record.environment.get("commit") or "")


def _digest(record: Record) -> str:
    """Tells a record from all others: two runs of one cell have different times."""
    where = (record.machine, commit_of(record), record.key, record.created)
    return digest(*where, dict(record.score), record.samples.get("seconds_per_call"))


def _samples(record: Record) -> dict[str, list[float | None]]:
    """Samples by measure; None is a miss."""
    if record.status == "unavailable":
        return {}
    if record.kind == "kernel":
        times = record.samples.get("seconds_per_call", [])
        return {"seconds_per_call": [t for t in times if t]}
    names = ("run_s", "passes", "time_to_1e-6_s", "passes_to_1e-6")
    run_s, passes, time_to, passes_to = map(record.score.get, names)
    found: dict[str, list[float | None]] = {}
    if run_s and passes:
        found["seconds_per_pass"] = [run_s / passes]
    if record.problem_facts["f_star"] is None:
        return found  # nothing to be near to
    found["time_to_1e-6_s"] = [time_to or None]
    if time_to is None or passes_to:
        found["passes_to_1e-6"] = [passes_to or None]
    return found


def _measurement(
    record: Record, measure: str, samples: list[float | None], source: str
) -> Measurement:
    kernel, environment = record.kind == "kernel", record.environment
    limits = ((record.score.get("budget_passes"), "passes"), (record.score.get("budget_s"), "s"))
    budget = ", ".join(f"{limit:g} {unit}" for limit, unit in limits if limit is not None)
    return Measurement(
        commit=commit_of(record),
        commit_date=record.created,
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
        timed_by="pytest-benchmark" if kernel and record.suite == "pytest" else "bench",
        data=str(record.problem_facts["fingerprint"])[:12],
        budget="" if kernel else budget,
        measure=measure,
        unit=MEASURES[measure],
        samples=tuple(samples),
        runs=len(samples),
        misses=sum(sample is None for sample in samples),
        sources=(source,),
    )
