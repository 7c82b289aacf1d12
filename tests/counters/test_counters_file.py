"""The counters' file, what counts as a change, the report, and the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.counters.count import keep_cuda
from bench.counters.counters_file import (
    CELL,
    Change,
    Counters,
    as_json,
    cell_name,
    changes,
    other_versions,
    read_counters,
)
from bench.counters.report import markdown, table, verdict
from bench.errors import InputError
from bench.records import TARGETS


def run(status: str = "budget", calls: int = 50, **more: Any) -> dict[str, Any]:
    at = {**dict.fromkeys(TARGETS), "1e-1": 10, "end": calls}
    counters = {"oracle_calls": at, "passes": {k: v and float(v) for k, v in at.items()}}
    return {"status": status, "steps": calls, **counters, "trials": {"end": 0}, **more}


RUNS = {
    cell_name(problem, optimizer, kernel): run("converged" if optimizer == "lbfgs" else "budget")
    for problem in ("iris", "digits")
    for optimizer in ("lbfgs", "adam:lr=0.1")
    for kernel in ("numpy", "fused-cpu")
}
READS = {
    cell_name("numpy", "two classes, dense"): {"value_and_grad": 2.0, "hvp": 3.0},
    cell_name("numpy", "four classes, dense"): {"value_and_grad": 2.0, "hvp": 3.0},
    cell_name("fused-cpu", "two classes, dense"): {"value_and_grad": 1.0},
}
CUDA = {cell_name("fused-cuda", "value_and_grad"): {"launches": 2, "synchronisations": 0}}


def counted(**changed: Any) -> Counters:
    fields: dict[str, Any] = {
        "runs": RUNS,
        "reads_of_x": READS,
        "cuda": {},
        "settings": {"passes": 100},
        "environment": {"torch": "2.13.0", "gpus": []},
        "not_counted": {"cuda": "no CUDA device"},
    }
    return Counters(**{**fields, **changed})


def with_run(cell: str, **changed: Any) -> Counters:
    return counted(runs={**RUNS, cell: {**RUNS[cell], **changed}})


IRIS_LBFGS, IRIS_ADAM = "iris | lbfgs | numpy", "iris | adam:lr=0.1 | numpy"


# --- the file -----------------------------------------------------------------------------------

numbers = st.none() | st.integers(0, 10**6) | st.floats(0, 1e6)
names = st.text("abc:=.1-", min_size=1, max_size=8)
cells = st.dictionaries(
    st.lists(names, min_size=3, max_size=3).map(lambda n: cell_name(*n)),
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(["budget", "converged"]),
            "oracle_calls": st.dictionaries(names, numbers, max_size=4),
        }
    ),
    max_size=4,
)


@given(runs=cells, cuda=st.dictionaries(names, st.dictionaries(names, st.integers()), max_size=2))
def test_what_is_written_is_read_back(
    runs: dict[str, Any], cuda: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("counters") / "counters.json"
    written = counted(runs=runs, cuda=cuda)
    path.write_text(as_json(written), encoding="utf-8")
    assert read_counters(path) == written
    assert changes(written, read_counters(path)) == []


def test_the_file_is_sorted_and_has_a_line_a_counter() -> None:
    backwards = counted(runs=dict(reversed(RUNS.items())))
    assert as_json(backwards) == as_json(counted())
    before, after = as_json(counted()), as_json(with_run(IRIS_ADAM, steps=51))
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    assert [(a.strip(), b.strip()) for a, b in pairs if a != b] == [
        ('"steps": 50,', '"steps": 51,')
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a counters file"),
        ("<<<<<<< HEAD\n{}", "is not a counters file"),
        ("[1]", "is not a counters file"),
        ("{}", "is not a counters file"),
        (
            '{"schema_version": 2}',
            "has schema version 2, this code reads 1: update this checkout if it is newer",
        ),
        ('{"schema_version": 0}', "has schema version 0, this code reads 1: update"),
        ('{"schema_version": "1"}', "has schema version 1"),
        ('{"schema_version": 1}', "does not have the fields of counters"),
        ("[" * 100_000, "is not a counters file"),
    ],
)
def test_other_files_are_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_counters(path)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cell_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    fields = json.loads(as_json(counted()))
    fields["runs"][IRIS_ADAM] = 3
    path = tmp_path / "counters.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError, match="does not have the fields of counters"):
        read_counters(path)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no counters at .*: run python -m bench counters"):
        read_counters(tmp_path / "counters.json")


# --- changes ------------------------------------------------------------------------------------


def test_the_same_is_no_change() -> None:
    assert changes(counted(), counted()) == []
    assert verdict(counted(), counted()) == (
        "Counters: the same: 8 runs and reads of X by 3 kernels and layouts."
    )


@pytest.mark.parametrize(("difference", "found"), [(0, 0), (3, 0), (-3, 0), (4, 1), (-4, 1)])
def test_the_end_of_an_lbfgs_run_that_converged_may_differ(difference: int, found: int) -> None:
    calls = {**RUNS[IRIS_LBFGS]["oracle_calls"], "end": 50 + difference}
    assert len(changes(counted(), with_run(IRIS_LBFGS, oracle_calls=calls))) == found


def test_everything_else_is_exact() -> None:
    at_target = {**RUNS[IRIS_LBFGS]["oracle_calls"], "1e-1": 11}
    (change,) = changes(counted(), with_run(IRIS_LBFGS, oracle_calls=at_target))
    cell = ("iris", "lbfgs", "numpy")
    assert change == Change("runs", cell, "oracle_calls", "1e-1", 10, 11, allowed=0)
    assert len(changes(counted(), with_run(IRIS_ADAM, steps=51))) == 1
    budget = counted(runs={IRIS_LBFGS: run("budget")})
    assert len(changes(budget, counted(runs={IRIS_LBFGS: run("budget", 51)}))) == 3
    reads = {**READS, cell_name("numpy", "two classes, dense"): {"value_and_grad": 2.01, "hvp": 3}}
    assert len(changes(counted(), counted(reads_of_x=reads))) == 1


def test_the_committed_tolerance_is_the_one_that_holds() -> None:
    calls = {**RUNS[IRIS_LBFGS]["oracle_calls"], "end": 51}
    strict = dataclasses.replace(counted(), tolerance={})
    assert len(changes(strict, with_run(IRIS_LBFGS, oracle_calls=calls))) == 1


def test_a_miss_and_a_hit_differ_whatever_is_allowed() -> None:
    calls = {**RUNS[IRIS_LBFGS]["oracle_calls"], "1e-2": 50}
    (change,) = changes(counted(), with_run(IRIS_LBFGS, oracle_calls=calls))
    assert (change.committed, change.now) == (None, 50)
    assert "| missed " in markdown(counted(), with_run(IRIS_LBFGS, oracle_calls=calls), "f")


def test_another_status_is_one_change_with_its_message() -> None:
    failed = {**RUNS, IRIS_LBFGS: {"status": "failed", "message": "ValueError: no"}}
    (change,) = changes(counted(), counted(runs=failed))
    assert (change.counter, change.now) == ("status", "failed: ValueError: no")


@given(dropped=st.sets(st.sampled_from([*RUNS]), min_size=1), vanish=st.booleans())
def test_a_cell_that_comes_or_goes_is_a_change(dropped: set[str], vanish: bool) -> None:
    fewer = counted(runs={k: v for k, v in RUNS.items() if k not in dropped})
    found = changes(counted(), fewer) if vanish else changes(fewer, counted())
    assert {cell_name(*change.cell) for change in found} == dropped
    assert {change.counter for change in found} == {CELL}
    expected = ("there", None) if vanish else (None, "there")
    assert {(change.committed, change.now) for change in found} == {expected}


def test_other_settings_are_a_change() -> None:
    now = counted(settings={"passes": 200})
    assert verdict(counted(), now) == "Counters: changed: the settings (passes)."
    assert "| settings | passes" in markdown(counted(), now, "f")


def test_cuda_is_compared_where_both_have_counted_it() -> None:
    with_device = counted(cuda=CUDA)
    more = counted(cuda={name: {**calls, "launches": 3} for name, calls in CUDA.items()})
    assert changes(with_device, counted()) == []
    assert changes(counted(), with_device) == []
    (change,) = changes(with_device, more)
    assert (change.counter, change.committed, change.now) == ("launches", 2, 3)
    assert verdict(with_device, more) == (
        "Counters: changed: 1 of 1 calls of the CUDA device (fused-cuda)."
    )
    assert "the committed numbers stand" in markdown(with_device, counted(), "f")
    assert "not counted: no CUDA device" in markdown(counted(), counted(), "f")
    assert "--update would add them" in markdown(counted(), with_device, "f")


def test_update_without_a_device_leaves_cuda_as_it_is() -> None:
    committed = counted(cuda=CUDA, environment={"torch": "2.12.0", "gpus": ["H100"]})
    kept = keep_cuda(counted(), committed)
    assert kept.cuda == CUDA
    assert kept.environment == {"torch": "2.13.0", "gpus": ["H100"]}
    assert "cuda" not in kept.not_counted
    fresh = counted(cuda={"other": {"launches": 1}})
    assert keep_cuda(fresh, committed) is fresh
    assert keep_cuda(counted(), None) == counted()


# --- the report ---------------------------------------------------------------------------------


def test_one_cause_is_one_row() -> None:
    more = {
        name: run(r["status"], r["steps"] + 5) if "lbfgs" in name else r for name, r in RUNS.items()
    }
    now = counted(runs=more)
    assert verdict(counted(), now) == "Counters: changed: 4 of 8 runs (lbfgs)."
    rows = table(changes(counted(), now))
    # Passes and steps of full-batch runs are the calls.
    assert rows.to_dict("records") == [
        {
            "what": "lbfgs",
            "counter": "oracle calls in total",
            "committed": "50",
            "now": "55",
            "difference": "+5",
            "allowed": "3",
            "where": "iris, numpy; up to this in 4 runs: iris and digits with numpy and fused-cpu",
        }
    ]


def test_a_kernels_reads_are_a_row_with_its_data() -> None:
    reads = {name: {**r, "value_and_grad": r["value_and_grad"] + 1} for name, r in READS.items()}
    text = markdown(counted(), counted(reads_of_x=reads), "results/counters.json")
    assert text.splitlines()[0] == (
        "Counters: changed: reads of X by 3 of 3 kernels and layouts (numpy and fused-cpu)."
    )
    rows = [
        list(map(str.strip, line.split("|")[1:-1])) for line in text.splitlines() if "+1" in line
    ]
    call = "reads of X by value_and_grad"
    assert rows == [
        ["numpy", call, "2", "3", "+1", "0", "two classes, dense; four classes, dense"],
        ["fused-cpu", call, "1", "2", "+1", "0", "two classes, dense"],
    ]


def test_other_versions_are_a_hint_beside_a_change_only() -> None:
    newer = {"environment": {"torch": "2.14.0", "gpus": []}}
    assert "2.14" not in markdown(counted(), counted(**newer), "f")
    changed = dataclasses.replace(with_run(IRIS_ADAM, steps=51), **newer)
    assert "counted with torch 2.13.0, here 2.14.0" in markdown(counted(), changed, "f")


def test_a_gpu_is_no_hint_where_there_is_none() -> None:
    committed = counted(cuda=CUDA, environment={"gpus": ["H100"]})
    other = counted(cuda=CUDA, environment={"gpus": ["A100"]})
    assert other_versions(committed, counted(environment={"gpus": []})) == []
    assert other_versions(committed, other) == ["gpus ['H100'], here ['A100']"]
