"""Counters: what is counted, what is compared, and that planted work is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench.counters.count
from bench.counters.count import PINNED, count_pinned, keep_cuda, rounding_environment
from bench.counters.counters_file import (
    Counters,
    as_json,
    cell_name,
    changes,
    other_versions,
    read_counters,
)
from bench.counters.reads_of_x import count_reads
from bench.counters.report import markdown
from bench.counters.run_counts import MINI_BATCH_PASSES, PASSES, count_runs
from bench.errors import InputError
from bench.optimizers.torch_first_order import TorchFirstOrder
from bench.optimizers.torch_lbfgs import LBFGS
from logreg_kernels import bind
from logreg_kernels.fused_cpu.objective import FusedCpuBinary
from logreg_kernels.numpy_kernel.objective import NumpyBinary
from logreg_kernels.torch_kernels.autograd import TorchAutogradObjective

COMMITTED = Path(__file__).parents[2] / "results" / "counters.json"
SMALL: dict[str, Any] = {
    "problems": ("iris", "breast_cancer"),
    "optimizers": ("lbfgs", "lbfgs:line_search=strong_wolfe", "adam:lr=0.1"),
}


def counted(**changed: Any) -> Counters:
    fields: dict[str, Any] = {
        "runs": {},
        "reads_of_x": {},
        "cuda": {},
        "settings": {"passes": 100},
        "environment": {"torch": "2.13.0"},
        "not_counted": {"cuda": "no CUDA device"},
    }
    return Counters(**{**fields, **changed})


@pytest.fixture(scope="module")
def small() -> Counters:
    """Two problems, three optimizers, three kernels, as the code is."""
    return counted(runs=count_runs(**SMALL), reads_of_x=count_reads())


# --- the committed numbers ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_committed_counters_are_those_of_this_code() -> None:
    committed = read_counters(COMMITTED)
    now = count_pinned()
    assert changes(committed, now) == [], markdown(committed, now, "results/counters.json")
    # Written anew by the same code and versions it is the same file, to the last byte.
    if not other_versions(committed, now):
        assert as_json(keep_cuda(now, committed)) == COMMITTED.read_text(encoding="utf-8")
    assert now.environment["threads"] == 1


def test_the_child_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in for the child that prints what it was started with.
    seen: dict[str, str] = {}

    def start(arguments: list[str], env: dict[str, str], **options: Any) -> Any:
        seen.update(env)
        raise OSError("not started")

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(bench.counters.count.subprocess, "Popen", start)
    with pytest.raises(OSError, match="not started"):
        count_pinned()
    assert seen.items() >= PINNED.items()
    assert "TRITON_INTERPRET" not in seen


def test_a_child_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    says = "echo counting iris; echo Traceback; echo 'ValueError: no' >&2; exit 3"
    python.write_text(f"#!/bin/sh\n{says}\n")
    python.chmod(0o755)
    monkeypatch.setattr(bench.counters.count.sys, "executable", str(python))
    told: list[str] = []
    with pytest.raises(InputError, match=r"^counting ended with exit code 3: ValueError: no: see"):
        count_pinned(told.append)
    assert told == ["iris"]


def test_environment_names_no_machine() -> None:
    assert rounding_environment().keys() == {
        *("python", "numpy", "scipy", "torch", "numba", "architecture", "blas", "torch_cpu"),
        *("threads", "gpus"),
    }


# --- runs ---------------------------------------------------------------------------------------


class Counting:
    """An objective that counts for itself."""

    def __init__(self, objective: Any) -> None:
        self.objective, self.points = objective, []

    def value_and_grad(self, w: Any, rows: Any = None) -> Any:
        self.points.append(np.array(w))
        return self.objective.value_and_grad(w, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objective, name)


def test_counts_are_those_of_a_hand_worked_run(small: Counters) -> None:
    """Evaluations and iterations of torch's own L-BFGS, driven without our code."""
    from bench.problems import load_problem

    problem = load_problem("iris")
    objective = Counting(bind("numpy", problem.X, problem.y, l2=problem.l2))
    for spec, search in (("lbfgs", None), ("lbfgs:line_search=strong_wolfe", "strong_wolfe")):
        objective.points.clear()
        w = torch.zeros(problem.X.shape[1], dtype=torch.float64)
        optimizer = torch.optim.LBFGS(
            [w],
            history_size=10,
            max_iter=20,
            max_eval=2000,
            tolerance_grad=1e-9,
            tolerance_change=1e-16,
            line_search_fn=search,
        )

        def closure(w: torch.Tensor = w) -> Any:
            value, grad = objective.value_and_grad(w.numpy())
            w.grad = torch.from_numpy(grad)
            return value

        n_iter, before = 0, -20
        while n_iter - before == 20:  # a step() that ended early has converged
            before = n_iter
            optimizer.step(closure)
            n_iter = optimizer.state[w]["n_iter"]
        run = small.runs[cell_name("iris", spec, "numpy")]
        assert run["status"] == "converged"
        assert run["oracle_calls"]["end"] == len(objective.points)
        assert run["passes"]["end"] == len(objective.points)
        assert run["trials"]["end"] == len(objective.points) - 1 - n_iter
        assert (run["trials"]["end"] > 0) == (search is not None)


