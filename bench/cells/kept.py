"""Which suite of a results folder is not complete, and which records are out of date."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bench.cells.definitions import SUITES, Suite
from bench.errors import InputError
from bench.git import git
from bench.measure.environment import LIBRARIES, version
from bench.records import Record

_ROOT = Path(__file__).resolve().parents[2]
_MEASURED_CODE = ("logreg_kernels", "bench/optimizers", "bench/measure/refit.py")


def unfinished_suite(records: Sequence[Record]) -> Suite | None:
    """The suite that has to be run before a report on all records; None if there is none.

    Without records it is the quick suite. Otherwise it is the suite that was started last, if its
    run was interrupted. A complete suite is not run again, even if the code has changed since.

    Args:
        records: those of this machine, oldest first.
    """
    if not records:
        return SUITES["quick"]
    last = SUITES.get(records[-1].suite)
    return None if last is None or is_complete(last, records) else last


def is_complete(suite: Suite, records: Sequence[Record]) -> bool:
    """Whether a suite has run to its end, with any version of the code.

    There must be records of every kernel, and of every problem with every optimizer and dtype.
    Wherever one of these ran, it must have all seeds and repetitions, or a record that says why
    it can't run. An interrupted run lacks the last repetition of something, as repetitions are
    the outermost loop.
    """
    found: dict[tuple[str, ...], set[tuple[int, int]]] = {}
    unavailable = set()
    for record in records:
        budget = (record.score.get("budget_passes"), record.score.get("budget_s"))
        if record.kind == "convergence" and budget == (suite.budget.passes, suite.budget.seconds):
            ran = (record.problem, record.optimizer, record.dtype)
            cell = (*ran, record.kernel, record.device)
            found.setdefault(cell, set()).add((record.seed, record.repetition))
            if record.status == "unavailable":
                unavailable.add(cell)
    in_suite = {
        (str(problem).strip(), str(optimizer).strip(), dtype)
        for problem, optimizer, dtype in itertools.product(
            suite.problems, suite.optimizers, suite.dtypes
        )
    }
    rounds = set(itertools.product(range(suite.seeds), range(suite.repetitions)))
    mine = {cell: done for cell, done in found.items() if cell[:3] in in_suite}
    return (
        in_suite == {cell[:3] for cell in mine}
        and set(suite.kernels) <= {cell[3] for cell in mine}
        and all(done >= rounds or cell in unavailable for cell, done in mine.items())
    )


def older_records(records: Sequence[Record]) -> str:
    """One line on the records of another version of the code or of a library; "" for none."""
    older = [record for record in records if _is_older(record)]
    if not older:
        return ""
    suites = [name for name in dict.fromkeys(record.suite for record in older) if name in SUITES]
    runs = " and ".join(f"`python -m bench run --suite {name}`" for name in suites)
    remedy = f"{runs} {'measures' if len(suites) == 1 else 'measure'} them anew"
    if not suites:
        remedy = "repeat the run that made them to measure them anew"
    return (
        f"{len(older)} of {len(records)} records were measured by another version of the code or "
        f"of a library: {remedy}"
    )


def _is_older(record: Record) -> bool:
    now, recorded = _versions(), record.environment
    if any(recorded[name] != now[name] for name in now.keys() & recorded.keys()):
        return True
    commit = recorded.get("commit")
    return commit is not None and _changed_since(str(commit).removesuffix("+"))


@cache
def _versions() -> dict[str, str | None]:
    return {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}


@cache
def _changed_since(commit: str) -> bool:
    """Whether the measured code differs from that of a commit."""
    try:
        return bool(git("diff", "--name-only", commit, "--", *_MEASURED_CODE, cwd=_ROOT))
    except InputError:  # git is missing, or the commit is of another repository
        return True
