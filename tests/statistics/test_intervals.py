"""Intervals of hand-made censored samples, against enumeration and against SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.intervals import (
    Interval,
    median_interval,
    ratio_interval,
    success_rate_interval,
)

MISS = math.nan
RESAMPLES = 2000
# A fraction of 2000 resamples has a standard error of at most sqrt(p (1 - p) / 2000): four of
# them at p = 0.025, where the ends of a 95 % interval are.
LEVEL_ERROR = 4 * math.sqrt(0.025 * 0.975 / RESAMPLES)

time = st.floats(1e-3, 1e3)
censored = st.lists(time | st.just(MISS), min_size=1, max_size=12)
positive_pairs = st.lists(
    st.tuples(time | st.just(MISS), time | st.just(MISS)), min_size=1, max_size=12
)


def beyond(value: float | None) -> float:
    return math.inf if value is None else value


def assert_ends_of(interval: Interval, medians: np.ndarray, weights: np.ndarray) -> None:
    """The ends are 2.5 % and 97.5 % quantiles of this exact distribution, up to LEVEL_ERROR."""
    for end, level in ((interval.low, 0.025), (interval.high, 0.975)):
        below = weights[medians < beyond(end)].sum()
        up_to = weights[medians <= beyond(end)].sum()
        assert below <= level + LEVEL_ERROR
        assert up_to >= level - LEVEL_ERROR


@pytest.mark.parametrize(
    ("times", "median", "hits"),
    [
        ([3.0, 1.0, 2.0], 2.0, 3),
        ([4.0, 1.0, 2.0, 3.0], 2.5, 4),
        ([3.0, MISS, 1.0], 3.0, 2),
        ([MISS, 1.0, MISS, 1.5, 2.0], 2.0, 3),
        ([1.0, 2.0, MISS, MISS], None, 2),  # between 2 and a miss: not known
        ([1.0, MISS, MISS], None, 1),
        ([MISS], None, 0),
        ([0.0], 0.0, 1),
    ],
)
def test_the_median_counts_a_miss_as_later_than_every_hit(
    times: list[float], median: float | None, hits: int
) -> None:
    interval = median_interval(times)
    assert (interval.median, interval.runs, interval.hits) == (median, len(times), hits)


def test_the_interval_of_three_runs_by_hand() -> None:
    # The median of 3 draws from {1, 2, miss} is 1 with probability 7/27, and a miss with 7/27:
    # both more than 2.5 %, and with 20 % on either side cut off, still.
    assert median_interval([2.0, MISS, 1.0]) == Interval(2.0, 1.0, None, 3, 2)
    assert median_interval([2.0, MISS, 1.0], confidence=0.6) == Interval(2.0, 1.0, None, 3, 2)
    # With 40 % on either side cut off, only the middle is left.
    assert median_interval([2.0, MISS, 1.0], confidence=0.2) == Interval(2.0, 2.0, 2.0, 3, 2)


@pytest.mark.parametrize("misses", [0, 6, 10])
@pytest.mark.parametrize("n", [5, 15, 41])
def test_the_ends_agree_with_the_exact_bootstrap_distribution(n: int, misses: int) -> None:
    # For odd n, P(median of a resample <= i-th smallest of all) = P(Bin(n, i / n) > n / 2).
    times = np.arange(1.0, n + 1)
    times[max(n - misses, 0) :] = MISS
    distribution = np.diff(stats.binom.sf(n // 2, n, np.arange(n + 1) / n))
    medians = np.where(np.isnan(times), math.inf, times)
    assert_ends_of(median_interval(times), medians, distribution)


@pytest.mark.parametrize("n", [8, 25])
def test_without_misses_the_ends_agree_with_scipy(n: int) -> None:
    times = np.random.default_rng(1).lognormal(size=n)
    interval = median_interval(times)
    expected = stats.bootstrap(
        (times,), np.median, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).bootstrap_distribution
    assert interval.median == np.median(times)
    assert_ends_of(interval, expected, np.full(len(expected), 1 / len(expected)))


def test_runs_that_are_alike_within_a_cluster_are_not_taken_for_evidence() -> None:
    times = np.repeat([1.0, 2.0, 3.0], 20)
    # Run by run, a median of 1 takes 31 of 60 draws at 1/3 each: probability 0.003.
    assert median_interval(times) == Interval(2.0, 2.0, 2.0, 60, 60)
    # Cluster by cluster, it takes two of three draws: 7/27.
    assert median_interval(times, np.repeat([7, 8, 9], 20)) == Interval(2.0, 1.0, 3.0, 60, 60)


def test_a_cluster_weighs_as_much_as_it_has_runs() -> None:
    times, labels = [1.0] * 9 + [2.0, 3.0], [0] * 9 + [1, 2]
    # The median is 1 wherever the large cluster is drawn: 19/27, so with 35 % cut off on either
    # side nothing else is left. Were all three of one weight, it would take two draws: 7/27.
    assert median_interval(times, labels, confidence=0.3) == Interval(1.0, 1.0, 1.0, 11, 11)


def test_clusters_of_unequal_size_agree_with_enumeration() -> None:
    clusters = {"a": [1.0, 3.0, 9.0], "b": [2.0, MISS], "c": [5.0]}
    medians, weights = [], []
    for drawn in itertools.product(clusters.values(), repeat=3):
        runs = list(itertools.product(*(itertools.product(c, repeat=len(c)) for c in drawn)))
        for sample in runs:
            flat = np.nan_to_num([t for cluster in sample for t in cluster], nan=math.inf)
            medians.append(np.median(flat))
            weights.append(1 / len(runs) / 27)
    times = [t for runs in clusters.values() for t in runs]
    labels = [name for name, runs in clusters.items() for _ in runs]
    interval = median_interval(times, labels)
    assert interval.median == 4.0
    assert_ends_of(interval, np.array(medians), np.array(weights))


@given(times=censored)
def test_one_cluster_and_one_run_a_cluster_are_the_ordinary_bootstrap(times: list[float]) -> None:
    ordinary = median_interval(times, resamples=50)
    assert median_interval(times, [3] * len(times), resamples=50) == ordinary
    assert median_interval(times, range(len(times)), resamples=50) == ordinary


@given(data=st.data(), times=censored)
def test_neither_order_nor_names_of_clusters_matter(
    data: st.DataObject, times: list[float]
) -> None:
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(times), max_size=len(times)))
    order = data.draw(st.permutations(range(len(times))))
    renamed = [f"seed {9 - labels[i]}" for i in order]
    shuffled = median_interval([times[i] for i in order], renamed, resamples=50)
    assert shuffled == median_interval(times, labels, resamples=50)


@given(times=censored, power=st.integers(-10, 10))
def test_the_interval_scales_with_its_unit(times: list[float], power: int) -> None:
    unit = 2.0**power  # exact, so that the comparison is, too
    one, other = (median_interval(np.multiply(times, u), resamples=50) for u in (1.0, unit))
    for name in ("median", "low", "high"):
        assert beyond(getattr(other, name)) == beyond(getattr(one, name)) * unit


@given(times=censored)
def test_another_miss_never_lowers_the_median(times: list[float]) -> None:
    one, other = (median_interval(runs, resamples=1) for runs in (times, [*times, MISS]))
    assert beyond(other.median) >= beyond(one.median)
    assert (other.runs, other.hits) == (one.runs + 1, one.hits)


@given(times=censored)
def test_the_median_lies_in_its_interval_and_confidence_widens_it(times: list[float]) -> None:
    narrow, wide = (median_interval(times, confidence=c, resamples=200) for c in (0.5, 0.95))
    ends = [wide.low, narrow.low, wide.median, narrow.high, wide.high]
    assert sorted(map(beyond, ends)) == list(map(beyond, ends))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: median_interval([]), "empty"),
        (lambda: median_interval([1.0, math.inf]), "infinite"),
        (lambda: median_interval([1.0, -2.0]), "negative; got -2"),
        (lambda: median_interval([[1.0], [2.0]]), r"\(2, 1\)"),
        (lambda: median_interval([1.0, 2.0], [0]), r"clusters must be of shape \(2,\)"),
        (lambda: median_interval([1.0], confidence=95), "between 0 and 1; got 95"),
        (lambda: median_interval([1.0], resamples=0), "at least 1; got 0"),
        (lambda: ratio_interval([1.0], [1.0, 2.0]), r"\(1,\) and \(2,\)"),
        (lambda: ratio_interval([0.0], [1.0]), "positive"),
        (lambda: ratio_interval([1.0], [0.0]), "positive"),
        (lambda: success_rate_interval(0, 0), "0 of 0"),
        (lambda: success_rate_interval(3, 2), "3 of 2"),
        (lambda: success_rate_interval(-1, 2), "-1 of 2"),
        (lambda: success_rate_interval(1, 2, 95), "confidence"),
    ],
)
def test_bad_input_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_ratios_by_hand() -> None:
    a = [1.0, 2.0, 4.0, MISS, MISS, 1.0]
    b = [2.0, 6.0, 4.0, 1.0, MISS, MISS]
    # 2, 3, 1, smaller than all, left out, larger than all.
    result = ratio_interval(a, b, confidence=0.6)
    assert (result.median, result.pairs, result.left_out) == (2.0, 5, 1)
    assert (result.low, result.high) == (1.0, 3.0)
    assert not result.significant
    assert (ratio_interval(a, b).low, ratio_interval(a, b).high) == (0.0, math.inf)


def test_the_middle_of_two_ratios_is_geometric_and_never_through_a_miss() -> None:
    assert ratio_interval([1.0, 1.0], [2.0, 8.0]).median == 4.0
    assert ratio_interval([1.0, 1.0], [2.0, MISS]).median == math.inf
    assert ratio_interval([1.0, MISS], [2.0, 1.0]).median == 0.0
    # A resample has both pairs with probability 1/2, and twice the same one with 1/4 each.
    for confidence in (0.2, 0.95):
        undecided = ratio_interval([1.0, MISS], [MISS, 1.0], confidence=confidence)
        assert (undecided.median, undecided.low, undecided.high) == (None, 0.0, math.inf)


def test_pairs_that_all_missed_say_nothing() -> None:
    result = ratio_interval([MISS, MISS], [MISS, MISS])
    assert (result.median, result.low, result.high) == (None, 0.0, math.inf)
    assert (result.pairs, result.left_out, result.significant) == (0, 2, False)


def test_a_clear_ratio_is_significant() -> None:
    a = np.random.default_rng(0).uniform(1.0, 1.1, 20)
    assert ratio_interval(a, 2 * a).significant
    assert ratio_interval(2 * a, a).significant
    assert ratio_interval(a, np.full(20, MISS)).significant
    assert not ratio_interval(a, a).significant


def test_without_misses_an_odd_number_of_ratios_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.lognormal(size=(2, 15))
    result = ratio_interval(a, b)
    expected = stats.bootstrap(
        (b / a,), np.median, method="percentile", n_resamples=20_000, rng=np.random.default_rng(4)
    ).bootstrap_distribution
    assert result.median == np.median(b / a)
    interval = Interval(result.median, result.low, result.high, 15, 15)
    assert_ends_of(interval, expected, np.full(len(expected), 1 / len(expected)))


@given(data=st.data(), pairs=positive_pairs)
def test_ratios_do_not_depend_on_the_order_of_the_pairs(
    data: st.DataObject, pairs: list[tuple[float, float]]
) -> None:
    one = ratio_interval(*zip(*pairs, strict=True), resamples=50)
    shuffled = data.draw(st.permutations(pairs))
    assert ratio_interval(*zip(*shuffled, strict=True), resamples=50) == one


@given(pairs=positive_pairs)
@settings(max_examples=50)
def test_swapping_the_sides_inverts_the_median(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    one, other = ratio_interval(a, b, resamples=50), ratio_interval(b, a, resamples=50)
    assert (one.pairs, one.left_out) == (other.pairs, other.left_out)
    assert one.low <= one.high
    if one.median is None or one.median in (0.0, math.inf):
        assert {one.median, other.median} in ({None}, {0.0, math.inf})
    else:
        assert other.median == pytest.approx(1 / one.median)
        assert one.low <= one.median <= one.high


def test_the_wilson_interval_by_hand() -> None:
    # p = 0.8, n = 10, z = 1.959964: (0.8 + 0.192073 -+ 0.309345) / 1.384146, z^2 = 3.841459,
    # the root being z sqrt(0.016 + 0.009604).
    low, high = success_rate_interval(8, 10)
    z = 1.959964
    half = z * math.sqrt(0.8 * 0.2 / 10 + z**2 / 400)
    assert low == pytest.approx((0.8 + z**2 / 20 - half) / (1 + z**2 / 10), abs=1e-6)
    assert high == pytest.approx((0.8 + z**2 / 20 + half) / (1 + z**2 / 10), abs=1e-6)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


@given(runs=st.integers(1, 200), data=st.data())
def test_the_wilson_interval_stays_in_range_and_mirrors(runs: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, runs))
    low, high = success_rate_interval(hits, runs)
    assert 0.0 <= low <= hits / runs <= high <= 1.0
    mirrored = success_rate_interval(runs - hits, runs)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)
