"""Scores of hand-made traces."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from bench.measure.budget import Budget
from bench.measure.recorder import Trace
from bench.optima.optimum import Optimum, solve
from bench.problems import Problem, load_problem
from bench.records import COLUMNS, CURVE_COLUMNS, TARGETS
from bench.records.score import Hit, Quality, SetupTimes
from bench.score.gaps import RefutedOptimum, Values, finite, first_hits, gaps, status_of
from bench.score.quality import brier_score, calibration_error, quality
from bench.score.score import score


def trace_of(k: int, stop: str = "budget") -> Trace:
    """k snapshots: a step each 0.5 s, two calls and 30 rows a step."""
    steps = np.arange(k)
    return Trace(
        step=steps,
        elapsed_s=0.5 * steps,
        oracle_calls=2.0 * steps,
        rows_read=30.0 * steps,
        w=np.zeros((k, 1)),
        stop=stop,
        message="",
        run_s=0.5 * k,
        spent_s=0.5 * k,
    )


def optimum_of(f: float, gap_bound: float = 0.0, exists: bool | None = True) -> Optimum:
    return Optimum(w=np.zeros(1), f=f, gap_bound=gap_bound, exists=exists, reason="by hand")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What `score` makes of values that no problem has to have."""

    status: str
    message: str
    gap: float | None
    relative_gap: float | None
    resolution: float | None
    hits: dict[str, Hit | None]
    gaps: Values


def measure(
    trace: Trace, values: Values, optimum: Optimum, n_samples: int, value_error: float = 0.0
) -> Measured:
    measured = gaps(values, optimum, value_error)
    return Measured(
        *status_of(trace, values, measured.relative, value_error),
        gap=finite(measured.absolute[-1]),
        relative_gap=finite(measured.relative[-1]),
        resolution=measured.resolution,
        hits=first_hits(trace, measured.relative, n_samples),
        gaps=measured.absolute,
    )


def test_a_hand_computed_example() -> None:
    # f* = 1 and f(w0) = 3, so r = (f - 1) / 2.
    values = np.array([3.0, 1.4, 1.2, 1.019, 1.002])
    result = measure(trace_of(5), values, optimum_of(1.0), n_samples=10)
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
    hit = measure(trace_of(4), values, optimum_of(1.0), 10).hits["1e-1"]
    assert hit is not None
    assert hit.elapsed_s == 0.5


def test_the_bound_of_the_optimum_is_added_to_every_gap() -> None:
    values = np.array([2.0, 1.0])
    result = measure(trace_of(2), values, optimum_of(1.0, gap_bound=1e-5), 10)
    assert result.gap == 1e-5
    assert result.hits["1e-4"] is not None
    assert result.hits["1e-6"] is None, "a target below what is proved was credited"


def test_a_value_below_the_optimum_is_rounding_and_not_a_negative_gap() -> None:
    result = measure(trace_of(2), np.array([2.0, 1.0 - 1e-16]), optimum_of(1.0), 10)
    assert result.gap == 0.0
    assert result.hits["1e-10"] is not None


@pytest.mark.parametrize("exists", [False, None])
def test_without_a_proved_optimum_nothing_is_scored(exists: bool | None) -> None:
    result = measure(trace_of(3), np.array([1.0, 0.5, 0.0]), optimum_of(0.0, math.inf, exists), 10)
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
    result = measure(trace_of(2, stop), np.array([2.0, end]), optimum_of(1.0), 10)
    assert result.status == status


@given(
    values=st.lists(st.floats(1.0, 1e6, allow_nan=False), min_size=2, max_size=30),
    extra=st.floats(1.0, 1e6),
)
def test_finer_targets_are_never_met_earlier(values: list[float], extra: float) -> None:
    all_values = np.array([1.0 + extra, *values])
    result = measure(trace_of(len(all_values)), all_values, optimum_of(1.0), 10)
    times = [math.inf if hit is None else hit.elapsed_s for hit in result.hits.values()]
    assert times == sorted(times)
    for (_, target), time in zip(TARGETS.items(), times, strict=True):
        met = (all_values - 1.0) / (all_values[0] - 1.0) <= target
        assert math.isinf(time) != met.any()


def test_a_target_below_what_can_be_told_apart_is_not_credited() -> None:
    # Rounding of f alone, 1e-6 either way, leaves relative gaps below 2e-6 / 0.5 open.
    values = np.array([1.5, 1.0])
    result = measure(trace_of(2), values, optimum_of(1.0), 10, value_error=1e-6)
    assert result.resolution == pytest.approx(4e-6)
    assert result.hits["1e-5"] is not None
    assert result.hits["1e-6"] is None


def test_calls_and_passes_that_are_not_counted_are_missing_and_the_time_is_not() -> None:
    trace = dataclasses.replace(
        trace_of(2), oracle_calls=np.array([0, math.nan]), rows_read=np.array([0, math.nan])
    )
    hit = measure(trace, np.array([2.0, 1.0]), optimum_of(1.0), 10).hits["1e-10"]
    assert hit is not None
    assert (hit.elapsed_s, hit.passes, hit.oracle_calls) == (0.5, None, None)


