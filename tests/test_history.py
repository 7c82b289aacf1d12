"""The history: what is entered, what is kept of it, in which order it stands, and its report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from history_cases import ENTRY, RUN, TIMING, at_commit, git, records_over, repository
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.__main__ import bench
from bench.errors import InputError
from bench.histories import MEASURES, Entry, HistoryStore
from bench.records import Record, RecordStore
from bench.report.history import change_table, readable_changes, series_of, verdict
from bench.report.plots_history import history_figures
from bench.track.commits import in_order, known_dates
from bench.track.history import MOST_SAMPLES, append_records, entries, evenly

History = Callable[..., Result]
NOWHERE = Path("/")  # a folder that is no repository


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """`python -m bench history` in an empty folder; an exception other than bad input escapes."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: Any) -> Result:
        done = CliRunner().invoke(bench, ["history", *map(str, arguments)], standalone_mode=False)
        if done.exception and not isinstance(done.exception, InputError):
            raise done.exception
        return done

    return run


def measured(record: Record) -> dict[str, tuple[float | None, ...]]:
    return {entry.measure: entry.samples for entry in entries([record], repository=NOWHERE)}


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
    (of_time,) = [e for e in entries([RUN, missed], repository=NOWHERE) if "time" in e.measure]
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
    found = entries([*records, replace(RUN, dtype="float32", key="other")], repository=NOWHERE)
    assert sorted((e.dtype, e.measure, e.runs) for e in found) == [
        *(("float32", measure, 1) for measure in sorted(set(MEASURES) - {"seconds_per_call"})),
        *(("float64", measure, 3) for measure in sorted(set(MEASURES) - {"seconds_per_call"})),
    ]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 300), missed=st.floats(0, 1))
def test_samples_are_thinned_out_evenly(seed: int, n: int, missed: float) -> None:
    rng = np.random.default_rng(seed)
    samples = [None if rng.random() < missed else float(t) for t in rng.lognormal(size=n)]
    kept = evenly(samples, MOST_SAMPLES)
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
    assert len(append_records(tmp_path, NOWHERE).entries) == 4
    (path,) = kept.folder.glob("*.jsonl")
    before = path.read_bytes()
    assert append_records(tmp_path, NOWHERE).entries == ()
    store.append([RUN, TIMING])  # the very same records, as after a merge of two files
    assert append_records(tmp_path, NOWHERE).entries == ()
    assert path.read_bytes() == before
    assert len(entries([RUN, RUN], repository=NOWHERE)) == 3
    assert {e.runs for e in entries([RUN, RUN], repository=NOWHERE)} == {1}
    again = replace(RUN, created="2026-01-02T00:00:00+00:00", score={**RUN.score, "run_s": 0.5})
    store.append([again])
    new = append_records(tmp_path, NOWHERE).entries
    assert sorted(e.measure for e in new) == sorted(set(MEASURES) - {"seconds_per_call"})
    assert path.read_bytes().startswith(before)
    order = [RUN.environment["commit"]]
    per_pass = [s for s in series_of(kept.read(), order) if s.last.measure == "seconds_per_pass"]
    assert [point.samples for one in per_pass for point in one.points] == [(0.005, 0.01)]


def test_uncommitted_changes_and_no_commit_are_left_out_and_counted(
    tmp_path: Path, history: History
) -> None:
    RecordStore(tmp_path).append(
        [
            RUN,
            at_commit(RUN, "d" * 40 + "+"),
            at_commit(TIMING, "d" * 40 + "+"),
            replace(RUN, environment={**RUN.environment, "commit": None}),
        ]
    )
    done = history("--results", tmp_path)
    assert "left out: 2 records of uncommitted changes" in done.output
    assert "left out: 1 records without a commit" in done.output
    assert {entry.commit for entry in HistoryStore(tmp_path).read()} == {"c" * 40}


def test_two_machines_have_two_files_and_no_common_figure(tmp_path: Path) -> None:
    other = {**RUN.environment, "machine": "m2", "cpu": "Another CPU"}
    RecordStore(tmp_path).append([RUN, replace(RUN, environment=other)])
    append_records(tmp_path, NOWHERE)
    kept = HistoryStore(tmp_path)
    assert sorted(path.name for path in kept.folder.glob("*.jsonl")) == ["m1.jsonl", "m2.jsonl"]
    series = series_of(kept.read(), ["c" * 40])
    assert len(series) == 2 * 3
    assert all(len({e.machine for e in [one.last]}) == 1 for one in series)
    for name, figure in history_figures(series):
        machine = name.partition("_")[0]
        title = figure.get_suptitle()
        assert f"{machine}: " in title
        assert len(figure.axes) == 1
        assert ("Another CPU" in title) == (machine == "m2")


