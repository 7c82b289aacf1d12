"""Exports, each read back by the tool that it is for, or by its published schema or parser."""

from __future__ import annotations

import io
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from history_cases import NOWHERE, RUN, TIMING, at_commit, history
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats
from record_cases import ENVIRONMENT

import bench as package
from bench.errors import InputError
from bench.history.append import append_records
from bench.history.command import FORMATS
from bench.history.export_pytest import stats_of
from bench.history.exports import EXPORTS, Export, measured_at
from bench.history.measurements import measurements_of
from bench.history.store import HistoryStore, Measurement
from bench.records import RecordStore

ROOT = Path(package.__file__).parents[1]
PYTEST = replace(TIMING, suite="pytest", score={"timed_beside": "numpy"}, key="pytest")
MISSED = replace(
    RUN,
    key="missed",
    optimizer="adam:lr=0.1",
    score={**RUN.score, "time_to_1e-6_s": None, "passes_to_1e-6": None},
)
RECORDS = [
    *(replace(RUN, seed=k, key=f"{k}", score={**RUN.score, "run_s": 0.2 + k}) for k in range(8)),
    *(TIMING, PYTEST, MISSED),
]


def exported(name: str, of: Sequence[Measurement] | None = None) -> Export:
    found = measurements_of(RECORDS, repository=NOWHERE) if of is None else of
    return EXPORTS[name](found, ENVIRONMENT)


# --- pytest-benchmark ------------------------------------------------------------------------


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=40))
def test_statistics_are_those_of_pytest_benchmark(data: list[float]) -> None:
    theirs = Stats()
    for duration in data:
        theirs.update(duration)
    ours = stats_of(data)
    for name, value in theirs.as_dict().items():
        assert ours[name] == (value if isinstance(value, str) else pytest.approx(value)), name
    assert ours["data"] == data


def test_pytest_benchmark_compare_prints_it(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(exported("pytest-benchmark").text)
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path)]
    done = subprocess.run(
        [*command, "--columns=median,rounds", f"--csv={tmp_path / 'out.csv'}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "benchmark 'iris seconds_per_call': 1 tests" in done.stdout
    assert "time_to_1e-6_s[iris · lbfgs · numpy cpu float64]" in done.stdout
    read = pd.read_csv(tmp_path / "out.csv").set_index("name")
    kernel = "bench/suites/bench_kernels.py::test_value_and_grad[iris-numpy-cpu-float64]"
    assert read.loc[kernel, ["median", "rounds"]].tolist() == [2e-5, 3]
    (per_pass,) = [name for name in read.index if "seconds_per_pass[iris · lbfgs" in name]
    times = [(0.2 + k) / 50 for k in range(8)]
    assert read.loc[per_pass, "median"] == pytest.approx(statistics.median(times))


def test_only_what_pytest_timed_has_the_name_of_its_test() -> None:
    found = json.loads(exported("pytest-benchmark").text)
    names = [one["fullname"] for one in found["benchmarks"]]
    assert len(set(names)) == len(names) == 5
    of_tests = [name for name in names if "bench_kernels.py" in name]
    assert of_tests == [
        "bench/suites/bench_kernels.py::test_value_and_grad[iris-numpy-cpu-float64]"
    ]
    assert all(name.startswith("bench::") for name in names if name not in of_tests)
    assert found["commit_info"]["id"] == "c" * 40
    assert found["commit_info"]["dirty"] is False
    assert found["machine_info"]["environment"] == ENVIRONMENT
    assert found["machine_info"]["cpu"]["brand_raw"] == "Some CPU"


@pytest.mark.slow
def test_pytest_compares_its_own_test_with_it(tmp_path: Path) -> None:
    """`pytest --benchmark-compare=FILE` of the suite itself, beside an export of its records."""
    path = tmp_path / "export.json"
    path.write_text(exported("pytest-benchmark").text)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            "bench/suites/bench_kernels.py",
            *("--benchmark-only", "-k", "iris and numpy and float64"),
            *("--benchmark-max-time=0.01", "--benchmark-min-rounds=2", "--benchmark-warmup=off"),
            *("--benchmark-columns=median", f"--bench-results={tmp_path}"),
            *(f"--benchmark-compare={path}", "--benchmark-compare-fail=median:99999999%"),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "benchmark 'iris float64': 2 tests" in done.stdout
    saved, now = re.findall(r"iris-numpy-cpu-float64\] \((\S+)\)\s", done.stdout.split("Legend")[0])
    assert "NOW" in (saved, now)
    assert any(name.endswith("/export") for name in (saved, now))


def test_passes_and_misses_have_no_place_in_pytest_benchmark() -> None:
    left_out = exported("pytest-benchmark").left_out
    assert left_out == (
        "iris · lbfgs · numpy cpu float64, passes_to_1e-6: pytest-benchmark knows seconds only",
        "iris · adam:lr=0.1 · numpy cpu float64, time_to_1e-6_s: "
        "1 of 1 runs missed, and a miss has no number",
        "iris · adam:lr=0.1 · numpy cpu float64, passes_to_1e-6: "
        "pytest-benchmark knows seconds only",
    )


# --- github-action-benchmark -----------------------------------------------------------------


def check_action(text: str) -> list[dict[str, Any]]:
    """What the action's parser takes: zod's array of {name, value, unit, range?, extra?}, and a
    range that its extractRangeInfo understands."""
    found: list[dict[str, Any]] = json.loads(text)
    assert isinstance(found, list)
    assert found  # it fails without results
    for one in found:
        assert set(one) <= {"name", "value", "unit", "range", "extra"}
        assert all(isinstance(one[key], str) for key in one if key != "value")
        assert isinstance(one["value"], float)
        assert math.isfinite(one["value"])
        if "range" in one:
            match = re.search(r"(?P<prefix>(\+-|±)\s*)(?P<value>\d.*)", one["range"])
            assert match
            float(match["value"])
    names = [one["name"] for one in found]
    assert len(set(names)) == len(names)  # the action finds the last value by its name
    return found


def test_github_action_benchmark() -> None:
    export = exported("github-action-benchmark")
    found = {one["name"]: one for one in check_action(export.text)}
    kernel = found[
        "iris · numpy cpu float64 (beside numpy, torch-autograd, by bench), seconds_per_call"
    ]
    assert (kernel["value"], kernel["unit"]) == (pytest.approx(20.0), "us/iter")
    assert kernel["range"] == "± 10"
    to_target = found["iris · lbfgs · numpy cpu float64, time_to_1e-6_s"]
    assert (to_target["value"], to_target["unit"]) == (125.0, "ms")
    assert to_target["extra"] == "8 samples\nmachine m1"
    assert [line.partition(":")[0] for line in export.left_out] == ["iris · adam"] * 2


# --- Bencher ---------------------------------------------------------------------------------


BMF_SCHEMA: dict[str, Any] = {
    # https://bencher.dev/bmf.json
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "number"},
                        "lower_value": {"type": "number"},
                        "upper_value": {"type": "number"},
                    },
                    "required": ["value"],
                }
            },
        }
    },
}