def on_the_way(optimum: Optimum, *shares: float) -> Trace:
    """A trace whose iterates are these shares of w*, starting at 0."""
    W = np.array([share * optimum.w for share in (0.0, *shares)])
    return dataclasses.replace(trace_of(len(W), "converged"), w=W)


def test_a_score_is_what_the_reference_says_of_each_snapshot() -> None:
    problem = load_problem("iris")
    optimum = solve(problem)
    trace = on_the_way(optimum, 0.5, 0.99, 1.0)
    setup = SetupTimes(setup_s=1.0, transfer_s=2.0, compile_s=3.0)
    result = score(problem, trace, optimum, Budget(passes=7, seconds=10.0), setup=setup)
    f = [log_loss(problem.y, expit(problem.X @ w)) for w in trace.w]
    assert result.curve.f == pytest.approx(f, rel=1e-12)
    assert result.f == result.curve.f[-1]
    assert result.curve.gap == pytest.approx(np.array(f) - optimum.f, abs=1e-13)
    assert result.relative_gap == pytest.approx(result.curve.gap[-1] / (f[0] - optimum.f))
    assert (result.status, result.message) == ("converged", "")
    assert (result.steps, result.oracle_calls, result.passes) == (3, 6.0, 0.9)
    assert (result.run_s, result.spent_s) == (2.0, 2.0)
    hit = result.hits["1e-10"]
    assert hit == Hit(elapsed_s=1.5, passes=pytest.approx(0.9), oracle_calls=6)
    assert result.quality == quality(problem, optimum.w, optimum)
    # log10 r is 0 until 0.5 s, then that of each snapshot, and -10, the finest target, at the end.
    r = np.log10(np.array(result.curve.gap) / (f[0] - optimum.f))
    span = np.diff(np.log10([0.5, 1.0, 1.5, 10.0]))
    area = r[1] * span[0] + r[2] * span[1] - 10 * span[2]
    assert result.area_log_gap == pytest.approx(area / 5)  # decades from 1e-4 s to 10 s
    columns = result.columns()
    assert list(columns) == list(COLUMNS)
    assert (columns["budget_passes"], columns["budget_s"], columns["transfer_s"]) == (7, 10.0, 2.0)
    assert columns["time_to_1e-10_s"] == 1.5
    assert columns["calls_to_1e-10"] == 6
    assert columns["test_nll"] == result.quality.test_nll
    assert list(result.curve.samples()) == list(CURVE_COLUMNS)


def test_a_score_without_a_budget_or_an_optimum() -> None:
    problem = load_problem("iris")
    optimum = solve(problem)
    result = score(problem, on_the_way(optimum, 1.0), optimum)
    assert (result.area_log_gap, result.budget_passes, result.budget_s) == (None, None, None)
    assert result.setup == SetupTimes()
    setosa = load_problem("iris:target=setosa")
    optimum = solve(setosa)
    result = score(setosa, on_the_way(optimum, 1.0), optimum, Budget(passes=1, seconds=1.0))
    assert result.message == optimum.reason
    assert (result.gap, result.area_log_gap) == (None, None)
    assert not any(result.hits.values())
    assert result.columns()["passes_to_1e-1"] is None


def test_a_score_refutes_an_optimum_that_the_run_went_below() -> None:
    problem = load_problem("iris")
    optimum = solve(problem)
    wrong = dataclasses.replace(optimum, f=optimum.f * 1.01, gap_bound=1e-20)
    with pytest.raises(RefutedOptimum):
        score(problem, on_the_way(optimum, 1.0), wrong)


def test_a_run_below_the_proved_minimum_refutes_it() -> None:
    """A wrong certificate: f* = 1 claimed to 1e-9, and a run that reaches 0.999."""
    wrong = optimum_of(1.0, gap_bound=1e-9)
    with pytest.raises(RefutedOptimum, match=r"f\* = 1\.0 is refuted: this run reached 0\.999"):
        measure(trace_of(3), np.array([2.0, 0.999, 1.1]), wrong, 10)
    # What the bound and rounding leave open is no contradiction.
    measure(trace_of(2), np.array([2.0, 1.0 - 5e-10]), wrong, 10)
    measure(trace_of(2), np.array([2.0, 1.0 - 1e-6]), wrong, 10, value_error=1e-6)


def test_a_start_at_the_optimum_has_no_targets_and_no_false_claims() -> None:
    values = np.array([1.0, 1.0 + 1e-16])
    result = measure(trace_of(2, "converged"), values, optimum_of(1.0), 10, value_error=1e-15)
    assert (result.status, result.message) == ("converged", "")
    assert result.gap == pytest.approx(2e-15, rel=0.2)
    assert result.relative_gap is None
    assert result.resolution is None
    assert not any(result.hits.values())


