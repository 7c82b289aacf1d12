"""Enter what is new of a results folder into its history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import InputError
from bench.history.commits import HERE
from bench.history.measurements import commit_of, measurements_of
from bench.history.store import HistoryStore, Measurement
from bench.records import RecordStore

MOST_SAMPLES = 50
"""Samples of a measurement that are kept: enough for its median and an interval."""

LOCK_S = 10.0
"""How long to wait for another process that writes."""


@dataclass(frozen=True)
class Appended:
    """The measurements that are new, and in words what was entered and what was left out."""

    measurements: tuple[Measurement, ...]
    lines: tuple[str, ...]


def append_records(folder: Path, repository: Path = HERE) -> Appended:
    """Enter what is new of a results folder's records into its history.

    Records of uncommitted changes are left out: they belong to no commit, and two of them with the
    same name need not be of the same code.

    Raises:
        InputError: records or history can't be read, or another process is writing there.
    """
    store = HistoryStore(folder)
    records = RecordStore(folder).read()
    commits = [commit_of(record) for record in records]
    committed = [r for r in records if commit_of(r) and not commit_of(r).endswith("+")]
    new: list[Measurement] = []
    lines = ["nothing new"]
    if committed:
        store.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(store.folder / ".lock", timeout=LOCK_S):
                known = {(one.measure, source) for one in store.read() for source in one.sources}
                new = measurements_of(
                    committed, repository=repository, known=known, most=MOST_SAMPLES
                )
                files = store.append(new)
        except Timeout:
            raise InputError(
                f"another process is writing to {store.folder}: wait for it, or remove .lock there"
            ) from None
    if new:
        n_commits, where = len({one.commit for one in new}), ", ".join(map(str, files))
        lines = [f"{len(new)} new measurements of {n_commits} commits in {where}"]
    if uncommitted := sum(commit.endswith("+") for commit in commits):
        lines.append(
            f"left out: {uncommitted} records of uncommitted changes, as they belong to no commit: "
            "commit, then run again"
        )
    if without_commit := commits.count(""):
        lines.append(
            f"left out: {without_commit} records without a commit: run from a git checkout"
        )
    return Appended(tuple(new), tuple(lines))
