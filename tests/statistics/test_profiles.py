"""Distributions of runtimes, by hand, against SciPy, and as properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import ArrayLike
from scipy import stats

from bench.statistics.profiles import ecdf_steps, performance_ratios

MISS = math.nan
time = st.floats(1e-3, 1e3)
samples = arrays(np.float64, array_shapes(max_dims=3, max_side=6), elements=time | st.just(MISS))
tables = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=time | st.just(MISS)
)
# Four problems, two solvers: a win each, a miss, and a problem that neither solves.
TABLE = np.array([[1.0, 2.0], [6.0, 2.0], [5.0, MISS], [MISS, MISS]])


def ecdf(times: ArrayLike, at: ArrayLike) -> np.ndarray:
    """The step function at each of the times `at`."""
    steps = ecdf_steps(times)
    return np.concatenate([[0.0], steps.height])[np.searchsorted(steps.at, at, side="right")]


def performance_profile(times: ArrayLike, at: ArrayLike) -> np.ndarray:
    """A profile for each solver, shape (len(at), solvers)."""
    return np.stack([ecdf(ratios, at) for ratios in performance_ratios(times).T], axis=-1)


def test_ecdf_by_hand() -> None:
    times = [3.0, MISS, 1.0, 3.0]
    assert ecdf(times, [0.5, 1.0, 2.0, 3.0, 1e9]).tolist() == [0.0, 0.25, 0.25, 0.75, 0.75]
    steps = ecdf_steps(times)
    assert steps.at.tolist() == [1.0, 3.0]
    assert steps.height.tolist() == [0.25, 0.75]


def test_nothing_solved_is_zero_everywhere() -> None:
    assert ecdf([MISS, MISS], [0.0, 1.0]).tolist() == [0.0, 0.0]
    assert not len(ecdf_steps([MISS]).at)


@given(times=samples, data=st.data())
def test_ecdf_is_a_distribution_that_ends_at_the_success_rate(
    times: np.ndarray, data: st.DataObject
) -> None:
    at = np.sort(data.draw(st.lists(st.floats(0, 1e3), min_size=1, max_size=20)))
    height = ecdf(times, at)
    assert (np.diff(height) >= 0).all()
    assert 0.0 <= height[0] <= height[-1] <= 1.0
    assert ecdf(times, [1e3])[0] == np.mean(~np.isnan(times))
    assert height.tolist() == [np.mean(times <= t) for t in at]


@given(times=samples, data=st.data(), power=st.integers(-10, 10))
def test_ecdf_knows_neither_order_nor_unit(
    times: np.ndarray, data: st.DataObject, power: int
) -> None:
    flat = times.ravel().tolist()
    at = np.array(data.draw(st.lists(time, max_size=5)))
    height = ecdf(times, at)
    assert np.array_equal(ecdf(data.draw(st.permutations(flat)), at), height)
    assert np.array_equal(ecdf(times * 2.0**power, at * 2.0**power), height)


@given(times=samples)
def test_steps_are_where_and_how_high_the_ecdf_is(times: np.ndarray) -> None:
    steps = ecdf_steps(times)
    assert np.array_equal(ecdf(times, steps.at), steps.height)
    before = np.concatenate([[0.0], steps.height])[:-1]
    assert np.array_equal(ecdf(times, np.nextafter(steps.at, 0.0)), before)


@given(times=st.lists(time, min_size=1, max_size=20), misses=st.integers(0, 5))
def test_ecdf_agrees_with_scipy_where_no_miss_ended_before_the_last_hit(
    times: list[float], misses: int
) -> None:
    ours = ecdf_steps([*times, *[MISS] * misses])
    censored = stats.CensoredData(uncensored=times, right=[2e3] * misses)
    theirs = stats.ecdf(censored).cdf
    assert ours.at.tolist() == theirs.quantiles[: len(ours.at)].tolist()
    assert ours.height == pytest.approx(theirs.probabilities[: len(ours.at)])


def test_a_miss_that_ended_early_is_not_expected_to_hit_later() -> None:
    # Kaplan-Meier: the run that ended at 2 would have hit at 3 as the only one left did.
    censored = stats.CensoredData(uncensored=[1.0, 3.0], right=[2.0])
    assert stats.ecdf(censored).cdf.evaluate(3.0) == 1.0
    assert ecdf([1.0, 3.0, MISS], [3.0]).tolist() == [2 / 3]


def test_performance_profile_by_hand() -> None:
    assert np.array_equal(
        performance_ratios(TABLE), [[1, 2], [3, 1], [1, MISS], [MISS, MISS]], equal_nan=True
    )
    profile = performance_profile(TABLE, [0.99, 1.0, 2.0, 3.0, 1e9])
    assert profile[:, 0].tolist() == [0.0, 0.5, 0.5, 0.75, 0.75]
    assert profile[:, 1].tolist() == [0.0, 0.25, 0.5, 0.5, 0.5]


def test_a_problem_that_no_solver_solves_stays_in_the_denominator() -> None:
    assert performance_profile([[MISS], [1.0]], [1.0]).tolist() == [[0.5]]
    assert performance_profile([[MISS, MISS]], [1.0]).tolist() == [[0.0, 0.0]]


def test_leaving_a_solver_out_moves_the_profile_and_not_the_ecdf() -> None:
    # The third solver is the best on problem 0 alone, and hides there that a beats b.
    times = np.array([[2.0, 4.0, 1.0], [3.0, 2.0, 9.0], [2.0, 3.0, 9.0]])
    kept = times[:, :2]
    at = np.array([1.0, 2.0, 4.0])
    for solver in range(2):
        assert np.array_equal(ecdf(times[:, solver], at), ecdf(kept[:, solver], at))
    assert performance_profile(times, [1.0])[0, :2].tolist() == [1 / 3, 1 / 3]
    assert performance_profile(kept, [1.0])[0].tolist() == [2 / 3, 1 / 3]


@given(times=tables, data=st.data())
def test_profile_is_a_distribution_and_knows_no_order(
    times: np.ndarray, data: st.DataObject
) -> None:
    at = np.sort(data.draw(st.lists(st.floats(0.5, 1e3), min_size=1, max_size=10)))
    profile = performance_profile(times, at)
    assert profile.shape == (len(at), times.shape[1])
    assert (np.diff(profile, axis=0) >= 0).all()
    assert ((profile >= 0) & (profile <= 1)).all()
    assert not profile[at < 1].any()
    rows = data.draw(st.permutations(range(times.shape[0])))
    solvers = data.draw(st.permutations(range(times.shape[1])))
    shuffled = performance_profile(times[np.ix_(rows, solvers)], at)
    assert np.array_equal(shuffled, profile[:, solvers])
    assert np.array_equal(performance_profile(times * 4.0, at), profile)


@given(times=tables)
def test_at_one_the_profile_counts_wins_and_at_the_end_what_was_solved(times: np.ndarray) -> None:
    best = np.nan_to_num(times, nan=math.inf).min(axis=1, keepdims=True)
    first, last = performance_profile(times, [1.0, 1e7])
    assert first.tolist() == (times == best).mean(axis=0).tolist()
    assert last.tolist() == (~np.isnan(times)).mean(axis=0).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ecdf([], [1.0]), "empty"),
        (lambda: ecdf([math.inf], [1.0]), "NaN for a miss"),
        (lambda: ecdf_steps([-1.0]), "negative"),
        (lambda: performance_profile([1.0], [1.0]), r"\(problems, solvers\); got \(1,\)"),
        (lambda: performance_profile([[0.0]], [1.0]), "positive"),
        (lambda: performance_profile(np.empty((0, 2)), [1.0]), "empty"),
    ],
)
def test_bad_input_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