# ------------------------------------------------------------------------------ what is kept


def line(entry: Entry, **changed: Any) -> bytes:
    return json.dumps(asdict(entry) | changed).encode() + b"\n"


def test_a_file_cut_off_at_any_byte_loses_no_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    kept = HistoryStore(tmp_path)
    both = [ENTRY, replace(ENTRY, commit="d" * 40)]
    kept.append(both)
    path = kept.folder / "m1.jsonl"
    content = path.read_bytes()
    assert content == line(both[0]) + line(both[1])
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert kept.read() == both[:whole]
        kept.append([ENTRY])
        assert kept.read() == [*both[:whole], ENTRY]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not JSON\n", "line 1 is not a history's entry"),
        (b"[1]\n", "line 1 is not a history's entry"),
        (line(ENTRY) + line(ENTRY, schema_version=99), "line 2 has schema version 99, this code"),
        (line(ENTRY, problem=3), "line 1 does not have an entry's fields"),
        (line(ENTRY, samples=[]), "line 1 does not have an entry's fields"),
        (line(ENTRY, samples=[1e-3, "x"]), "line 1 does not have an entry's fields"),
        (line(ENTRY, samples=[-1.0]), "line 1 does not have an entry's fields"),
        (line(ENTRY, unit="ms"), "line 1 does not have an entry's fields"),
        (line(ENTRY, more=1), "line 1 does not have an entry's fields"),
        (line(ENTRY, machine="m2"), "two machines never share a history"),
    ],
)
def test_a_line_that_is_no_entry_is_refused_in_one_line(
    tmp_path: Path, history: History, content: bytes, says: str
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
        HistoryStore(tmp_path).append([replace(ENTRY, machine="../m1")])
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_an_empty_folder_and_one_of_uncommitted_changes_alone(
    tmp_path: Path, history: History
) -> None:
    done = history("--results", tmp_path / "none")
    assert str(done.exception).startswith("no history in ")
    assert not (tmp_path / "none").exists()
    RecordStore(tmp_path).append([at_commit(RUN, "c" * 40 + "+")])
    done = history("--results", tmp_path)
    assert "left out: 1 records of uncommitted changes" in done.output
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "history").exists()


def test_a_history_without_records_is_shown(tmp_path: Path, history: History) -> None:
    HistoryStore(tmp_path).append([ENTRY])
    done = history("--results", tmp_path)
    assert done.return_value == 0
    assert done.output.startswith("nothing new\n")
    assert "no change points" in done.output
    assert "0 of 1 series judged (1 have fewer than 12 commits)" in done.output


def test_who_comes_second_waits_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordStore(tmp_path).append([RUN])
    (tmp_path / "history").mkdir()
    monkeypatch.setattr("bench.track.history.LOCK_S", 0.1)
    with (
        FileLock(tmp_path / "history" / ".lock"),
        pytest.raises(InputError, match="another process is writing to"),
    ):
        append_records(tmp_path, NOWHERE)


# ------------------------------------------------------------------------------ order of commits


def test_commits_stand_as_git_orders_them_whatever_their_dates(tmp_path: Path) -> None:
    commits = repository(tmp_path, 5)
    wrong = {commit: f"2026-01-0{5 - k}T00:00:00+00:00" for k, commit in enumerate(commits)}
    assert in_order(wrong, tmp_path) == commits
    dates = known_dates([*commits, "f" * 40], tmp_path)
    assert list(dates) == commits
    assert [date[:16] for date in dates.values()] == [f"2026-01-01T00:0{k}" for k in range(5)]


def test_what_is_no_hash_is_no_option_of_git(tmp_path: Path) -> None:
    commits = repository(tmp_path, 2)
    evil = f"--output={tmp_path / 'written'}"
    assert known_dates([evil, "--all", "main"], tmp_path) == {}
    date = "2026-01-01T00:00:30+00:00"
    assert in_order({commits[1]: date, evil: date}, tmp_path) == [commits[1], evil]
    assert not (tmp_path / "written").exists()


def test_parents_come_before_children_also_across_a_merge(tmp_path: Path) -> None:
    first, *_ = repository(tmp_path, 2)
    git(tmp_path, "reset", "-q", "--hard")
    git(tmp_path, "checkout", "-q", "-b", "side", first)
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "side")
    side = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "checkout", "-q", "main")
    main = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "merge", "-q", "-m", "both", "side")
    both = git(tmp_path, "rev-parse", "HEAD")
    order = in_order(
        dict.fromkeys((both, side, main, first), "2026-01-01T00:00:00+00:00"), tmp_path
    )
    assert (order[0], order[-1]) == (first, both)
    assert set(order[1:3]) == {side, main}


