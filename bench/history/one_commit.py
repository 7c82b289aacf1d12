"""What one commit measured, for an export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.history.commits import HERE
from bench.history.measurements import commit_of, measurements_of, pooled, thin_out
from bench.history.store import HistoryStore, Measurement
from bench.records import RecordStore, latest


def measured_at(
    folder: Path, commit: str | None, repository: Path = HERE
) -> tuple[list[Measurement], dict[str, Any]]:
    """What a commit measured, with all samples, and the environment that it was measured in.

    Of the records in the results folder the latest of each cell counts. If none is of this commit,
    its history counts, pooled and thinned out as it is. The environment is then empty.

    Args:
        commit: at least the first four letters; None for that of the newest record. Only the
            machine that measured it last is taken.
    Raises:
        InputError: there is no such commit, or several begin like this.
    """
    records = RecordStore(folder).read()
    kept = HistoryStore(folder).read() if commit or not records else []
    if commit is None:
        if not records:
            raise InputError(f"no records in {folder}: run python -m bench run first")
        whole = commit_of(records[-1])
    else:
        whole = _whole(commit, [*map(commit_of, records), *(one.commit for one in kept)])
    found = [record for record in records if commit_of(record) == whole]
    if found:
        newest = latest(record for record in found if record.machine == found[-1].machine)
        return measurements_of(newest, repository=repository), dict(found[-1].environment)
    of_history = [one for one in kept if one.commit == whole]
    one_machine = pooled(one for one in of_history if one.machine == of_history[-1].machine)
    return [replace(one, samples=thin_out(one.samples, None)) for one in one_machine], {}


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
