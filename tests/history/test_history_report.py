"""What a history says: its series, the table of change points, and the plots."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from history_cases import MEASUREMENT, NOWHERE, history, records_over, repository
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.history.append import MOST_SAMPLES
from bench.history.measurements import measurements_of
from bench.history.plots import history_figures
from bench.history.series import series_of
from bench.history.store import Measurement
from bench.history.tables import change_table, readable_changes, verdict
from bench.records import RecordStore


@pytest.mark.slow
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
    found = measurements_of(
        records_over(commits, levels, seed), repository=NOWHERE, most=MOST_SAMPLES
    )
    rng.shuffle(found)  # type: ignore[arg-type]
    (one,) = series_of(found, commits)
    (change,) = one.changes
    assert one.points[change.index].commit == commits[at]
    assert change.ratio == pytest.approx(ratio, rel=0.06)
    assert set(np.flatnonzero(one.off_level)) == set(spikes)


@pytest.mark.slow
def test_the_command_over_36_commits_of_a_repository(tmp_path: Path) -> None:
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
    assert f"72 new measurements of 36 commits in {results / 'history' / 'm1.jsonl'}" in done.stdout
    assert "m1: Some CPU, 2 cores" in done.stdout
    (row,) = [text for text in done.stdout.splitlines() if " slower " in text]
    assert row.startswith(f"| {commits[20][:9]} | {commits[19][:9]} | 2026-01-01 |")
    assert "iris · numpy cpu float64" in row
    assert " 20 + 16 " in row
    assert "the newest 2 are not judged yet" in done.stdout
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
    assert again.stdout.splitlines()[0] == "nothing new"
    assert again.stdout.splitlines()[1:] == done.stdout.splitlines()[1:]


def steps(name: str, levels: list[float | None], **changed: Any) -> list[Measurement]:
    """A measurement a commit, each of three equal samples; None is a commit whose runs missed."""
    return [
        replace(
            MEASUREMENT,
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
    for k, m in enumerate(late[15:], 15):
        versions = {**m.configuration, "torch": "2.14.0"}
        late[k] = replace(m, configuration=versions)
    missed = steps("missed", [1.0] * 12 + [None] * 8)
    count = steps("count", [9.0] * 7 + [8.0] * 13, measure="passes_to_1e-6", unit="passes")
    order = [m.commit for m in early]
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
    threads = {**MEASUREMENT.configuration, "threads": 1}
    others = [
        replace(MEASUREMENT, data="fedcba987654"),
        replace(MEASUREMENT, budget="500 passes, 1 s"),
        replace(MEASUREMENT, configuration=threads),
        replace(MEASUREMENT, configuration={**MEASUREMENT.configuration, "torch": "2.14.0"}),
    ]
    series = series_of([MEASUREMENT, *others], [MEASUREMENT.commit])
    assert len(series) == 4  # another version is not another series
    names = [one.cell for one in series]
    assert len(set(names)) == 4
    assert all(name.startswith("iris · lbfgs · numpy cpu float64 (") for name in names)
    assert [one.cell for one in series_of([MEASUREMENT], [MEASUREMENT.commit])] == [
        "iris · lbfgs · numpy cpu float64"
    ]


def test_what_was_too_short_is_counted() -> None:
    measurements = [*steps("long", [1.0] * 12), *steps("short", [1.0] * 11)]
    said = verdict(series_of(measurements, [f"{k:040x}" for k in range(12)]))
    assert said.startswith("1 of 2 series judged (1 have fewer than 12 commits); ")


@pytest.mark.slow
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
    order = [m.commit for m in spiked]
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