def test_a_commit_that_git_does_not_hold_stands_by_its_date(tmp_path: Path) -> None:
    commits = repository(tmp_path, 4)
    dates = known_dates(commits, tmp_path)
    dates["a" * 40] = "2026-01-01T00:01:30+00:00"
    dates["b" * 40] = "2026-01-01T02:02:30+02:00"  # in another time zone
    dates["e" * 40] = "2020-01-01T00:00:00"
    expected = ["e" * 40, *commits[:2], "a" * 40, commits[2], "b" * 40, commits[3]]
    assert in_order(dates, tmp_path) == expected
    assert in_order(dates, NOWHERE) == expected


# ------------------------------------------------------------------------------ the report


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), at=st.integers(3, 32), ratio=st.sampled_from([0.8, 1.25]))
def test_over_36_commits_the_step_is_found_and_the_spikes_are_none(
    seed: int, at: int, ratio: float
) -> None:
    rng = np.random.default_rng(seed)
    commits = [f"{k:040x}" for k in rng.permutation(36)]
    levels = 1e-5 * np.exp(rng.uniform(-0.02, 0.02, 36))
    levels[at:] *= ratio
    spikes = [int(k) for k in rng.permutation(36)[:3] if abs(k - at + 0.5) > 3]
    if spikes == list(range(min(spikes, default=0), min(spikes, default=0) + 3)):
        spikes.pop()
    levels[spikes] *= rng.uniform(2, 20)
    found = entries(records_over(commits, levels, seed), repository=NOWHERE, most=MOST_SAMPLES)
    rng.shuffle(found)  # type: ignore[arg-type]
    (one,) = series_of(found, commits)
    (change,) = one.changes
    assert one.points[change.index].commit == commits[at]
    assert change.ratio == pytest.approx(ratio, rel=0.06)
    assert set(np.flatnonzero(one.off_level)) == set(spikes)


def test_the_command_over_36_commits_of_a_repository(tmp_path: Path, history: History) -> None:
    commits = repository(tmp_path / "git", 36)
    levels = np.full(36, 1e-5)
    levels[20:] *= 1.1
    levels[[4, 5, 28]] *= 4
    records = records_over(commits, levels, seed=3)
    flat = [replace(r, kernel="fused-cpu") for r in records_over(commits, np.ones(36), seed=4)]
    results = tmp_path / "results"
    RecordStore(results).append([*reversed(records), *flat])
    done = history("--results", results, "--repository", tmp_path / "git")
    assert done.return_value == 0
    assert f"72 new entries of 36 commits in {results / 'history' / 'm1.jsonl'}" in done.output
    assert "m1: Some CPU, 2 cores" in done.output
    (row,) = [text for text in done.output.splitlines() if " slower " in text]
    assert row.startswith(f"| {commits[20][:9]} | {commits[19][:9]} | 2026-01-01 |")
    assert "iris · numpy cpu float64" in row
    assert " 20 + 16 " in row
    assert "the newest 2 are not judged yet" in done.output
    table = pd.read_csv(results / "history" / "tables" / "change_points.csv")
    assert table["commit"].tolist() == [commits[20]]
    assert table["previous_commit"].tolist() == [commits[19]]
    assert table["ratio"][0] == pytest.approx(1.1, rel=0.02)
    assert table["ratio_low"][0] < 1.1 < table["ratio_high"][0]
    plots = sorted(path.name for path in (results / "history" / "plots").iterdir())
    assert plots == ["m1_seconds_per_call_iris.png", "m1_seconds_per_call_iris.svg"]
    svg = (results / "history" / "plots" / plots[1]).read_text()
    assert f"{commits[20][:9]} 1.1" in svg
    again = history("--results", results, "--repository", tmp_path / "git")
    assert again.output.splitlines()[0] == "nothing new"
    assert again.output.splitlines()[1:] == done.output.splitlines()[1:]


def steps(name: str, levels: list[float | None], **changed: Any) -> list[Entry]:
    """An entry a commit, each of three equal samples; None is a commit whose runs missed."""
    return [
        replace(
            ENTRY,
            commit=f"{k:040x}",
            optimizer=name,
            samples=(level,) * 3,
            misses=3 * (level is None),
            **changed,
        )
        for k, level in enumerate(levels)
    ]