def test_a_claim_of_success_at_a_wrong_point_fails() -> None:
    result = measure(trace_of(2, "converged"), np.array([2.0, 1.5]), optimum_of(1.0), 10)
    assert result.status == "failed"
    assert "stopped as converged at a relative gap of 5.0e-01" in result.message
    honest = measure(trace_of(2, "converged"), np.array([2.0, 1.001]), optimum_of(1.0), 10)
    assert (honest.status, honest.message) == ("converged", "")


@pytest.mark.parametrize("spec", ["iris", "digits10"])
def test_quality_on_the_test_split_agrees_with_scikit_learn(spec: str) -> None:
    problem = load_problem(spec)
    optimum = solve(problem)
    w = 0.7 * optimum.w + 0.1
    found = quality(problem, w, optimum)
    Z = problem.X_test @ w.T
    if w.ndim == 1:
        p = expit(Z)
        P, predicted = np.column_stack([1 - p, p]), Z > 0
        brier = brier_score_loss(problem.y_test, p)
    else:
        P, predicted = softmax(Z, axis=1), Z.argmax(axis=1)
        brier = brier_score_loss(problem.y_test, P, scale_by_half=False)
    assert found.test_nll == pytest.approx(log_loss(problem.y_test, P), rel=1e-12)
    assert found.test_accuracy == accuracy_score(problem.y_test, predicted)
    assert found.test_brier == pytest.approx(brier, rel=1e-12)
    assert found.distance_to_optimum == pytest.approx(np.linalg.norm(w - optimum.w))
    at_optimum = quality(problem, optimum.w, optimum)
    assert (at_optimum.label_agreement, at_optimum.distance_to_optimum) == (1.0, 0.0)


def test_label_agreement_is_that_of_the_predictions() -> None:
    problem = load_problem("iris")
    optimum = solve(problem)
    w = np.array([-0.8046, -2.3841, 1.3471, 2.9677])  # where the notebook's SGD ended
    found = quality(problem, w, optimum)
    assert found.label_agreement == 0.96
    momentum = np.array([-7.1823, -10.0136, 11.5410, 10.1771])
    assert quality(problem, momentum, optimum).label_agreement == 0.98


def test_brier_score_by_hand() -> None:
    P = np.array([[0.2, 0.8], [0.5, 0.5]])
    assert brier_score(P, np.array([1, 0])) == pytest.approx((0.2**2 + 0.5**2) / 2)
    three = np.array([[0.2, 0.3, 0.5]])
    assert brier_score(three, np.array([0])) == pytest.approx(0.8**2 + 0.3**2 + 0.5**2)


def test_calibration_error_by_hand() -> None:
    # Two bins of (0.5, 1]: confidences 0.6 and 0.7 with one of two right; 0.9 and 1 both right.
    P = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.0, 1.0]])
    y = np.array([0, 0, 0, 1])
    expected = 2 / 4 * abs(0.5 - 0.65) + 2 / 4 * abs(1.0 - 0.95)
    assert calibration_error(P, y, n_bins=4) == pytest.approx(expected)
    # A bin is closed above: 0.75 is with 0.6 and 0.7, not with 0.9.
    edge = np.array([[0.75, 0.25], [0.4, 0.6]])
    assert calibration_error(edge, np.array([0, 0]), n_bins=4) == pytest.approx(0.175)


@given(seed=st.integers(0, 1_000), n=st.integers(1, 60), c=st.integers(2, 6))
def test_a_forecast_of_its_own_labels_has_no_error(seed: int, n: int, c: int) -> None:
    y = np.random.default_rng(seed).integers(c, size=n)
    certain = np.eye(c)[y]
    assert brier_score(certain, y) == calibration_error(certain, y) == 0.0


def test_distance_ignores_the_directions_that_f_does_not_depend_on() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 2)), rng.integers(3, size=90)
    problem = Problem("p", np.column_stack([X, np.zeros(90)]), y)  # l2 = 0, a blank column
    optimum = solve(problem)
    assert optimum.exists is True
    shifted = optimum.w + np.array([5.0, -3.0, 0.0])  # one vector added to all classes
    shifted[1, 2] += 7.0
    distance = quality(problem, shifted, optimum).distance_to_optimum
    assert distance == pytest.approx(0.0, abs=1e-13)


def test_quality_is_missing_where_it_has_no_meaning() -> None:
    no_split = load_problem("breast_cancer")
    found = quality(no_split, np.zeros(30), solve(no_split))
    assert found.distance_to_optimum is not None
    assert dataclasses.replace(found, distance_to_optimum=None) == Quality()
    iris = load_problem("iris")
    assert quality(iris, np.full(4, np.nan), solve(iris)) == Quality()
    setosa = load_problem("iris:target=setosa")
    found = quality(setosa, np.ones(4), solve(setosa))
    assert found.label_agreement is None
    assert found.distance_to_optimum is None
    assert found.test_accuracy is not None