def check_schema(value: Any, schema: dict[str, Any]) -> None:
    """The part of JSON Schema (draft 7) that the schema above uses; no other names are let by."""
    assert set(schema) <= {"type", "patternProperties", "properties", "required"}
    if schema["type"] == "number":
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        return
    assert isinstance(value, dict)
    assert set(schema.get("required", ())) <= set(value)
    for key, item in value.items():
        inner = [s for p, s in schema.get("patternProperties", {}).items() if re.search(p, key)]
        inner += [s for name, s in schema.get("properties", {}).items() if name == key]
        assert inner, key
        for one in inner:
            check_schema(item, one)


def test_bencher_metric_format() -> None:
    export = exported("bencher")
    found = json.loads(export.text, parse_constant=lambda name: pytest.fail(name))
    check_schema(found, BMF_SCHEMA)
    assert all(0 < len(name.encode()) <= 1024 for name in found)  # Bencher counts bytes
    slugs = {slug for measures in found.values() for slug in measures}
    assert slugs == {
        *("latency", "nanoseconds-per-pass", "nanoseconds-to-1e-6", "passes-to-1e-6"),
    }
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in slugs)
    alone = found["iris · numpy cpu float64 (alone, by pytest-benchmark)"]
    assert alone["latency"] == {
        "value": pytest.approx(20_000),
        "lower_value": pytest.approx(10_000),
        "upper_value": pytest.approx(30_000),
    }
    lbfgs = found["iris · lbfgs · numpy cpu float64"]
    assert lbfgs["passes-to-1e-6"]["value"] == 20
    for metric in (metric for measures in found.values() for metric in measures.values()):
        ends = [metric["value"], metric["value"]]
        assert metric.get("lower_value", -1) <= ends[0] <= metric.get("upper_value", math.inf)
    assert len(export.left_out) == 2


def test_an_upper_end_that_missed_is_left_out_of_bencher() -> None:
    of = [
        replace(RUN, seed=k, key=f"{k}")
        if k < 3
        else replace(MISSED, optimizer="lbfgs", seed=k, key=f"{k}")
        for k in range(5)
    ]
    found = json.loads(exported("bencher", measurements_of(of, repository=NOWHERE)).text)
    assert set(found["iris · lbfgs · numpy cpu float64"]["nanoseconds-to-1e-6"]) == {
        *("value", "lower_value"),
    }


# --- CSV -------------------------------------------------------------------------------------


