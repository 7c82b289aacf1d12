"""Results give records as the contract's data frames, in memory as from disk."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from record_cases import RUN, SAMPLES, TIMING, UNAVAILABLE

from bench.records import COLUMNS, TARGETS, RecordStore
from bench.records.results import Results

CELL = ["problem", "kernel", "optimizer", "device", "dtype", "seed", "repetition"]
TRIPLES = [
    name
    for k in range(1, 11)
    for name in (f"time_to_1e-{k}_s", f"passes_to_1e-{k}", f"calls_to_1e-{k}")
]
NUMBERS = [
    *("gap", "relative_gap", "f", "run_s", "setup_s", "transfer_s", "compile_s"),
    *("steps", "oracle_calls", "passes", "test_nll", "test_accuracy", "label_agreement"),
    *TRIPLES,
]
EMPTY = Results(())


def numeric(frame: pd.DataFrame, names: list[str]) -> bool:
    return all(pd.api.types.is_numeric_dtype(frame[name]) for name in names)


def test_every_column_says_what_it_means() -> None:
    assert len(COLUMNS) == 51
    assert all(COLUMNS.values())
    assert "nats" in COLUMNS["gap"]
    assert COLUMNS["time_to_1e-3_s"].startswith("seconds until the relative gap was first 1e-3")
    assert list(EMPTY.scores().columns) == [*CELL, "sampling", "status", "message", *COLUMNS]


def test_targets_are_the_contracts() -> None:
    assert list(TARGETS) == [f"1e-{k}" for k in range(1, 11)]
    assert list(TARGETS.values()) == [pytest.approx(10.0**-k, rel=1e-15) for k in range(1, 11)]


@pytest.mark.parametrize(
    "results",
    [
        EMPTY,
        Results((TIMING,)),
        Results((UNAVAILABLE,)),
        Results((RUN,)),
        Results((RUN, TIMING, UNAVAILABLE)),
    ],
)
def test_scores_have_the_contracts_columns(results: Results) -> None:
    frame = results.scores()
    assert set(frame.columns) >= {*CELL, "status", "message", *NUMBERS}
    assert frame.columns.is_unique
    assert numeric(frame, ["seed", *NUMBERS])
    assert len(frame) == sum(record.kind == "convergence" for record in results.records)


def test_scores_are_a_row_a_cell_and_a_miss_is_missing() -> None:
    hit = {f"time_to_1e-{k}_s": 0.5 * k for k in (1, 2)} | {"calls_to_1e-1": 7, "gap": 1e-3}
    runs = (RUN, replace(RUN, seed=1, status="diverged", score=hit), UNAVAILABLE)
    frame = Results(runs).scores()
    assert frame["seed"].tolist() == [0, 1, 0]
    assert frame["status"].tolist() == ["converged", "diverged", "unavailable"]
    assert frame["message"].tolist() == ["", "", "no GPU"]
    assert frame["gap"].tolist()[:2] == [1e-9, 1e-3]
    second, third = frame.iloc[1], frame.iloc[2]
    assert (second["time_to_1e-1_s"], second["time_to_1e-2_s"]) == (0.5, 1.0)
    assert second["calls_to_1e-1"] == 7
    assert second[[name for name in NUMBERS if name not in hit]].isna().all()
    assert third[NUMBERS].isna().all()


def test_scores_from_disk_are_those_from_memory(tmp_path: Path) -> None:
    records, store = (RUN, UNAVAILABLE, TIMING), RecordStore(tmp_path)
    store.append(records)
    read, kept = Results(tuple(store.read())), Results(records)
    pd.testing.assert_frame_equal(read.scores(), kept.scores())
    pd.testing.assert_frame_equal(read.curves(), kept.curves())


@pytest.mark.parametrize("results", [EMPTY, Results((TIMING, UNAVAILABLE)), Results((RUN, TIMING))])
def test_curves_have_the_contracts_columns(results: Results) -> None:
    frame = results.curves()
    assert set(frame.columns) >= {*CELL, *SAMPLES}
    assert frame.columns.is_unique
    assert numeric(frame, ["seed", *SAMPLES])


def test_curves_are_a_row_a_snapshot() -> None:
    unproved = replace(RUN, seed=1, samples=SAMPLES | {"gap": [None] * 3, "f": [0.5, None, 1.0]})
    frame = Results((RUN, UNAVAILABLE, unproved, TIMING)).curves()
    assert frame["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["elapsed_s"].tolist() == SAMPLES["elapsed_s"] * 2
    assert frame["gap"].tolist()[:3] == SAMPLES["gap"]
    assert frame["gap"].isna().tolist() == [False] * 3 + [True] * 3
    assert frame["f"].isna().tolist() == [False] * 4 + [True, False]


def test_kernel_times_are_a_row_a_sample() -> None:
    failed = replace(
        TIMING, kernel="x", status="failed", score={}, samples={"seconds_per_call": []}
    )
    frame = Results((RUN, TIMING, failed)).kernel_times()
    assert frame["seconds_per_call"].tolist() == [1e-5, 2e-5]
    assert frame["sample"].tolist() == [0, 1]
    assert set(frame["timed_beside"]) == {"numpy, torch-autograd"}
    assert list(EMPTY.kernel_times().columns) == list(frame.columns)


def test_problems_are_a_row_a_problem() -> None:
    unknown = replace(RUN, problem="other", problem_facts={"exists": None, "l2": 0.5})
    frame = Results((RUN, TIMING, unknown)).problems()
    assert frame["problem"].tolist() == ["iris", "other"]
    assert frame["exists"].tolist() == [True, None]
    assert frame["exists"][0] is True
    assert frame["l2"].tolist() == [0.0, 0.5]
    assert list(EMPTY.problems().columns) == list(frame.columns)


def test_the_page_of_columns_is_up_to_date() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = runpy.run_path(str(docs / "make_columns.py"))["page"]
    assert (docs / "columns.md").read_text(encoding="utf-8") == page()
