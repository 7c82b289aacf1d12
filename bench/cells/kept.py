"""What a folder of records still lacks, and how old its records are; torch is not needed."""

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
    """The suite that has to be run before a report on all records: None where there is nothing.

    Without records that is the quick suite. Else it is the suite that was begun last, if its run
    was interrupted. A complete one is not run again because the code has changed since.

    Args:
        records: those of this machine, oldest first.
    """
    if not records:
        return SUITES["quick"]
    last = SUITES.get(records[-1].suite)
    return None if last is None or is_complete(last, records) else last


def is_complete(suite: Suite, records: Sequence[Record]) -> bool:
    """Whether a suite has run to its end, with whatever version of the code.

    Every kernel is there, and every problem with every optimizer. Each of these has, wherever it
    ran, all seeds and repetitions, or one record that says why it can't run. An interrupted run
    lacks the last repetition of something, as repetitions are the outermost loop.
    """
    found: dict[tuple[str, ...], set[tuple[int, int]]] = {}
    unavailable = set()
    for record in records:
        budget = (record.score.get("budget_passes"), record.score.get("budget_s"))
        if record.kind == "convergence" and budget == (suite.budget.passes, suite.budget.seconds):
            asked = (record.problem, record.optimizer, record.dtype)
            cell = (*asked, record.kernel, record.device)
            found.setdefault(cell, set()).add((record.seed, record.repetition))
            if record.status == "unavailable":
                unavailable.add(cell)
    asked_for = set(itertools.product(map(_name, suite.problems), map(_name, suite.optimizers)))
    asked_for_in = {(*pair, dtype) for pair in asked_for for dtype in suite.dtypes}
    rounds = set(itertools.product(range(suite.seeds), range(suite.repetitions)))
    mine = {cell: done for cell, done in found.items() if cell[:3] in asked_for_in}
    return (
        asked_for_in == {cell[:3] for cell in mine}
        and set(suite.kernels) <= {cell[3] for cell in mine}
        and all(done >= rounds or cell in unavailable for cell, done in mine.items())
    )


def _name(spec: object) -> str:
    return str(spec).strip()


def older_records(records: Sequence[Record]) -> str:
    """One line on records that were not measured by this code and these libraries; "" for none."""
    older = [record for record in records if _is_older(record)]
    if not older:
        return ""
    suites = [name for name in dict.fromkeys(record.suite for record in older) if name in SUITES]
    runs = " and ".join(f"`python -m bench run --suite {name}`" for name in suites)
    verb = "measures" if len(suites) == 1 else "measure"
    remedy = (
        f"{runs} {verb} them anew"
        if suites
        else ("repeat the run that made them to measure them anew")
    )
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
    """Whether kernels, optimizers or how solvers are sampled are others than at a commit."""
    try:
        return bool(git("diff", "--name-only", commit, "--", *_MEASURED_CODE, cwd=_ROOT))
    except InputError:  # no git here, or a commit of another repository
        return True
