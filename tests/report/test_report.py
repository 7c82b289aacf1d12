"""The report from hand-made records: what it says, and that it never leaves half a file."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.command.text import gap, listing, ratio_with_range, seconds, seconds_with_range
from bench.files.whole import write_whole
from bench.records import TARGETS, Record, RecordStore, latest
from bench.records.results import Results
from bench.report import answer, plots_profiles, tables, tables_kernels, tables_summary
from bench.report.answer import Answer
from bench.report.frames import frames_of
from bench.report.plots import plots
from bench.report.tables import readable_times, why_missed
from bench.report.tables_summary import readable_summary, times_of
from bench.report.write import write_report
from bench.statistics.profiles import ecdf_steps, performance_ratios

ENVIRONMENT = {
    "machine": "m1",
    "cpu": "Test CPU",
    "usable_cores": 2,
    "gpus": [],
    "torch_threads": 2,
    "torch": "2",
    "numpy": "2",
    "python": "3",
}
FACTS = {
    "n_samples": 100,
    "n_features": 4,
    "n_classes": 2,
    "l2": 0.0,
    "fingerprint": "x",
    "f_star": 0.5,
    "gap_bound": 1e-20,
    "exists": True,
    "reason": "by hand",
}


def run_record(
    optimizer: str = "lbfgs",
    seed: int = 0,
    times: dict[str, float] | None = None,
    status: str = "budget",
    **changes: Any,
) -> Record:
    """A run that met the targets in `times` (seconds) and ended at a relative gap of 1e-4."""
    score: dict[str, Any] = {"gap": 1e-4, "relative_gap": 1e-4, "run_s": 1.0, "resolution": 1e-15}
    score |= {"passes": 50.0, "budget_passes": 50.0, "budget_s": 1.0, "area_log_gap": -3.0}
    for target in TARGETS:
        time = (times or {}).get(target)
        score[f"time_to_{target}_s"] = time
        score[f"passes_to_{target}"] = None if time is None else 10.0
        score[f"calls_to_{target}"] = None if time is None else 10
    fields: dict[str, Any] = {
        "kind": "convergence",
        "key": f"{optimizer}-{seed}",
        "problem": "iris",
        "kernel": "numpy",
        "optimizer": optimizer,
        "device": "cpu",
        "dtype": "float64",
        "seed": seed,
        "repetition": 0,
        "sampling": "snapshots",
        "status": status,
        "message": "",
        "score": score,
        "samples": {
            "step": [0, 1, 2],
            "elapsed_s": [0.0, 0.1, 0.2],
            "oracle_calls": [0, 1, 2],
            "passes": [0.0, 1.0, 2.0],
            "f": [1.5, 0.6, 0.5001],
            "gap": [1.0, 0.1, 1e-4],
        },
        "problem_facts": FACTS,
        "environment": ENVIRONMENT,
        "suite": "quick",
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Record(**(fields | changes))


def kernel_record(kernel: str, times: list[float], beside: str) -> Record:
    return run_record(
        kind="kernel",
        key=f"{kernel}/{beside}",
        kernel=kernel,
        optimizer="",
        status="ok",
        score={"timed_beside": beside},
        samples={"seconds_per_call": times},
    )


def runs(optimizer: str, seconds_to_1e6: list[float | None], **changes: Any) -> list[Record]:
    return [
        run_record(optimizer, seed, None if s is None else {"1e-3": s / 2, "1e-6": s}, **changes)
        for seed, s in enumerate(seconds_to_1e6)
    ]


def times_to_target(results: Results) -> pd.DataFrame:
    return frames_of(results).times


def summary(results: Results) -> pd.DataFrame:
    return frames_of(results).summary


def quality(results: Results) -> pd.DataFrame:
    return tables_summary.quality(results.scores())


def not_run(results: Results) -> pd.DataFrame:
    return tables.not_run(results.scores())


def kernel_times(results: Results) -> pd.DataFrame:
    return tables_kernels.kernel_times(results.kernel_times())


def best_ways(results: Results) -> pd.DataFrame:
    frames = frames_of(results)
    return plots_profiles.best_ways(frames.scored, frames.summary)


def answers(results: Results) -> list[Answer]:
    return answer.answers(frames_of(results))


def test_a_row_has_the_median_and_the_range_of_its_runs() -> None:
    frame = times_to_target(Results(tuple(runs("lbfgs", [0.3, 0.1, 0.2]))))
    (row,) = frame.to_dict("records")
    assert (row["time_to_1e-6_s"], row["time_to_1e-6_low_s"], row["time_to_1e-6_high_s"]) == (
        pytest.approx(0.2),
        0.1,
        0.3,
    )
    assert row["hits_1e-6"] == row["runs"] == 3
    assert row["hits_1e-9"] == 0
    assert row["ert_1e-6_s"] == pytest.approx(0.2)


def test_a_miss_is_later_than_every_hit_and_never_hidden() -> None:
    frame = times_to_target(Results(tuple(runs("sgd", [0.1, None, 0.2]))))
    (row,) = frame.to_dict("records")
    assert row["time_to_1e-6_s"] == 0.2  # the middle of 0.1, 0.2 and later
    assert row["time_to_1e-6_low_s"] == 0.1
    assert pd.isna(row["time_to_1e-6_high_s"])
    assert row["hits_1e-6"] == 2
    assert row["ert_1e-6_s"] == pytest.approx((0.1 + 0.2 + 1.0) / 2)  # the miss spent 1 s
    shown = readable_times(frame).iloc[0]
    assert shown["time to 1e-6"] == "200 ms [100-missed], 2 of 3 runs"
    assert shown["time to 1e-9"] == "missed"


def test_a_median_that_is_a_miss_is_not_given() -> None:
    frame = times_to_target(Results(tuple(runs("sgd", [None, None, 0.2]))))
    (row,) = frame.to_dict("records")
    assert pd.isna(row["time_to_1e-6_s"])
    assert readable_times(frame).iloc[0]["time to 1e-6"] == "1 of 3 runs"


@pytest.mark.parametrize(
    ("score", "status", "why"),
    [
        ({}, "budget", "50 passes spent"),
        ({"passes": 20.0}, "budget", "1.00 s spent"),
        ({"passes": 20.0, "run_s": 0.1}, "budget", "it stopped without meeting its own test"),
        ({}, "converged", "its own stopping test ended it"),
        ({}, "diverged", "diverged: it ended above its start"),
        ({"resolution": 2e-8}, "budget", "below what can be told apart (2.0e-08)"),
        ({}, "failed", "the message"),
        ({"gap": None}, "budget", "no proved optimum to measure against"),
    ],
)
def test_every_miss_is_explained(score: dict[str, Any], status: str, why: str) -> None:
    record = run_record(times={"1e-3": 0.1}, status=status, message="the message")
    record = dataclasses.replace(record, score={**record.score, **score})
    runs_of_it = Results((record,)).scores()
    assert why_missed(runs_of_it) == why
    assert times_to_target(Results((record,)))["why_missed"].tolist() == [why]
    met = run_record(times={"1e-9": 0.1}, status=status)
    assert why_missed(Results((met,)).scores()) == ""


def test_the_fastest_comes_first_and_the_misses_last() -> None:
    records = runs("slow", [0.9]) + runs("never", [None]) + runs("fast", [0.1])
    frame = times_to_target(Results(tuple(records)))
    assert frame["optimizer"].tolist() == ["fast", "slow", "never"]


def test_the_answer_says_who_by_how_much_and_who_never_got_there() -> None:
    records = runs("a", [0.1] * 6) + runs("b", [0.2, 0.3, 0.25] * 2) + runs("c", [None] * 6)
    (found,) = answers(Results(tuple(records)))
    assert found.sentence == (
        "iris: a on numpy is first to 1e-6, in 100 ms [100-100]; "
        "2.5x [2.0-3.0] ahead of b on numpy; never there: c"
    )


def test_many_that_never_got_there_are_counted_and_not_named() -> None:
    records = runs("a", [0.1] * 3) + [r for n in "bcdefgh" for r in runs(n, [None] * 3)]
    (found,) = answers(Results(tuple(records)))
    assert found.sentence.endswith("never there: 7 of 8 optimizers")


def test_an_overlap_is_not_called_a_lead() -> None:
    records = runs("a", [0.10, 0.12, 0.11] * 2) + runs("b", [0.11, 0.11, 0.12] * 2)
    (found,) = answers(Results(tuple(records)))
    assert found.margin.startswith("not significantly ahead of b on numpy")


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_runs_are_too_few_to_be_sure(n: int) -> None:
    (found,) = answers(Results(tuple(runs("a", [0.1] * n) + runs("b", [0.2] * n))))
    assert "too few runs" in found.margin


def test_each_optimizer_stands_on_its_fastest_kernel() -> None:
    records = runs("a", [0.1] * 3) + runs("a", [0.05] * 3, kernel="torch-autograd")
    (found,) = answers(Results(tuple(records)))
    assert found.winner == "a on torch-autograd"
    assert found.margin == "", "an optimizer was compared with itself"


def test_where_nobody_meets_the_fine_target_the_coarse_one_decides() -> None:
    records = [run_record("a", s, {"1e-3": 0.1}) for s in range(3)]
    (found,) = answers(Results(tuple(records)))
    assert found.target == "1e-3"
    (found,) = answers(Results(tuple(runs("a", [None] * 3))))
    assert "raise the budget" in found.sentence


MANY = (
    runs("a", [0.1, 0.2, 0.15])
    + runs("b", [0.3, None, 0.2])
    + runs("c", [None] * 3)
    + runs("a", [0.01, 0.02, 0.015], problem="wine")
    + runs("b", [0.03, 0.05, 0.04], problem="wine")
    + runs("c", [0.01, 0.01, None], problem="wine")
    + runs("a", [0.2] * 3, kernel="torch-autograd")
)


@pytest.mark.parametrize("removed", ["a", "b", "c"])
def test_no_optimizer_moves_another_ones_scores(removed: str) -> None:
    """Targets, intervals, rates and ecdf stay equal byte for byte; the profile may move."""
    everyone = Results(tuple(MANY))
    without = Results(tuple(r for r in MANY if r.optimizer != removed))
    for table in (times_to_target, summary, quality, Results.scores, Results.curves, best_ways):
        rows = table(everyone)
        rows = rows[rows["optimizer"] != removed]
        assert rows.to_csv(index=False) == table(without).to_csv(index=False), table
    before = {n: times_of(rows) for n, rows in best_ways(everyone).groupby("optimizer")}
    after = {n: times_of(rows) for n, rows in best_ways(without).groupby("optimizer")}
    assert set(before) - set(after) == {removed}
    for name, times in after.items():
        steps, expected = ecdf_steps(times), ecdf_steps(before[name])
        assert steps.at.tobytes() == expected.at.tobytes()
        assert steps.height.tobytes() == expected.height.tobytes()


def test_the_profile_does_move_and_says_so() -> None:
    times = np.array([[0.1, 0.2], [0.3, 0.2]])
    assert (performance_ratios(times) == 1).mean(axis=0).tolist() == [0.5, 0.5]
    assert (performance_ratios(times[:, 1:]) == 1).mean(axis=0).tolist() == [1.0]
    captions = {plot.name: plot.caption for plot in plots(frames_of(Results(tuple(MANY))))}
    assert "moves with who else ran" in captions["performance_profile"]
    assert "No curve depends on another" in captions["ecdf"]


def test_a_run_that_is_lost_improves_nothing() -> None:
    """A failed run counts with the whole budget, infinitely far, and 0 decades."""
    good = runs("a", [0.1, 0.1])
    lost = run_record("a", 2, status="failed", score={"budget_s": 1.0, "budget_passes": 50.0})
    early = run_record("a", 2, status="failed")
    early = dataclasses.replace(early, score={**early.score, "run_s": 1e-6})
    mean_of_two = summary(Results(tuple(good)))["mean_time_s"].item()
    for bad in (lost, early):
        row = summary(Results((*good, bad))).iloc[0]
        assert row["mean_time_s"] > mean_of_two
        assert row["mean_time_misses"] == 1
    row = summary(Results((*good, lost))).iloc[0]
    assert row["area_log_gap"] == pytest.approx(-3.0 * 2 / 3)
    (row,) = times_to_target(Results((*good, lost))).to_dict("records")
    assert row["relative_gap"] == 1e-4
    two_lost = (good[0], lost, dataclasses.replace(lost, seed=1))
    (row,) = times_to_target(Results(two_lost)).to_dict("records")
    assert pd.isna(row["relative_gap"])
    assert pd.isna(quality(Results(two_lost))["relative_gap"].item())
    assert row["ert_1e-6_s"] == pytest.approx(0.1 + 2 * 1.0)


def test_restarts_are_shown_where_some_runs_missed() -> None:
    shown = readable_times(times_to_target(Results(tuple(runs("a", [0.1, None, 0.1, 0.1])))))
    assert shown["to 1e-6 with restarts"].item().startswith("433 ms [100-")
    shown = readable_times(times_to_target(Results(tuple(runs("a", [0.1] * 4)))))
    assert shown["to 1e-6 with restarts"].item() == "-"


def test_names_with_dollars_and_alike_names_have_plots_of_their_own(tmp_path: Path) -> None:
    names = ("c$^$t.csv", "a_b.csv", "a b.csv", "a/b.csv")
    records = [r for name in names for r in runs("a$_$", [0.1], problem=name)]
    written = write_report(Results(tuple(records)), tmp_path)
    gaps = [p for p in written.plots if p.stem.startswith("gap_vs_time") and p.suffix == ".svg"]
    assert len({p.name for p in gaps}) == len(gaps) == 4


def test_only_runs_of_the_last_data_and_budget_share_a_row() -> None:
    old = runs("a", [0.1, 0.1, 0.1])
    other_data = run_record("a", 0, {"1e-6": 0.2}, problem_facts=FACTS | {"fingerprint": "y"})
    assert latest([*old, other_data]) == [other_data]
    longer = run_record("a", 0, {"1e-6": 0.2})
    longer = dataclasses.replace(longer, score={**longer.score, "budget_s": 2.0})
    assert latest([*old, longer]) == [longer]
    elsewhere = run_record("a", 0, problem="wine")
    assert latest([*old, elsewhere]) == [*old, elsewhere]


def test_the_summary_counts_every_run_over_all_problems() -> None:
    frame = summary(Results(tuple(MANY))).set_index(["optimizer", "kernel"])
    row = frame.loc[("b", "numpy")]
    assert (row["problems"], row["runs"], row["hits_1e-6"]) == (2, 6, 5)
    assert row["rate_1e-6"] == pytest.approx(5 / 6)
    assert row["rate_1e-6_low"] < 5 / 6 < row["rate_1e-6_high"]
    assert row["solved"] == pytest.approx((5 + 5) / (6 * 10))  # 1e-3 and 1e-6 of ten targets
    logs = np.log([0.301, 1.001, 0.201, 0.031, 0.051, 0.041])  # the miss had 1 s; shift 1 ms
    assert row["mean_time_s"] == pytest.approx(np.exp(logs.mean()) - 1e-3)
    assert row["mean_time_misses"] == 1
    shown = readable_summary(summary(Results(tuple(MANY))))
    assert shown[shown["optimizer"] == "b"]["mean time to 1e-6"].item().startswith("≥ ")


def test_each_optimizer_has_its_best_way_by_its_own_runs_alone() -> None:
    ways = best_ways(Results(tuple(MANY)))
    # On torch-autograd, a ran on one of the two problems.
    assert set(ways[ways["optimizer"] == "a"]["kernel"]) == {"numpy"}


def test_a_problem_without_optimum_says_so_instead_of_ranking() -> None:
    facts = FACTS | {"exists": False, "f_star": None, "reason": "separable: set l2 > 0"}
    (found,) = answers(Results(tuple(runs("a", [None], problem_facts=facts))))
    assert found.sentence == "iris: not scored, separable: set l2 > 0"


def test_kernel_ratios_are_taken_only_between_kernels_that_took_turns() -> None:
    beside = "numpy, torch-autograd"
    records = (
        kernel_record("numpy", [1.0, 2.0, 3.0], beside),
        kernel_record("torch-autograd", [2.0, 6.0, 12.0], beside),
        kernel_record("numpy", [1.0, 1.0], "numpy"),
    )
    frame = kernel_times(Results(records)).set_index(["kernel", "timed_beside"])
    assert frame.loc[("torch-autograd", beside), "ratio"] == 3.0  # of 2, 3, 4; not of medians
    assert frame.loc[("numpy", beside), "ratio"] == 1.0
    assert pd.isna(frame.loc[("numpy", "numpy"), "ratio"])


def test_cells_that_did_not_run_are_listed_with_their_reason() -> None:
    records = [
        run_record(o, status="unavailable", kernel="fused-cuda", message="no GPU", score={})
        for o in ("a", "b")
    ]
    (row,) = not_run(Results(tuple(records))).to_dict("records")
    assert (row["kernel"], row["message"], row["cells"]) == ("fused-cuda", "no GPU", 2)
    assert row["what"] == ""
    some = run_record("c", status="unavailable", message="needs a penalty", score={})
    (row,) = not_run(Results((some, *runs("a", [0.1])))).to_dict("records")
    assert row["what"] == "c on iris"
    assert times_to_target(Results(tuple(records))).empty


def test_a_report_is_written_from_records_alone(tmp_path: Path) -> None:
    records = runs("a", [0.1] * 3) + runs("<b>&", [None] * 3)
    records.append(kernel_record("numpy", [1e-5, 2e-5], "numpy"))
    written = write_report(Results(tuple(records)), tmp_path)
    page = written.page.read_text()
    assert "a on numpy" in page
    assert "<b>&" not in page, "a name reached the page unescaped"
    for name in ("times_to_target", "summary", "quality", "problems", "kernel_times", "scores"):
        frame = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert len(frame)
    assert {p.stem for p in written.plots} == {
        "gap_vs_time_iris",
        "gap_vs_passes_iris",
        "time_to_target",
        "ecdf",
        "performance_profile",
        "kernel_time",
    }
    for plot in written.plots:
        head = plot.read_bytes()[:8]
        assert head.startswith(b"\x89PNG" if plot.suffix == ".png" else b"<?xml")
        assert plot.name in page or plot.suffix == ".png"
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_same_records_make_the_same_files(tmp_path: Path) -> None:
    records = Results(tuple(runs("a", [0.1] * 3)))
    contents = []
    for name in ("x", "y"):
        write_report(records, tmp_path / name)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        contents.append([p.read_bytes() for p in files])
    assert contents[0] == contents[1]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_latest_record_of_a_cell_is_shown() -> None:
    old, new = run_record(times={"1e-6": 9.0}), run_record(times={"1e-6": 1.0})
    assert latest([old, new]) == [new]


def test_a_folder_from_another_machine_is_reported_without_running(tmp_path: Path) -> None:
    RecordStore(tmp_path).append(runs("a", [0.1] * 3))
    command = [sys.executable, "-m", "bench.report", "--no-run", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a on numpy is first to 1e-6" in done.stdout
    assert "Test CPU" in done.stdout
    assert len(RecordStore(tmp_path).read()) == 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.5, "1.50 s"), (0.00123, "1.23 ms"), (4.56e-5, "45.6 µs"), (7.89e-7, "789 ns")],
)
def test_seconds_have_three_digits_in_the_unit_that_fits(value: float, shown: str) -> None:
    assert seconds(value) == shown


def test_ranges_share_the_unit_of_the_median() -> None:
    assert seconds_with_range(0.0015, 0.0009, 0.0201) == "1.50 ms [0.90-20.1]"
    assert ratio_with_range(1.5, 1.25, 12.34) == "1.50x [1.25-12]"
    assert gap(None) == gap(float("nan")) == "-"
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
