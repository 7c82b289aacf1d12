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
    """What was entered, and how many records could not be.

    Args:
        measurements: that are new.
        files: that they were written to.
        uncommitted: how many records are of uncommitted changes.
        without_commit: how many records name no commit.
    """

    measurements: tuple[Measurement, ...]
    files: tuple[Path, ...]
    uncommitted: int
    without_commit: int

    def lines(self) -> list[str]:
        """The same in words."""
        found = ["nothing new"]
        if self.measurements:
            commits = len({one.commit for one in self.measurements})
            files = ", ".join(map(str, self.files))
            found = [f"{len(self.measurements)} new measurements of {commits} commits in {files}"]
        if self.uncommitted:
            found.append(
                f"left out: {self.uncommitted} records of uncommitted changes, as they belong to "
                "no commit: commit, then run again"
            )
        if self.without_commit:
            found.append(
                f"left out: {self.without_commit} records without a commit: run from a git checkout"
            )
        return found


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
    left_out = sum(commit.endswith("+") for commit in commits), commits.count("")
    committed = [r for r in records if commit_of(r) and not commit_of(r).endswith("+")]
    if not committed:
        return Appended((), (), *left_out)
    store.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(store.folder / ".lock", timeout=LOCK_S):
            known = {(one.measure, source) for one in store.read() for source in one.sources}
            new = measurements_of(committed, repository=repository, known=known, most=MOST_SAMPLES)
            files = store.append(new)
    except Timeout:
        raise InputError(
            f"another process is writing to {store.folder}: wait for it, or remove .lock there"
        ) from None
    return Appended(tuple(new), tuple(files), *left_out)
