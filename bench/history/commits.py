"""The dates and the order of commits, by git."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.git import git

HERE = Path(__file__).resolve().parents[2]
"""The checkout that this code runs from: records name its commits."""


def known_dates(commits: Iterable[str], repository: Path = HERE) -> dict[str, str]:
    """The committer's date, ISO 8601, of each commit that the repository holds."""
    hashes = filter(_is_hash, dict.fromkeys(commits))
    show = ("show", "-s", "--format=%cI")
    dates = {commit: _git(repository, *show, f"{commit}^{{commit}}") for commit in hashes}
    return {commit: date for commit, date in dates.items() if date}


def in_order(dates: Mapping[str, str], repository: Path = HERE) -> list[str]:
    """Commits, the oldest first: parents before children, by git's topological order.

    The repository may not hold a commit: its clone is shallow, or the commit was rebased away. Such
    a commit stands behind the last one whose date is not after its own.

    Args:
        dates: ISO 8601, by commit.
        repository: a git work tree, or any folder where there is none.
    """
    # A date without a zone is in UTC. What is no date is before all others.
    parsed = pd.to_datetime(pd.Series(dates), utc=True, errors="coerce", format="ISO8601")
    when = parsed.fillna(pd.Timestamp(0, tz="UTC")).to_dict()
    options = ("--topo-order", "--reverse", "--ignore-missing", "--stdin")
    text = "".join(f"{commit}\n" for commit in filter(_is_hash, dates))
    ancestors = _git(repository, "rev-list", *options, text=text).split()
    ordered = [commit for commit in ancestors if commit in dates]
    others = sorted(set(dates) - set(ordered), key=lambda commit: (when[commit], commit))
    for commit in others:
        not_after = [i for i, one in enumerate(ordered) if when[one] <= when[commit]]
        ordered.insert(not_after[-1] + 1 if not_after else 0, commit)
    return ordered


def _git(repository: Path, *arguments: str, text: str = "") -> str:
    """What git prints; empty where it fails, or is not there."""
    try:
        return git(*arguments, cwd=repository, text=text)
    except InputError:
        return ""


def _is_hash(commit: str) -> bool:
    """Whether it can be a commit: git must never take what a file says for an option."""
    return re.fullmatch("[0-9a-f]{7,64}", commit) is not None