def test_kernels_agree_and_first_order_methods_try_nothing(small: Counters) -> None:
    for cell, run in small.runs.items():
        problem, optimizer, _ = cell.split(" | ")
        assert run == small.runs[cell_name(problem, optimizer, "numpy")]
        if optimizer.startswith("adam"):
            assert (run["status"], run["steps"]) == ("budget", PASSES)
            assert set(run["trials"].values()) <= {0, None}


def test_mini_batches_count_their_rows() -> None:
    (run,) = count_runs(["breast_cancer"], ["adam:lr=0.01,batch_size=32"], ["numpy"]).values()
    batches = 18  # of 569 rows, the last one of 25
    assert run["oracle_calls"]["end"] == batches * MINI_BATCH_PASSES
    assert run["passes"]["end"] == MINI_BATCH_PASSES
    calls, passes = run["oracle_calls"]["1e-1"], run["passes"]["1e-1"]
    epochs, rest = divmod(calls, batches)
    assert passes == pytest.approx(epochs + 32 * rest / 569, abs=1e-6)


def test_a_kernel_that_is_wrong_is_a_failed_run(
    monkeypatch: pytest.MonkeyPatch, small: Counters
) -> None:
    right = TorchAutogradObjective.value_and_grad

    def wrong(self: TorchAutogradObjective, w: Any, rows: Any = None) -> Any:
        value, grad = right(self, w, rows)
        return value, 1.01 * grad

    monkeypatch.setattr(TorchAutogradObjective, "value_and_grad", wrong)
    runs = count_runs(["iris"], ["lbfgs"], ["torch-autograd"])
    (run,) = runs.values()
    assert run["status"] == "failed"
    assert "KernelMismatch" in run["message"]
    before = counted(runs={name: small.runs[name] for name in runs})
    (change,) = changes(before, counted(runs=runs))
    assert (change.counter, change.committed) == ("status", "converged")
    assert str(change.now).startswith("failed: KernelMismatch")


# --- planted work -------------------------------------------------------------------------------


def shown(small: Counters, **now: Any) -> str:
    return markdown(small, dataclasses.replace(small, **now), "results/counters.json")


def planted_pass(read: Callable[[Any], Any], method: Callable[..., Any]) -> Callable[..., Any]:
    def with_another_pass(self: Any, *args: Any, **kwargs: Any) -> Any:
        read(self)
        return method(self, *args, **kwargs)

    return with_another_pass


