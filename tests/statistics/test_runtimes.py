"""Numbers for several runs, by hand, against COCO and SciPy, and as properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.statistics.runtimes import (
    GeometricMean,
    area_under_log_gap,
    censored_geometric_mean,
    expected_running_time,
    restart_percentiles,
    shifted_geometric_mean,
    simulated_restarts,
)

MISS = math.nan
time = st.floats(1e-3, 1e3)
# (time or miss, spent) of each run.
runs = st.lists(st.tuples(time | st.just(MISS), time), min_size=1, max_size=10)
# Three hits and two misses.
TIMES = [3.0, MISS, 1.0, 4.0, MISS]
SPENT = [9.0, 10.0, 9.0, 9.0, 7.0]


def columns(sample: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    times, spent = np.array(sample).T
    return times, spent


def test_expected_running_time_by_hand() -> None:
    assert expected_running_time(TIMES, SPENT) == (3 + 1 + 4 + 10 + 7) / 3
    assert expected_running_time([2.0, 4.0], [9.0, 9.0]) == 3.0
    assert expected_running_time([MISS, MISS], [9.0, 9.0]) is None


def test_expected_running_time_agrees_with_coco() -> None:
    # cocopp 2.9.1: toolsstats.sp([3, 1, 4, 10, 7], issuccessful=[1, 1, 1, 0, 0])
    assert expected_running_time(TIMES, SPENT) == 8.333333333333334


def test_restarts_by_hand() -> None:
    # Without misses, a run is a draw of one of the times.
    totals = simulated_restarts([1.0, 2.0], [5.0, 5.0], draws=4000)
    assert set(totals) == {1.0, 2.0}
    assert (totals == 1.0).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))
    # One hit of 1 and one miss of 10: 1 + 10 k with probability 2^-(k+1).
    totals = simulated_restarts([1.0, MISS], [5.0, 10.0], draws=4000)
    for k in range(4):
        p = 0.5 ** (k + 1)
        error = 4 * math.sqrt(p * (1 - p) / 4000)
        assert (totals == 1.0 + 10.0 * k).mean() == pytest.approx(p, abs=error)
    assert (np.diff(totals) >= 0).all()
    assert not len(simulated_restarts([MISS], [1.0]))


def test_restarts_agree_with_coco() -> None:
    # cocopp 2.9.1: np.random.seed(1); the distribution of 300 000 draws of
    # toolsstats.drawSP([3, 1, 4], [10, 7], ..., derandomized=False), at these totals.
    coco = {
        1: 0.19945,
        3: 0.39968,
        4: 0.60086,
        8: 0.64079,
        11: 0.76077,
        14: 0.84094,
        20: 0.89582,
        30: 0.96543,
    }
    draws = 20_000
    totals = simulated_restarts(TIMES, SPENT, draws=draws)
    for total, fraction in coco.items():
        error = 4 * math.sqrt(fraction * (1 - fraction) * (1 / draws + 1 / 300_000))
        assert (totals <= total).mean() == pytest.approx(fraction, abs=error)


def test_restart_percentiles_are_totals() -> None:
    # cocopp 2.9.1 gives 1, 4 and 33 for the same runs. In 1000 draws, a percentile of 97.5 lies
    # between those of 95.5 and 99.5 of the whole distribution, up to four standard errors.
    percentiles = restart_percentiles(TIMES, SPENT)
    assert percentiles is not None
    assert percentiles[:2] == (1.0, 4.0)
    many = simulated_restarts(TIMES, SPENT, draws=100_000)
    assert np.quantile(many, 0.955) <= percentiles[2] <= np.quantile(many, 0.995)
    assert set(percentiles) <= set(simulated_restarts(TIMES, SPENT))
    assert restart_percentiles([MISS], [1.0]) is None
    fine = restart_percentiles([1.0, 10.0], [20.0, 20.0], range(101), draws=10)
    assert set(fine or ()) == {1.0, 10.0}


@given(sample=runs)
@settings(max_examples=50)
def test_the_mean_of_the_restarts_tends_to_the_expected_running_time(
    sample: list[tuple[float, float]],
) -> None:
    expected = expected_running_time(*columns(sample))
    totals = simulated_restarts(*columns(sample), draws=20_000)
    if expected is None:
        assert not len(totals)
    else:
        error = 6 * totals.std() / math.sqrt(len(totals))
        assert totals.mean() == pytest.approx(expected, abs=error, rel=1e-12)


@given(data=st.data(), sample=runs, shift=st.sampled_from([0.0, 1.0]))
def test_the_order_of_the_runs_does_not_matter(
    data: st.DataObject, sample: list[tuple[float, float]], shift: float
) -> None:
    one, other = columns(sample), columns(data.draw(st.permutations(sample)))
    assert expected_running_time(*one) == expected_running_time(*other)
    assert np.array_equal(simulated_restarts(*one, draws=50), simulated_restarts(*other, draws=50))
    assert censored_geometric_mean(*one, shift) == censored_geometric_mean(*other, shift)
    assert shifted_geometric_mean(one[1], shift) == shifted_geometric_mean(other[1], shift)


@given(sample=runs, unit=st.floats(1e-3, 1e3), shift=st.sampled_from([0.0, 1.0]))
def test_numbers_scale_with_their_unit(
    sample: list[tuple[float, float]], unit: float, shift: float
) -> None:
    times, spent = columns(sample)
    expected = expected_running_time(times, spent)
    scaled = expected_running_time(unit * times, unit * spent)
    assert scaled == (None if expected is None else pytest.approx(unit * expected))
    assert simulated_restarts(unit * times, unit * spent, draws=50) == pytest.approx(
        unit * simulated_restarts(times, spent, draws=50)
    )
    mean = censored_geometric_mean(times, spent, shift).value
    assert censored_geometric_mean(unit * times, unit * spent, unit * shift).value == (
        pytest.approx(unit * mean)
    )


@given(sample=runs, spent=time)
def test_another_miss_never_helps(sample: list[tuple[float, float]], spent: float) -> None:
    one, other = (expected_running_time(*columns(s)) for s in (sample, [*sample, (MISS, spent)]))
    assert (one is None and other is None) or other > one  # type: ignore[operator]


def test_shifted_geometric_mean_by_hand() -> None:
    assert shifted_geometric_mean([1.0, 4.0], 0.0) == pytest.approx(2.0)
    assert shifted_geometric_mean([0.0, 3.0], 1.0) == pytest.approx(1.0)  # sqrt(1 * 4) - 1
    assert shifted_geometric_mean([7.0], 10.0) == pytest.approx(7.0)
    # Far above all values the shift makes it the arithmetic mean: no cancellation.
    assert shifted_geometric_mean([1e-9, 3e-9], 1e9) == pytest.approx(2e-9, rel=1e-12)


@given(values=st.lists(time, min_size=1, max_size=20))
def test_without_a_shift_it_agrees_with_scipy(values: list[float]) -> None:
    assert shifted_geometric_mean(values, 0.0) == pytest.approx(stats.gmean(values))
    assert shifted_geometric_mean(values, 2.5) == (
        pytest.approx(stats.gmean(np.array(values) + 2.5) - 2.5, rel=1e-9, abs=1e-12)
    )


def test_a_miss_enters_the_geometric_mean_with_what_it_spent_and_is_counted() -> None:
    result = censored_geometric_mean([1.0, MISS, 2.0], [50.0, 32.0, 50.0], 0.0)
    assert result == GeometricMean(pytest.approx(4.0), runs=3, misses=1)  # cbrt(1 * 32 * 2)
    assert censored_geometric_mean([MISS], [8.0], 0.0) == GeometricMean(pytest.approx(8.0), 1, 1)


def test_area_by_hand() -> None:
    # Decades 0 ... 3 of x: r = 1 up to 10, 0.1 up to 100, then 0.01.
    x, r = [0.0, 10.0, 100.0], [1.0, 0.1, 0.01]
    assert area_under_log_gap(x, r, low=1.0, high=1e3, floor=1e-10) == pytest.approx(-1.0)
    # A floor at 0.1: decades 0, -1, -1.
    assert area_under_log_gap(x, r, low=1.0, high=1e3, floor=0.1) == pytest.approx(-2 / 3)
    # Windows within one step, and after the end.
    assert area_under_log_gap(x, r, low=20.0, high=30.0, floor=1e-10) == pytest.approx(-1.0)
    assert area_under_log_gap(x, r, low=1e4, high=1e5, floor=1e-10) == pytest.approx(-2.0)
    # Before the first snapshot, the gap is that of the start.
    assert area_under_log_gap([10.0], [1.0], low=1.0, high=5.0, floor=1e-10) == 0.0
    # At one x, the last snapshot counts; and at `low` the step is already taken.
    twice = area_under_log_gap([0, 1, 1], [1.0, 0.5, 0.01], low=1.0, high=2.0, floor=1e-10)
    assert twice == pytest.approx(-2.0)


def test_area_is_of_what_the_run_holds_and_not_of_its_best() -> None:
    rising = area_under_log_gap([0, 1, 10], [1.0, 0.01, 0.1], low=1, high=100, floor=1e-10)
    assert rising == pytest.approx(-1.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30, 1.0])
def test_area_counts_a_gap_above_the_start_or_none_as_that_of_the_start(bad: float) -> None:
    area = area_under_log_gap([0, 1, 10], [1.0, 0.01, bad], low=1, high=100, floor=1e-10)
    assert area == pytest.approx(-1.0)


@given(
    steps=st.lists(
        st.tuples(st.floats(0.01, 50.0), st.floats(1e-12, 2.0) | st.just(MISS)), max_size=8
    )
)
@settings(max_examples=50)
def test_area_agrees_with_the_trapezoidal_rule(steps: list[tuple[float, float]]) -> None:
    x = np.concatenate([[0.0], np.cumsum([dx for dx, _ in steps])])
    r = np.array([1.0, *(gap for _, gap in steps)])
    low, high, floor = 0.1, 100.0, 1e-6
    u = np.linspace(math.log(low), math.log(high), 20_001)
    held = np.array([r[x <= at][-1] for at in np.exp(u)])
    decades = np.log10(np.clip(np.where(np.isnan(held), 1.0, held), floor, 1.0))
    expected = integrate.trapezoid(decades, u) / math.log(high / low)
    area = area_under_log_gap(x, r, low=low, high=high, floor=floor)
    # Each of at most 8 steps, of at most 6 decades, is smeared over one of 20 000 cells.
    assert area == pytest.approx(expected, abs=8 * 6 / 20_000)
    assert -6.0 - 1e-12 <= area <= 0.0
    scaled = area_under_log_gap(8 * x, r, low=8 * low, high=8 * high, floor=floor)
    assert scaled == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_running_time([], []), "empty"),
        (lambda: expected_running_time([1.0], [1.0, 2.0]), r"\(1,\); got \(2,\)"),
        (lambda: expected_running_time([MISS], [MISS]), "spent must be finite"),
        (lambda: expected_running_time([math.inf], [1.0]), "infinite"),
        (lambda: simulated_restarts([1.0], [1.0], draws=0), "at least 1"),
        (lambda: restart_percentiles([1.0], [1.0], [101.0]), "range"),
        (lambda: shifted_geometric_mean([], 1.0), "empty"),
        (lambda: shifted_geometric_mean([MISS], 1.0), "values must be finite"),
        (lambda: shifted_geometric_mean([1.0], -1.0), "got -1"),
        (lambda: shifted_geometric_mean([0.0], 0.0), "positive"),
        (lambda: area_under_log_gap([], [], low=1, high=2, floor=1), "shape"),
        (lambda: area_under_log_gap([0], [1, 2], low=1, high=2, floor=1), "shape"),
        (lambda: area_under_log_gap([1, 0], [1, 1], low=1, high=2, floor=1), "decrease"),
        (lambda: area_under_log_gap([0, MISS], [1, 1], low=1, high=2, floor=1), "finite"),
        (lambda: area_under_log_gap([0], [MISS], low=1, high=2, floor=1), "start"),
        (lambda: area_under_log_gap([0], [-1], low=1, high=2, floor=1), "negative"),
        (lambda: area_under_log_gap([0], [1], low=2, high=2, floor=1), "low < high"),
        (lambda: area_under_log_gap([0], [1], low=0, high=2, floor=1), "low < high"),
        (lambda: area_under_log_gap([0], [1], low=1, high=2, floor=0), "floor > 0"),
    ],
)
def test_bad_input_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