def test_csv_is_read_back_to_the_same_numbers() -> None:
    of = measurements_of(RECORDS, repository=NOWHERE)
    text = exported("csv").text
    read = pd.read_csv(io.StringIO(text))
    assert len(read) == sum(len(m.samples) for m in of)
    rows = read.to_dict("records")
    for m in of:
        for k, sample in enumerate(m.samples):
            row = rows.pop(0)
            assert (row["measure"], row["sample"]) == (m.measure, k)
            assert row["commit"] == m.commit
            assert row["value"] == sample if sample is not None else math.isnan(row["value"])


# --- the command -----------------------------------------------------------------------------


def test_the_command_knows_every_format() -> None:
    assert tuple(EXPORTS) == FORMATS


@pytest.mark.parametrize("format_", FORMATS)
def test_the_command_writes_what_the_exporter_makes(tmp_path: Path, format_: str) -> None:
    RecordStore(tmp_path).append(RECORDS)
    expected = EXPORTS[format_](*measured_at(tmp_path, None))
    path = tmp_path / "new" / "out"
    done = history("--results", tmp_path, "--export", format_, "--output", path)
    assert path.read_text() == expected.text
    assert done.stderr.splitlines() == [f"left out: {line}" for line in expected.left_out]
    assert done.stdout == ""
    printed = history("--results", tmp_path, "--export", format_)
    assert printed.stdout == expected.text


def test_the_latest_run_is_that_of_the_newest_records_commit(tmp_path: Path) -> None:
    old = [at_commit(record, "a1b2" + "0" * 36) for record in RECORDS]
    again = replace(TIMING, key="later", samples={"seconds_per_call": [7e-5]})
    RecordStore(tmp_path).append([*old, *RECORDS, again])
    found, environment = measured_at(tmp_path, None)
    assert {m.commit for m in found} == {"c" * 40}
    assert environment == ENVIRONMENT
    kernel = [e for e in found if e.timed_beside == "numpy, torch-autograd"]
    assert [m.samples for m in kernel] == [(7e-5,)]  # the latest of its cell
    assert {e.commit for e in measured_at(tmp_path, "a1b2")[0]} == {"a1b2" + "0" * 36}


def test_two_machines_are_never_exported_together(tmp_path: Path) -> None:
    other = {**ENVIRONMENT, "machine": "m2"}
    RecordStore(tmp_path).append([*RECORDS, replace(RUN, environment=other)])
    found, environment = measured_at(tmp_path, None)
    assert {m.machine for m in found} == {"m2"} == {environment["machine"]}


def test_uncommitted_changes_are_exported_as_such(tmp_path: Path) -> None:
    RecordStore(tmp_path).append([at_commit(PYTEST, "d" * 40 + "+")])
    done = history("--results", tmp_path, "--export", "pytest-benchmark")
    info = json.loads(done.stdout)["commit_info"]
    assert (info["id"], info["dirty"]) == ("d" * 40, True)


def test_a_commit_of_the_history_alone_is_exported(tmp_path: Path) -> None:
    RecordStore(tmp_path).append(RECORDS)
    append_records(tmp_path, NOWHERE)
    later = replace(TIMING, created="2026-01-02T00:00:00+00:00")
    HistoryStore(tmp_path).append(measurements_of([later], repository=NOWHERE))
    RecordStore(tmp_path).path.unlink()
    found, environment = measured_at(tmp_path, "cccc")
    assert environment == {}
    by_series = {(e.measure, e.optimizer, e.timed_by): e for e in found}
    assert len(by_series) == len(found)
    pooled = by_series["seconds_per_call", "", "bench"]
    assert pooled.samples == (1e-5, 1e-5, 2e-5, 2e-5, 3e-5, 3e-5)
    assert json.loads(exported("pytest-benchmark", found).text)["benchmarks"]


@pytest.mark.parametrize(
    ("commit", "says"),
    [
        ("ffff", "there is no result of 'ffff': name one of those measured, the last being a1b2"),
        ("a1b2", "2 commits begin with 'a1b2'"),
        ("c", "1 commits begin with 'c': name at least 4 letters"),
    ],
)
def test_a_commit_that_is_not_told_apart(tmp_path: Path, commit: str, says: str) -> None:
    RecordStore(tmp_path).append(
        [at_commit(RUN, "a1b2" + "0" * 36), at_commit(RUN, "a1b2" + "1" * 36), RUN]
    )
    done = history("--results", tmp_path, "--export", "csv", "--commit", commit)
    assert isinstance(done.exception, InputError)
    assert says in str(done.exception)


def test_no_records_and_options_that_need_an_export(tmp_path: Path) -> None:
    done = history("--results", tmp_path, "--export", "csv")
    assert str(done.exception).startswith("no records in ")
    for options in (["--commit", "cccc"], ["--output", "x"]):
        done = history("--results", tmp_path, *options)
        says = f"{options[0]} does nothing without an export, such as --export csv: leave it out"
        assert str(done.exception) == says
