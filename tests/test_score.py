"""Scores of hand-made traces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss

from bench.measure.recorder import Trace
from bench.problems import load_problem
from bench.records import TARGETS
from bench.score.optimum import Optimum, solve
from bench.score.quality import on_test_split
from bench.score.targets import score


def trace_of(k: int, stop: str = "budget") -> Trace:
    """k snapshots: a step each 0.5 s, two calls and 30 rows a step."""
    steps = np.arange(k)
    return Trace(
        step=steps,
        elapsed_s=0.5 * steps,
        oracle_calls=2 * steps,
        rows_read=30 * steps,
        w=np.zeros((k, 1)),
        stop=stop,
        message="",
        run_s=0.5 * k,
    )


def optimum_of(f: float, gap_bound: float = 0.0, exists: bool | None = True) -> Optimum:
    return Optimum(w=np.zeros(1), f=f, gap_bound=gap_bound, exists=exists, reason="by hand")


def test_a_hand_computed_example() -> None:
    # f* = 1 and f(w0) = 3, so r = (f - 1) / 2.
    values = np.array([3.0, 1.4, 1.2, 1.019, 1.002])
    result = score(trace_of(5), values, optimum_of(1.0), n_samples=10)
    assert result.status == "budget"
    assert result.gap == pytest.approx(0.002)
    assert result.relative_gap == pytest.approx(0.001)
    hit = result.hits["1e-1"]
    assert hit is not None
    assert (hit.elapsed_s, hit.passes, hit.oracle_calls) == (1.0, 6.0, 4)
    assert result.hits["1e-2"].elapsed_s == 1.5  # type: ignore[union-attr]
    assert result.hits["1e-4"] is None


def test_a_target_counts_from_the_first_time_it_is_met() -> None:
    values = np.array([2.0, 1.05, 1.9, 1.05])
    hit = score(trace_of(4), values, optimum_of(1.0), 10).hits["1e-1"]
    assert hit is not None
    assert hit.elapsed_s == 0.5


def test_the_bound_of_the_optimum_is_added_to_every_gap() -> None:
    values = np.array([2.0, 1.0])
    result = score(trace_of(2), values, optimum_of(1.0, gap_bound=1e-5), 10)
    assert result.gap == 1e-5
    assert result.hits["1e-4"] is not None
    assert result.hits["1e-6"] is None, "a target below what is proved was credited"


def test_a_value_below_the_optimum_is_rounding_and_not_a_negative_gap() -> None:
    result = score(trace_of(2), np.array([2.0, 1.0 - 1e-16]), optimum_of(1.0), 10)
    assert result.gap == 0.0
    assert result.hits["1e-10"] is not None


@pytest.mark.parametrize("exists", [False, None])
def test_without_a_proved_optimum_nothing_is_scored(exists: bool | None) -> None:
    result = score(trace_of(3), np.array([1.0, 0.5, 0.0]), optimum_of(0.0, math.inf, exists), 10)
    assert result.gap is None
    assert result.relative_gap is None
    assert set(result.hits) == set(TARGETS)
    assert not any(result.hits.values())
    assert np.isnan(result.gaps).all()


@pytest.mark.parametrize(
    ("stop", "end", "status"),
    [
        ("converged", 1.0, "converged"),
        ("budget", 1.5, "budget"),
        ("budget", 2.5, "diverged"),
        ("converged", math.nan, "diverged"),
        ("budget", math.inf, "diverged"),
        ("failed", math.nan, "failed"),
    ],
)
def test_status(stop: str, end: float, status: str) -> None:
    result = score(trace_of(2, stop), np.array([2.0, end]), optimum_of(1.0), 10)
    assert result.status == status


@given(
    values=st.lists(st.floats(1.0, 1e6, allow_nan=False), min_size=2, max_size=30),
    extra=st.floats(1.0, 1e6),
)
def test_finer_targets_are_never_met_earlier(values: list[float], extra: float) -> None:
    all_values = np.array([1.0 + extra, *values])
    result = score(trace_of(len(all_values)), all_values, optimum_of(1.0), 10)
    times = [math.inf if hit is None else hit.elapsed_s for hit in result.hits.values()]
    assert times == sorted(times)
    for (_, target), time in zip(TARGETS.items(), times, strict=True):
        met = (all_values - 1.0) / (all_values[0] - 1.0) <= target
        assert math.isinf(time) != met.any()


def test_quality_on_the_test_split_agrees_with_scikit_learn() -> None:
    problem = load_problem("iris")
    optimum = solve(problem)
    w = 0.7 * optimum.w + 0.1
    quality = on_test_split(problem, w, optimum)
    z = problem.X_test @ w
    assert quality["test_nll"] == pytest.approx(log_loss(problem.y_test, 1 / (1 + np.exp(-z))))
    assert quality["test_accuracy"] == accuracy_score(problem.y_test, z > 0)
    assert quality["label_agreement"] == ((problem.X_test @ optimum.w > 0) == (z > 0)).mean()
    assert on_test_split(problem, optimum.w, optimum)["label_agreement"] == 1.0


def test_quality_is_missing_where_it_has_no_meaning() -> None:
    no_split = load_problem("breast_cancer")
    assert set(on_test_split(no_split, np.zeros(30), solve(no_split)).values()) == {None}
    iris = load_problem("iris")
    assert on_test_split(iris, np.full(4, np.nan), solve(iris))["test_nll"] is None
    setosa = load_problem("iris:target=setosa")
    quality = on_test_split(setosa, np.ones(4), solve(setosa))
    assert quality["label_agreement"] is None
    assert quality["test_accuracy"] is not None
