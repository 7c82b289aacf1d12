"""The history: what is entered, and what is kept of it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from history_cases import MEASUREMENT, NOWHERE, RUN, TIMING, at_commit, history
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.history.append import MOST_SAMPLES, append_records
from bench.history.measurements import measurements_of, thin_out
from bench.history.plots import history_figures
from bench.history.series import series_of
from bench.history.store import MEASURES, HistoryStore, Measurement
from bench.records import Record, RecordStore


def measured(record: Record) -> dict[str, tuple[float | None, ...]]:
    return {m.measure: m.samples for m in measurements_of([record], repository=NOWHERE)}


# ------------------------------------------------------------------------------ what is entered


def test_the_measures_of_a_run_and_of_a_kernel() -> None:
    assert measured(RUN) == {
        "seconds_per_pass": (0.25 / 50,),
        "time_to_1e-6_s": (0.125,),
        "passes_to_1e-6": (20.0,),
    }
    assert measured(TIMING) == {"seconds_per_call": (1e-5, 2e-5, 3e-5)}
    assert {unit for measure, unit in MEASURES.items() if measure.endswith("_s")} == {"s"}


def test_a_miss_is_entered_and_what_is_no_measurement_is_not() -> None:
    missed = replace(RUN, score={**RUN.score, "time_to_1e-6_s": None, "passes_to_1e-6": None})
    (of_time,) = [
        e for e in measurements_of([RUN, missed], repository=NOWHERE) if "time" in e.measure
    ]
    assert (of_time.samples, of_time.runs, of_time.misses) == ((0.125, None), 2, 1)
    failed = replace(RUN, status="failed", score={"budget_passes": 500, "budget_s": 0.25})
    assert measured(failed) == {"time_to_1e-6_s": (None,), "passes_to_1e-6": (None,)}
    assert measured(replace(RUN, status="unavailable")) == {}
    unproved = replace(missed, problem_facts={**RUN.problem_facts, "f_star": None})
    assert measured(unproved) == {"seconds_per_pass": (0.25 / 50,)}
    uncounted = replace(RUN, score={**RUN.score, "passes": None, "passes_to_1e-6": None})
    assert measured(uncounted) == {"time_to_1e-6_s": (0.125,)}
    assert measured(replace(TIMING, samples={"seconds_per_call": []})) == {}


def test_seeds_are_pooled_and_other_cells_are_not() -> None:
    records = [replace(RUN, seed=k, key=f"seed {k}") for k in range(3)]
    found = measurements_of(
        [*records, replace(RUN, dtype="float32", key="other")], repository=NOWHERE
    )
    assert sorted((e.dtype, e.measure, e.runs) for e in found) == [
        *(("float32", measure, 1) for measure in sorted(set(MEASURES) - {"seconds_per_call"})),
        *(("float64", measure, 3) for measure in sorted(set(MEASURES) - {"seconds_per_call"})),
    ]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 300), missed=st.floats(0, 1))
def test_samples_are_thinned_out_thin_out(seed: int, n: int, missed: float) -> None:
    rng = np.random.default_rng(seed)
    samples = [None if rng.random() < missed else float(t) for t in rng.lognormal(size=n)]
    kept = thin_out(samples, MOST_SAMPLES)
    assert len(kept) == min(len(samples), MOST_SAMPLES)
    later = [math.inf if s is None else s for s in samples]
    of_kept = [math.inf if s is None else s for s in kept]
    assert of_kept == sorted(of_kept)
    assert set(of_kept) <= set(later)
    for q in (0.25, 0.5, 0.75):  # within a fiftieth of the samples' own quantile
        ends = np.quantile(later, [max(q - 0.03, 0), min(q + 0.03, 1)], method="inverted_cdf")
        assert ends[0] <= np.quantile(of_kept, q, method="inverted_cdf") <= ends[1]


def test_the_same_run_twice_adds_nothing_and_another_one_is_pooled(tmp_path: Path) -> None:
    store, kept = RecordStore(tmp_path), HistoryStore(tmp_path)
    store.append([RUN, TIMING])
    assert len(append_records(tmp_path, NOWHERE).measurements) == 4
    (path,) = kept.folder.glob("*.jsonl")
    before = path.read_bytes()
    assert append_records(tmp_path, NOWHERE).measurements == ()
    store.append([RUN, TIMING])  # the very same records, as after a merge of two files
    assert append_records(tmp_path, NOWHERE).measurements == ()
    assert path.read_bytes() == before
    assert len(measurements_of([RUN, RUN], repository=NOWHERE)) == 3
    assert {e.runs for e in measurements_of([RUN, RUN], repository=NOWHERE)} == {1}
    again = replace(RUN, created="2026-01-02T00:00:00+00:00", score={**RUN.score, "run_s": 0.5})
    store.append([again])
    new = append_records(tmp_path, NOWHERE).measurements
    assert sorted(e.measure for e in new) == sorted(set(MEASURES) - {"seconds_per_call"})
    assert path.read_bytes().startswith(before)
    order = [RUN.environment["commit"]]
    per_pass = [s for s in series_of(kept.read(), order) if s.last.measure == "seconds_per_pass"]
    assert [point.samples for one in per_pass for point in one.points] == [(0.005, 0.01)]


def test_uncommitted_changes_and_no_commit_are_left_out_and_counted(tmp_path: Path) -> None:
    RecordStore(tmp_path).append(
        [
            RUN,
            at_commit(RUN, "d" * 40 + "+"),
            at_commit(TIMING, "d" * 40 + "+"),
            replace(RUN, environment={**RUN.environment, "commit": None}),
        ]
    )
    done = history("--results", tmp_path)
    assert "left out: 2 records of uncommitted changes" in done.stdout
    assert "left out: 1 records without a commit" in done.stdout
    assert {m.commit for m in HistoryStore(tmp_path).read()} == {"c" * 40}


def test_two_machines_have_two_files_and_no_common_figure(tmp_path: Path) -> None:
    other = {**RUN.environment, "machine": "m2", "cpu": "Another CPU"}
    RecordStore(tmp_path).append([RUN, replace(RUN, environment=other)])
    append_records(tmp_path, NOWHERE)
    kept = HistoryStore(tmp_path)
    assert sorted(path.name for path in kept.folder.glob("*.jsonl")) == ["m1.jsonl", "m2.jsonl"]
    series = series_of(kept.read(), ["c" * 40])
    assert sorted(one.last.machine for one in series) == ["m1"] * 3 + ["m2"] * 3
    for name, figure in history_figures(series):
        machine = name.partition("_")[0]
        title = figure.get_suptitle()
        assert f"{machine}: " in title
        assert len(figure.axes) == 1
        assert ("Another CPU" in title) == (machine == "m2")


# ------------------------------------------------------------------------------ what is kept


NO_FIELDS = "line 1 does not have the fields of a measurement"


def line(m: Measurement, **changed: Any) -> bytes:
    return json.dumps(asdict(m) | changed).encode() + b"\n"


def test_a_file_cut_off_at_any_byte_loses_no_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    kept = HistoryStore(tmp_path)
    both = [MEASUREMENT, replace(MEASUREMENT, commit="d" * 40)]
    kept.append(both)
    path = kept.folder / "m1.jsonl"
    content = path.read_bytes()
    assert content == line(both[0]) + line(both[1])
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert kept.read() == both[:whole]
        kept.append([MEASUREMENT])
        assert kept.read() == [*both[:whole], MEASUREMENT]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not JSON\n", "line 1 is not a measurement"),
        (b"[1]\n", "line 1 is not a measurement"),
        (
            line(MEASUREMENT) + line(MEASUREMENT, schema_version=99),
            "line 2 has schema version 99",
        ),
        (line(MEASUREMENT, problem=3), NO_FIELDS),
        (line(MEASUREMENT, samples=[]), NO_FIELDS),
        (
            line(MEASUREMENT, samples=[1e-3, "x"]),
            NO_FIELDS,
        ),
        (line(MEASUREMENT, samples=[-1.0]), NO_FIELDS),
        (line(MEASUREMENT, unit="ms"), NO_FIELDS),
        (line(MEASUREMENT, more=1), NO_FIELDS),
        (line(MEASUREMENT, machine="m2"), "two machines never share a history"),
    ],
)
def test_a_line_that_is_no_measurement_is_refused_in_one_line(
    tmp_path: Path, content: bytes, says: str
) -> None:
    RecordStore(tmp_path).append([RUN])
    path = tmp_path / "history" / "m1.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    done = history("--results", tmp_path)
    assert isinstance(done.exception, InputError)
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)
    assert path.read_bytes() == content


def test_a_machine_that_names_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no file"):
        HistoryStore(tmp_path).append([replace(MEASUREMENT, machine="../m1")])
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_an_empty_folder_and_one_of_uncommitted_changes_alone(tmp_path: Path) -> None:
    done = history("--results", tmp_path / "none")
    assert str(done.exception).startswith("no history in ")
    assert not (tmp_path / "none").exists()
    RecordStore(tmp_path).append([at_commit(RUN, "c" * 40 + "+")])
    done = history("--results", tmp_path)
    assert "left out: 1 records of uncommitted changes" in done.stdout
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "history").exists()


def test_a_history_without_records_is_shown(tmp_path: Path) -> None:
    HistoryStore(tmp_path).append([MEASUREMENT])
    done = history("--results", tmp_path)
    assert done.return_value == 0
    assert done.stdout.startswith("nothing new\n")
    assert "no change points" in done.stdout
    assert "0 of 1 series judged (1 have fewer than 12 commits)" in done.stdout


def test_who_comes_second_waits_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordStore(tmp_path).append([RUN])
    (tmp_path / "history").mkdir()
    monkeypatch.setattr("bench.history.append.LOCK_S", 0.1)
    with (
        FileLock(tmp_path / "history" / ".lock"),
        pytest.raises(InputError, match="another process is writing to"),
    ):
        append_records(tmp_path, NOWHERE)
