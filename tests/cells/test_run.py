"""`bench.run` and resuming: the library's door, statuses, and what survives a kill."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench
import bench.cells.session
from bench.cells.definitions import SUITES, Suite
from bench.cells.plan import expand
from bench.cells.run import run_suite
from bench.measure.recorder import Budget
from bench.optimizers import Fit, Stop
from bench.problems import Problem
from bench.records import RecordStore
from bench.report.frames import frames_of
from bench.report.plots_profiles import best_ways
from bench.report.tables_summary import quality
from logreg_kernels.torch_kernels.autograd import TorchAutogradObjective

SMALL = Suite(
    "small",
    problems=("iris",),
    optimizers=("lbfgs", "sgd:lr=0.1,batch_size=33"),
    budget=Budget(passes=20, seconds=10.0),
    kernels=("numpy", "torch-autograd"),
    devices=("cpu",),
    seeds=2,
    kernel_samples=3,
)


@dataclass(frozen=True)
class Raises:
    """An optimizer that takes one step, then raises."""

    def run(self, objective: Any, w0: Any, rng: Any, on_step: Any) -> Stop:
        on_step(w0)
        raise ArithmeticError("no descent direction")


def test_the_contracts_own_example() -> None:
    results = bench.run(
        problems=["iris"],
        optimizers=["lbfgs", "adam:lr=0.1"],
        kernels=["torch-autograd"],
        devices=["cpu"],
        seeds=3,
    )
    scores = results.scores()
    assert len(scores) == 6
    columns = [
        "problem",
        "kernel",
        "optimizer",
        "device",
        "dtype",
        "seed",
        "status",
        "gap",
        "run_s",
    ]
    for target in range(1, 11):
        columns += [f"time_to_1e-{target}_s", f"passes_to_1e-{target}", f"calls_to_1e-{target}"]
    assert set(columns) <= set(scores.columns)
    lbfgs = scores[scores["optimizer"] == "lbfgs"]
    assert (lbfgs["status"] == "converged").all()
    assert lbfgs["time_to_1e-10_s"].notna().all()
    assert (lbfgs["gap"] <= 1e-13).all()
    adam = scores[scores["optimizer"] == "adam:lr=0.1"]
    assert (adam["status"] == "budget").all()
    assert adam["time_to_1e-10_s"].isna().all(), "a miss must be missing"
    assert adam["time_to_1e-1_s"].notna().all()

    curves = results.curves()
    assert {"elapsed_s", "oracle_calls", "passes", "gap", "f"} <= set(curves.columns)
    f_star = bench.optimum("iris").f
    assert (curves["gap"] >= curves["f"] - f_star - 1e-15).all()
    for _, run in curves.groupby(["optimizer", "seed"]):
        assert run["elapsed_s"].is_monotonic_increasing
        assert run["f"].iloc[0] == pytest.approx(np.log(2))


def test_times_to_target_are_snapshots_of_the_curve() -> None:
    results = bench.run(problems=["breast_cancer"], optimizers=["lbfgs"], seeds=1)
    (score,) = results.scores().to_dict("records")
    curve = results.curves()
    start = curve["f"].iloc[0] - bench.optimum("breast_cancer").f
    for target in ("1e-1", "1e-4", "1e-9"):
        first = curve[curve["gap"] <= float(target) * start].iloc[0]
        assert score[f"time_to_{target}_s"] == first["elapsed_s"]
        assert score[f"calls_to_{target}"] == first["oracle_calls"]
        assert score[f"passes_to_{target}"] == first["passes"]


def test_whatever_happens_to_one_cell_the_others_go_on() -> None:
    results = bench.run(
        problems=["iris", "iris:target=setosa"],
        optimizers=["adam:lr=1e6", Raises(), "lbfgs"],
        kernels=["numpy", "fused-cuda"],
        devices=["cpu"],
        seeds=1,
        passes=100,
    )
    scores = results.scores().set_index(["problem", "kernel", "optimizer"])
    assert scores.loc[("iris", "numpy", "adam:lr=1e6"), "status"] == "diverged"
    failed = scores.loc[("iris", "numpy", "Raises")]
    assert failed["status"] == "failed"
    assert failed["message"] == "ArithmeticError: no descent direction"
    assert scores.loc[("iris", "numpy", "lbfgs"), "status"] == "converged"
    assert "linearly separable" in scores.loc[("iris:target=setosa", "numpy", "lbfgs"), "message"]
    assert pd.isna(scores.loc[("iris:target=setosa", "numpy", "lbfgs"), "gap"])
    fused = scores.loc[("iris", "fused-cuda", "lbfgs")]
    assert fused["status"] == "unavailable"
    assert fused["message"]
    assert len(scores) == 12, "a cell was dropped"


def test_a_problem_and_an_optimizer_of_the_users_own() -> None:
    rng = np.random.default_rng(0)
    mine = Problem("mine", rng.standard_normal((50, 3)), rng.integers(0, 2, 50), l2=0.1)
    scores = bench.run(problems=[mine], optimizers=["lbfgs"], kernels=["numpy"], seeds=1).scores()
    assert scores["problem"].tolist() == ["mine"]
    assert scores["time_to_1e-8_s"].notna().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problems": ["iriss"]}, "did you mean 'iris'"),
        ({"optimizers": ["adamm"]}, "did you mean 'adam'"),
        ({"optimizers": ["adam:lr=fast"]}, "lr must be a finite number"),
        ({"kernels": ["cuda"]}, "no kernel 'cuda'"),
        ({"devices": ["gpu"]}, "torch knows no device 'gpu'"),
        ({"devices": ["meta"]}, "no clock here is known to be right"),
        ({"dtype": "float16"}, "float32, float64"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": "3"}, "seeds must be an integer"),
        ({"problems": "iris"}, r"problems must be a list; got 'iris'"),
        ({"problems": [None]}, "a problem is a spec or a Problem; got None"),
        ({"optimizers": [3]}, "an optimizer is a spec, or has a run method, .* got 3"),
        ({"devices": ["cpu:7"]}, "torch knows no device 'cpu:7'"),
        ({"passes": 0}, "budget must be above 0"),
    ],
)
def test_bad_input_is_one_line(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"problems": ["iris"], "optimizers": ["lbfgs"], "seeds": 1}
    with pytest.raises(ValueError, match=message) as caught:
        bench.run(**(good | arguments))
    assert "\n" not in str(caught.value)


def test_running_again_runs_nothing_again(tmp_path) -> None:
    run_suite(SMALL, tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    told: list[Any] = []
    again = run_suite(SMALL, tmp_path, on_progress=told.append)
    assert (tmp_path / "records.jsonl").read_bytes() == before
    assert [progress.total for progress in told] == [0]
    assert len(again.scores()) == 8

    told.clear()
    run_suite(replace(SMALL, seeds=3), tmp_path, on_progress=told.append)
    assert told[-1].total == 4, "only the new seed is missing"


def test_rerun_runs_everything_again(tmp_path) -> None:
    run_suite(SMALL, tmp_path)
    run_suite(SMALL, tmp_path, rerun=True)
    keys = [record.key for record in RecordStore(tmp_path).read()]
    assert len(keys) == 2 * len(set(keys))


def test_the_key_changes_with_whatever_the_result_depends_on() -> None:
    def keys(suite: Suite) -> set[str]:
        return {cell.key for cell in expand(suite)[1]}

    base = keys(SMALL)
    assert len(base) == 8
    assert keys(SMALL) == base
    for change in (
        {"problems": ("iris:l2=0.1",)},
        {"dtypes": ("float32",)},
        {"budget": Budget(passes=21, seconds=10.0)},
        {"optimizers": ("lbfgs:lr=0.5", "sgd:lr=0.2,batch_size=33")},
    ):
        assert not keys(replace(SMALL, **change)) & base


def test_an_unavailable_kernel_on_one_device_is_left_out_where_it_runs_on_another() -> None:
    suite = replace(SMALL, kernels=("numpy",), devices=("cpu", "cuda"))
    timings, runs = expand(suite)
    assert {cell.device for cell in runs} == {"cpu"}
    assert {cell.device for cell in timings} == {"cpu"}


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from bench.cells.run import run_suite

def on_progress(progress):
    if progress.done == int(sys.argv[2]):
        if sys.argv[3] == "torn":
            with open(Path(sys.argv[1]) / "records.jsonl", "ab") as stream:
                stream.write(b'{"kind": "conver')
        os.kill(os.getpid(), signal.SIGKILL)

suite = pickle.load(sys.stdin.buffer)
run_suite(suite, Path(sys.argv[1]), on_progress=on_progress)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this platform has no SIGKILL")
@pytest.mark.parametrize(("cells", "how"), [("4", "clean"), ("6", "torn")])
def test_a_killed_run_loses_no_finished_cell_and_repeats_none(tmp_path, cells, how) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), cells, how]
    killed = subprocess.run(command, input=pickle.dumps(SMALL), check=False)
    assert killed.returncode == -signal.SIGKILL
    survived = RecordStore(tmp_path).read()
    # The first cell times two kernels and leaves two records.
    assert len(survived) == int(cells) + 1

    told: list[Any] = []
    results = run_suite(SMALL, tmp_path, on_progress=told.append)
    assert told[-1].total == 9 - int(cells)
    after = RecordStore(tmp_path).read()
    assert after[: len(survived)] == survived
    keys = [record.key for record in after]
    assert len(keys) == len(set(keys)) == 10
    assert len(results.scores()) == 8


def test_records_say_where_they_come_from(tmp_path) -> None:
    run_suite(replace(SMALL, seeds=1), tmp_path)
    for line in (tmp_path / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        environment = record["environment"]
        for name in (
            "machine",
            "cpu",
            "torch",
            "numpy",
            "python",
            "torch_threads",
            "blas",
            "commit",
        ):
            assert name in environment
        assert record["schema_version"] == 2
        assert record["samples"]
        assert record["problem_facts"]["f_star"] == pytest.approx(0.0690770079083977, rel=1e-14)


def test_the_quick_suite_is_the_one_that_the_readme_promises() -> None:
    names = {spec.partition(":")[0] for spec in SUITES["quick"].optimizers}
    assert names == {"lbfgs", "sgd", "momentum", "adam"}
    problems = {spec.partition(":")[0] for spec in SUITES["quick"].problems}
    assert problems == {"iris", "breast_cancer", "digits", "synthetic"}


def test_repetitions_are_cells_of_their_own(tmp_path) -> None:
    results = run_suite(replace(SMALL, kernels=("numpy",), seeds=2, repetitions=3), tmp_path)
    scores = results.scores()
    assert len(scores) == 2 * 2 * 3
    lbfgs = scores[scores["optimizer"] == "lbfgs"]
    assert lbfgs[["seed", "repetition"]].apply(tuple, axis=1).nunique() == 6
    # The same seed takes the same steps: repetitions differ by time alone.
    sgd = scores[scores["optimizer"] != "lbfgs"]
    assert (sgd.groupby("seed")["f"].nunique() == 1).all()
    assert sgd["f"].nunique() == 2
    told: list[Any] = []
    run_suite(
        replace(SMALL, kernels=("numpy",), seeds=2, repetitions=3),
        tmp_path,
        on_progress=told.append,
    )
    assert told[-1].total == 0


@dataclass(frozen=True)
class Bisecting:
    """A solver with a loss of its own: each iteration halves the way to w*."""

    library = "mine"
    claims: bool = True

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        return "it takes no penalty" if l2 else None

    def fit(self, X: Any, y: Any, *, l2: float, max_iter: int, seed: int) -> Fit:
        w = bench.optimum("iris").w * (1 - 0.5**max_iter)
        return Fit(w=w, iterations=max_iter, converged=self.claims and max_iter >= 20)


def test_a_solver_that_does_not_report_is_fitted_anew_with_growing_budgets() -> None:
    results = bench.run(["iris"], [Bisecting(), "lbfgs"], ["numpy", "torch-autograd"], seeds=2)
    scores = results.scores()
    mine = scores[scores["kernel"] == "mine"]
    assert len(mine) == 2, "it ran once a seed, and not once a kernel"
    assert (mine["sampling"] == "refits").all()
    assert (scores[scores["optimizer"] == "lbfgs"]["sampling"] == "snapshots").all()
    assert (mine["status"] == "converged").all()
    curve = results.curves()
    curve = curve[(curve["kernel"] == "mine") & (curve["seed"] == 0)]
    assert curve["step"].tolist() == [*range(10), 10, 11, 12, 13, 14, 15, 16, 18, 20]
    assert curve["passes"].isna().sum() == len(curve) - 1
    first = mine.iloc[0]
    assert first["spent_s"] > first["run_s"] > 0
    assert first["time_to_1e-6_s"] > 0
    assert pd.isna(first["passes_to_1e-6"])


def test_a_solver_says_what_it_can_not_minimise() -> None:
    (record,) = bench.run(["iris:l2=0.1"], [Bisecting()], ["numpy"], seeds=2).records
    assert (record.status, record.message) == ("unavailable", "it takes no penalty")
    (record,) = run_suite(
        Suite("x", ("iris",), (Bisecting(),), SMALL.budget, devices=("cuda",), kernel_samples=0)
    ).records
    assert record.message == "mine computes on the CPU only"


def test_a_solver_that_fails_or_lies_is_a_failed_cell() -> None:
    @dataclass(frozen=True)
    class Breaks(Bisecting):
        def fit(self, X: Any, y: Any, *, l2: float, max_iter: int, seed: int) -> Fit:
            if max_iter > 3:
                raise ArithmeticError("overflow in the fourth")
            return Fit(w=np.zeros(4), iterations=max_iter, converged=False)

    @dataclass(frozen=True)
    class Lies(Bisecting):
        def fit(self, X: Any, y: Any, *, l2: float, max_iter: int, seed: int) -> Fit:
            return Fit(w=0.01 * bench.optimum("iris").w, iterations=1, converged=True)

    broken, lying = bench.run(["iris"], [Breaks(), Lies()], ["numpy"], seeds=1).records
    assert (broken.status, broken.message) == ("failed", "ArithmeticError: overflow in the fourth")
    assert broken.samples["step"] == [0, 1, 2, 3]
    assert lying.status == "failed"
    assert lying.message.startswith("stopped as converged at a relative gap of")


@dataclass(frozen=True)
class LyingOptimizer:
    """Stops as converged after one small step."""

    def run(self, objective: Any, w0: Any, rng: Any, on_step: Any) -> Stop:
        on_step(w0 - 1e-3 * objective.value_and_grad(w0)[1])
        return Stop.CONVERGED


def test_an_optimizer_that_claims_success_at_a_wrong_point_is_a_failed_cell() -> None:
    (record,) = bench.run(["wine"], [LyingOptimizer()], ["numpy"], seeds=1).records
    assert record.status == "failed"
    assert "stopped as converged at a relative gap of" in record.message


def test_a_wrong_optimum_is_refuted_by_the_first_run_below_it(monkeypatch) -> None:
    """A certificate that claims f* too high: nothing is scored against it."""
    honest = bench.optimum("iris")
    wrong = replace(honest, f=honest.f * 1.01, gap_bound=1e-20)
    monkeypatch.setattr(bench.cells.session, "load_or_solve", lambda *_: wrong)
    (record,) = bench.run(["iris"], ["lbfgs"], ["numpy"], seeds=1).records
    assert record.status == "failed"
    assert "is refuted: this run reached" in record.message
    assert set(record.score) == {"budget_passes", "budget_s"}


def test_what_an_optimizer_needs_and_a_kernel_lacks_is_said(monkeypatch) -> None:
    monkeypatch.delattr(TorchAutogradObjective, "hessian")
    (record,) = bench.run(["iris"], ["newton"], ["torch-autograd"], seeds=1).records
    assert record.status == "unavailable"
    assert record.message == "kernel torch-autograd has no hessian, which newton needs"


@pytest.mark.parametrize("problem", ["iris3", "wine"])
def test_more_than_two_classes_end_to_end(problem: str) -> None:
    lbfgs, sgd = "lbfgs:line_search=strong_wolfe", "sgd:lr=0.1,batch_size=16"
    kernels = ["numpy", "torch-autograd"]
    budget = {"passes": 600, "seconds": 60.0}
    results = bench.run([problem], [lbfgs, "newton", sgd], kernels, seeds=1, **budget)
    scores = results.scores().set_index("optimizer")
    assert (scores.loc[[lbfgs, "newton"], "status"] == "converged").all()
    assert (scores.loc[[lbfgs, "newton"], "time_to_1e-10_s"] > 0).all()
    assert (scores.loc[[lbfgs, "newton"], "label_agreement"] == 1.0).all()
    assert (scores.loc[sgd, "relative_gap"] < 0.5).all()


def test_removing_an_optimizer_from_a_suite_leaves_the_others_as_they_are(monkeypatch) -> None:
    """With a clock that counts its stamps, whole runs repeat to the last byte."""
    ticks = iter(range(0, 10**12, 1_000_000))
    monkeypatch.setattr("bench.measure.clock.time.perf_counter_ns", lambda: next(ticks))
    optimizers = ("lbfgs", "adam:lr=0.1", "sgd:lr=0.1,batch_size=33")
    suite = replace(SMALL, problems=("iris", "iris3"), optimizers=optimizers, kernel_samples=0)

    def rows_of(chosen: tuple[str, ...], shown: set[str]) -> list[str]:
        made = frames_of(run_suite(replace(suite, optimizers=chosen)))
        best = best_ways(made.scored, made.summary)
        tables = [made.times, made.summary, quality(made.scores), best, made.curves, made.scores]
        frames = [table.drop(columns=_MEASURED, errors="ignore") for table in tables]
        return [f[f["optimizer"].isin(shown)].to_csv(index=False) for f in frames]

    for removed in optimizers:
        others = tuple(name for name in optimizers if name != removed)
        assert rows_of(optimizers, set(others)) == rows_of(others, set(others))


_MEASURED = ["setup_s", "transfer_s", "compile_s"]


@dataclass(frozen=True)
class GivesUp(Bisecting):
    """Stops by itself after five iterations, without convergence."""

    def fit(self, X: Any, y: Any, *, l2: float, max_iter: int, seed: int) -> Fit:
        return Fit(w=0.5 * bench.optimum("iris").w, iterations=min(5, max_iter), converged=False)


def test_a_solver_that_gave_up_is_not_fitted_to_the_end() -> None:
    (record,) = bench.run(["iris"], [GivesUp()], ["numpy"], seeds=1).records
    assert record.status == "budget"
    assert record.samples["step"] == [0, 1, 2, 3, 4, 5, 5]


def test_a_solver_whose_w_has_another_shape_is_a_failed_cell() -> None:
    @dataclass(frozen=True)
    class Row(Bisecting):
        def fit(self, X: Any, y: Any, *, l2: float, max_iter: int, seed: int) -> Fit:
            return Fit(w=np.zeros((1, 4)), iterations=1, converged=False)

    (record,) = bench.run(["iris"], [Row()], ["numpy"], seeds=1).records
    assert (record.status, record.samples["step"]) == ("failed", [0])
    assert "w of shape (1, 4); it should be (4,)" in record.message


def test_what_is_named_twice_runs_once() -> None:
    results = bench.run(["iris", "iris"], ["lbfgs", "lbfgs"], ["numpy", "numpy"], seeds=1)
    assert len(results.scores()) == 1


def test_two_things_of_one_name_are_refused() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), rng.integers(0, 2, 50)
    a, b = Problem("mine", X, y, l2=0.1), Problem("mine", X, y, l2=0.2)
    with pytest.raises(ValueError, match="two different problems are called 'mine'"):
        bench.run([a, b], ["lbfgs"], ["numpy"], seeds=1)


@pytest.mark.parametrize("value", [0.0, 1e39])
def test_a_problem_that_no_kernel_takes_is_a_result(value: float) -> None:
    # All zero; or beyond the range of float32.
    X = np.full((20, 2), value)
    problem = Problem("p", X, np.arange(20) % 2, l2=0.1)
    suite = replace(SMALL, problems=(problem,), dtypes=("float32",), optimizers=("lbfgs",), seeds=1)
    statuses = {record.status for record in run_suite(suite).records}
    assert statuses == ({"failed"} if value else {"ok", "converged"})


@pytest.mark.slow
def test_the_environment_is_the_same_whatever_was_imported_before() -> None:
    code = "{}; from bench.measure.environment import configuration; print(configuration())"
    imports = ("", "import scipy.linalg, sklearn.linear_model, torch, bench.cells.run")
    found = [
        subprocess.run(
            [sys.executable, "-c", code.format(first or "pass")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for first in imports
    ]
    assert found[0] == found[1]