def fused_pass(objective: FusedCpuBinary) -> None:
    """Another call of a compiled pass."""
    sums = np.zeros(objective.n_features)
    w = np.zeros(objective.n_features)
    rows = objective.n_samples
    objective.passes.add_hvp(objective.operand, w, w, 0, rows, objective.block(), sums)


def torch_pass(objective: TorchAutogradObjective) -> None:
    """Another product with X, dense or CSR."""
    objective.X @ torch.zeros(objective.n_features, dtype=torch.float64)


PLANTED: dict[str, tuple[str, Any, Callable[[Any], Any], float]] = {
    "numpy": ("numpy", NumpyBinary, lambda o: o.X @ np.zeros(o.n_features), 2.0),
    "numpy, half of X": ("numpy", NumpyBinary, lambda o: o.X[::2] @ np.zeros(o.n_features), 2.0),
    "torch": (
        "torch-autograd",
        TorchAutogradObjective,
        lambda o: o.X @ torch.zeros(7).double(),
        2.0,
    ),
    "fused-cpu, a compiled pass": ("fused-cpu", FusedCpuBinary, fused_pass, 1.0),
    "fused-cpu, NumPy": ("fused-cpu", FusedCpuBinary, lambda o: o.X.sum(), 1.0),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_another_pass_over_x_is_found(
    planted: str, monkeypatch: pytest.MonkeyPatch, small: Counters
) -> None:
    kernel, objective, read, before = PLANTED[planted]
    monkeypatch.setattr(objective, "value_and_grad", planted_pass(read, objective.value_and_grad))
    reads = {**small.reads_of_x, **count_reads([kernel])}
    now = dataclasses.replace(small, reads_of_x=reads)
    found = [c for c in changes(small, now) if c.counter == "value_and_grad"]
    assert {c.cell[0] for c in found} == {kernel}
    part = 0.5 if "half" in planted else 1.0
    dense = next(c for c in found if c.cell[1] == "two classes, dense")
    assert (dense.committed, dense.now, dense.allowed) == (before, before + part, 0)
    text = shown(small, reads_of_x=reads)
    assert text.startswith("Counters: ")
    assert f"{kernel}" in text
    assert "reads of X by value_and_grad" in text
    assert f"+{part:g}" in text
    assert "python -m bench counters --update" in text


def test_another_call_in_a_line_search_is_found_in_one_row(
    monkeypatch: pytest.MonkeyPatch, small: Counters
) -> None:
    monkeypatch.setattr(LBFGS, "run", evaluating_twice(LBFGS.run))
    now = count_runs(**SMALL)
    text = shown(small, runs=now)
    assert text.startswith("Counters: changed: 12 of 18 runs (lbfgs and lbfgs:line")
    rows = [line for line in text.splitlines() if line.startswith("| lbfgs")]
    assert [row.split("|")[1].strip() for row in rows if "oracle calls" in row] == [
        *("lbfgs", "lbfgs:line_search=strong_wolfe")
    ]
    assert len(rows) <= 6
    assert "adam" not in text


def test_another_call_in_a_first_order_method_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Counters
) -> None:
    monkeypatch.setattr(TorchFirstOrder, "run", evaluating_twice(TorchFirstOrder.run))
    text = shown(small, runs=count_runs(**SMALL))
    assert text.startswith("Counters: changed: 6 of 18 runs (adam:lr=0.1).")
    assert "| adam:lr=0.1 | oracle calls" in text
    assert "| lbfgs" not in text


def evaluating_twice(run: Callable[..., Any]) -> Callable[..., Any]:
    class Twice:
        def __init__(self, objective: Any) -> None:
            self.objective = objective

        def value_and_grad(self, w: Any, rows: Any = None) -> Any:
            self.objective.value_and_grad(w, rows)
            return self.objective.value_and_grad(w, rows)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.objective, name)

    def run_twice(self: Any, objective: Any, w0: Any, rng: Any, on_step: Any) -> Any:
        return run(self, Twice(objective), w0, rng, on_step)

    return run_twice