def test_the_table_is_newest_first_and_says_what_else_changed() -> None:
    early = steps("early", [1.0] * 10 + [2.0] * 10)
    late = steps("late", [2.0] * 15 + [1.0] * 5)
    for k, entry in enumerate(late[15:], 15):
        versions = {**entry.configuration, "torch": "2.14.0"}
        late[k] = replace(entry, configuration=versions)
    missed = steps("missed", [1.0] * 12 + [None] * 8)
    count = steps("count", [9.0] * 7 + [8.0] * 13, measure="passes_to_1e-6", unit="passes")
    order = [entry.commit for entry in early]
    table = change_table(series_of([*missed, *count, *late, *early], order), order)
    assert table["optimizer"].tolist() == ["late", "missed", "early", "count"]
    assert table["direction"].tolist() == ["faster", "missing its target", "slower", "fewer passes"]
    assert table["ratio"].tolist() == [0.5, math.inf, 2.0, pytest.approx(8 / 9)]
    assert table["also_changed"].tolist() == ["torch 2.13.0 -> 2.14.0", "", "", ""]
    assert list(zip(table["commits_before"], table["commits_after"], strict=True)) == [
        *((15, 5), (12, 8), (10, 10), (7, 13))
    ]
    shown = readable_changes(table)
    by = shown["by [95% interval]"].tolist()
    assert by == ["0.500x [0.500-0.500]", "-", "2.000x [2.000-2.000]", "0.889x [0.889-0.889]"]
    assert shown["also changed"].tolist()[0] == "torch 2.13.0 -> 2.14.0"


def test_other_data_budget_or_threads_are_another_series_with_a_name_of_its_own() -> None:
    threads = {**ENTRY.configuration, "threads": 1}
    others = [
        replace(ENTRY, data="fedcba987654"),
        replace(ENTRY, budget="500 passes, 1 s"),
        replace(ENTRY, configuration=threads),
        replace(ENTRY, configuration={**ENTRY.configuration, "torch": "2.14.0"}),
    ]
    series = series_of([ENTRY, *others], [ENTRY.commit])
    assert len(series) == 4  # another version is not another series
    names = [one.cell for one in series]
    assert len(set(names)) == 4
    assert all(name.startswith("iris · lbfgs · numpy cpu float64 (") for name in names)
    assert [one.cell for one in series_of([ENTRY], [ENTRY.commit])] == [
        "iris · lbfgs · numpy cpu float64"
    ]


def test_what_was_too_short_is_counted() -> None:
    entries_ = [*steps("long", [1.0] * 12), *steps("short", [1.0] * 11)]
    said = verdict(series_of(entries_, [f"{k:040x}" for k in range(12)]))
    assert said.startswith("1 of 2 series judged (1 have fewer than 12 commits); ")


def test_60_cells_stand_on_pages_of_24_panels_and_lines_at_their_changes() -> None:
    cells = [e for k in range(60) for e in steps(f"cell{k:02}", [1.0] * 6 + [1.0 + k % 2] * 6)]
    order = [f"{k:040x}" for k in range(12)]
    found = list(history_figures(series_of(cells, order)))
    assert [name for name, _ in found] == [f"m1_time_to_1e-6_s_iris_{page}" for page in (1, 2, 3)]
    assert [len(figure.axes) for _, figure in found] == [24, 24, 12]
    panel = found[0][1].axes[1]
    assert panel.get_title("left") == "cell01 · numpy cpu float64"
    (text,) = panel.texts
    assert text.get_text() == f"{order[6][:9]} 2.00x"


def test_a_spike_does_not_flatten_the_axis_and_every_miss_is_marked() -> None:
    levels = [1.0, 1.01] * 10
    spiked = steps("spiked", [*levels[:5], 40.0, *levels[6:]])
    missed = steps("missed", [*levels[:12], *[None] * 8])
    never = steps("never", [None] * 20)
    order = [entry.commit for entry in spiked]
    ((_, figure),) = history_figures(series_of([*spiked, *missed, *never], order))
    panels = {axes.get_title("left").partition(" ")[0]: axes for axes in figure.axes}
    assert panels["spiked"].get_ylim()[1] < 1.2
    marks = {
        name: {str(ln.get_marker()): len(ln.get_xdata()) for ln in panel.get_lines()}  # type: ignore[arg-type]
        for name, panel in panels.items()
    }
    assert marks["spiked"]["^"] == 1
    assert marks["missed"]["x"] == 8
    assert marks["never"]["x"] == 20
    assert [text.get_text() for text in panels["never"].texts] == ["missed by every commit"]
