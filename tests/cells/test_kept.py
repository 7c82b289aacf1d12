"""What is run before a report on all records, and what is said of older ones."""

from __future__ import annotations

import platform
from dataclasses import replace

import pytest
from record_cases import RUN, TIMING

import bench.cells.kept
from bench.cells.definitions import SUITES, Suite
from bench.cells.kept import is_complete, older_records, unfinished_suite
from bench.measure.budget import Budget
from bench.measure.environment import LIBRARIES, version
from bench.records import Record

SUITE = Suite(
    "quick",
    problems=("iris", " wine"),
    optimizers=("lbfgs", "sklearn"),
    budget=Budget(passes=5, seconds=0.5),
    kernels=("numpy", "fused-cuda"),
    seeds=2,
    repetitions=2,
)
BUDGET = {"budget_passes": 5, "budget_s": 0.5}


def records() -> list[Record]:
    """A whole run of the suite: fused-cuda is unavailable."""
    run = replace(RUN, score=BUDGET)
    found = [TIMING]
    for repetition in range(2):
        for seed in range(2):
            for problem in ("iris", "wine"):
                at = replace(run, problem=problem, seed=seed, repetition=repetition)
                found.append(replace(at, optimizer="lbfgs"))
                if (seed, repetition) == (0, 0):
                    lacking = replace(at, optimizer="lbfgs", kernel="fused-cuda")
                    found.append(replace(lacking, status="unavailable"))
                found.append(replace(at, optimizer="sklearn", kernel="scikit-learn"))
    return found


def test_a_whole_run_is_complete_whatever_its_keys() -> None:
    assert is_complete(SUITE, records())
    other = replace(RUN, problem="digits", optimizer="adam", suite="custom")
    assert is_complete(SUITE, [*records(), other])


def test_a_run_that_was_interrupted_anywhere_is_not_complete() -> None:
    for done in range(len(records())):
        assert not is_complete(SUITE, records()[:done])


@pytest.mark.parametrize(
    "change",
    [
        {"problems": ("iris", "wine", "digits")},
        {"optimizers": ("lbfgs", "sklearn", "adam")},
        {"kernels": ("numpy", "fused-cuda", "jax")},
        {"dtypes": ("float64", "float32")},
        {"seeds": 3},
        {"repetitions": 3},
        {"budget": Budget(passes=6, seconds=0.5)},
    ],
)
def test_a_suite_that_asks_for_more_is_not_complete(change: dict[str, object]) -> None:
    assert not is_complete(replace(SUITE, **change), records())  # type: ignore[arg-type]


def test_what_is_run_before_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.cells.kept, "SUITES", {"quick": SUITE, "full": SUITES["full"]})
    assert unfinished_suite([]) == SUITE
    assert unfinished_suite(records()) is None
    assert unfinished_suite(records()[:-1]) == SUITE
    assert unfinished_suite([*records(), replace(RUN, suite="custom")]) is None
    assert unfinished_suite([*records(), replace(RUN, suite="full")]) == SUITES["full"]


def test_older_records_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.cells.kept, "_changed_since", {"old": True, "new": False}.get)
    now = {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}
    new = replace(RUN, environment={**RUN.environment, **now, "commit": "new+"})
    assert older_records([new, new]) == ""
    assert older_records([]) == ""
    by_code = replace(new, environment={**new.environment, "commit": "old"})
    by_library = replace(new, suite="peers", environment={**new.environment, "numpy": "1.0"})
    assert older_records([new, by_code, by_library]) == (
        "2 of 3 records were measured by another version of the code or of a library: "
        "`python -m bench run --suite quick` and `python -m bench run --suite peers` "
        "measure them anew"
    )
    without_git = replace(new, environment={**new.environment, "commit": None})
    custom = replace(by_code, suite="custom")
    assert older_records([without_git]) == ""
    assert "repeat the run that made them to measure them anew" in older_records([custom])


def test_a_commit_that_git_does_not_know_is_another_version() -> None:
    assert bench.cells.kept._changed_since("no such commit")
