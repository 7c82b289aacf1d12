"""Change points: steps at their commits, spikes that are none, and how often noise is one."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ranksums

from bench.statistics.bounded_cost import BoundedCost
from bench.statistics.change_points import (
    BOUND,
    FEWEST,
    MIN_SIZE,
    _ends,
    _ratio,
    change_points,
    noise_of,
)

SEEDS = st.integers(0, 2**32 - 1)


def level(n: int, seed: int, noise: float = 0.015) -> NDArray[np.float64]:
    """Medians around 10 µs with noise that is bounded: uniform, of that standard deviation."""
    half_width = noise * math.sqrt(3)
    return 1e-5 * np.exp(np.random.default_rng(seed).uniform(-half_width, half_width, n))


@settings(max_examples=60)
@given(n=st.integers(FEWEST, 60), seed=SEEDS, ratio=st.sampled_from([0.5, 0.8, 1.2, 3.0]))
def test_a_step_is_found_at_its_commit(n: int, seed: int, ratio: float) -> None:
    at = int(np.random.default_rng(seed).integers(MIN_SIZE, n - MIN_SIZE + 1))
    medians = level(n, seed)
    medians[at:] *= ratio
    (found,) = change_points(medians)
    assert (found.index, found.before, found.after) == (at, at, n - at)
    assert found.ratio == pytest.approx(ratio, rel=0.04)
    assert found.low <= found.ratio <= found.high


@settings(max_examples=60)
@given(
    n=st.integers(20, 60),
    seed=SEEDS,
    width=st.integers(1, 2),
    size=st.sampled_from([0.02, 0.5, 1.3, 2.0, 50.0]),
)
def test_one_or_two_commits_that_are_off_are_no_step(
    n: int, seed: int, width: int, size: float
) -> None:
    medians = level(n, seed)
    rng = np.random.default_rng(seed)
    for start in (rng.integers(0, 6), rng.integers(10, n - width + 1)):
        medians[start : start + width] *= size
    assert change_points(medians) == []


@settings(max_examples=40)
@given(seed=SEEDS, spikes=st.sets(st.integers(0, 29), max_size=2))
def test_a_step_among_spikes_is_found_at_its_commit(seed: int, spikes: set[int]) -> None:
    medians = level(30, seed)
    medians[16:] *= 1.2
    alone = [s for s in spikes if abs(s - 15.5) > 2]
    medians[alone] *= 3
    assert [c.index for c in change_points(medians)] == [16]


def test_three_levels_and_their_lengths() -> None:
    medians = np.concatenate([level(12, 1), 1.3 * level(10, 2), level(8, 3)])
    first, second = change_points(medians)
    assert (first.index, first.before, first.after) == (12, 12, 10)
    assert (second.index, second.before, second.after) == (22, 10, 8)
    assert first.ratio > 1 > second.ratio


def test_neither_unit_nor_direction_of_time_matters() -> None:
    medians = level(40, 4)
    medians[25:] *= 1.15
    (found,) = change_points(medians)
    (in_ms,) = change_points(1e3 * medians)
    (backwards,) = change_points(medians[::-1])
    assert in_ms.index == found.index == 25
    assert in_ms.ratio == pytest.approx(found.ratio)
    assert backwards.index == 15
    assert 1 / backwards.ratio == pytest.approx(found.ratio)


def test_counts_have_no_noise_and_a_step_is_a_step() -> None:
    assert change_points([22.0] * 40) == []
    (found,) = change_points([22.0] * 10 + [23.0] * 10)
    assert (found.index, found.ratio) == (10, pytest.approx(23 / 22))
    odd = [22.0] * 10 + [23.0] + [22.0] * 10
    assert change_points(odd) == []


def test_misses_are_above_all_that_was_measured() -> None:
    medians = level(30, 5)
    medians[7] = math.nan
    assert change_points(medians) == []
    medians[20:] = math.nan
    (found,) = change_points(medians)
    assert (found.index, found.ratio) == (20, math.inf)
    (found,) = change_points(medians[::-1])
    assert (found.index, found.ratio, found.low) == (10, 0.0, 0.0)
    assert change_points(np.full(30, math.nan)) == []


def test_of_few_commits_nothing_is_said() -> None:
    step = [1.0] * 5 + [2.0] * 6
    assert len(step) == FEWEST - 1
    assert change_points(step) == []
    assert len(change_points([1.0, *step])) == 1
    # Two at a new level can still be two that are off.
    assert change_points([1.0] * 20 + [2.0] * (MIN_SIZE - 1)) == []
    assert change_points([]) == []


@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, -1.0], [1.0, math.inf], [[1.0]]])
def test_what_is_no_series_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"medians must be"):
        change_points(bad)


# ------------------------------------------------------------------------ how often, by simulation


def noise(kind: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if kind == "t3":
        return rng.standard_t(3, n)
    found = rng.standard_normal(n)
    if kind == "spikes":
        off = rng.random(n) < 0.05
        found[off] += rng.uniform(5, 30, off.sum())
    return found


@pytest.mark.parametrize("kind", ["normal", "t3", "spikes"])
def test_noise_is_seldom_a_step(kind: str) -> None:
    rng = np.random.default_rng(7)
    lengths = [12] * 200 + [30] * 200 + [100] * 30
    alarms = sum(bool(change_points(np.exp(0.015 * noise(kind, n, rng)))) for n in lengths)
    assert alarms <= 0.01 * len(lengths)


def test_five_percent_in_noise_of_one_and_a_half_is_found() -> None:
    rng = np.random.default_rng(8)
    found, exact = 0, 0
    for _ in range(200):
        medians = np.exp(0.015 * rng.standard_normal(30))
        medians[15:] *= 1.05
        indices = [change.index for change in change_points(medians)]
        found += len(indices) == 1 and abs(indices[0] - 15) <= 1
        exact += indices == [15]
    assert found >= 0.95 * 200
    assert exact >= 0.85 * 200


def test_the_noise_is_that_of_the_series_whatever_its_steps_and_spikes() -> None:
    rng = np.random.default_rng(9)
    y = 0.02 * rng.standard_normal(400)
    assert noise_of(y) == pytest.approx(0.02, rel=0.1)
    y[100:] += 1
    y[300:] -= 2
    y[::40] += 5
    assert noise_of(y) == pytest.approx(0.02, rel=0.25)
    assert noise_of(np.array([1.0])) == 0


# --------------------------------------------------------------------------- cost, search and ratio


def smallest_cost(y: NDArray[np.float64]) -> float:
    """The bounded cost of a stretch, exact: the least over all that may be its inliers."""

    def loss(m: float) -> float:
        return float(np.minimum((y - m) ** 2, BOUND**2).sum())

    # At its best, m is the mean of the values that cost less than the bound: neighbours, in order.
    ordered = np.sort(y)
    return min(loss(ordered[i:j].mean()) for j in range(1, len(y) + 1) for i in range(j))


@settings(max_examples=40)
@given(seed=SEEDS, n=st.integers(3, 20))
def test_the_cost_of_a_stretch(seed: int, n: int) -> None:
    y = np.random.default_rng(seed).standard_t(2, n)
    cost = BoundedCost(BOUND, 3).fit(y)
    for start, end in ((0, n), (n // 4, n // 4 + 3)):
        best = smallest_cost(y[start:end])
        assert best - 1e-6 <= cost.error(start, end) <= best + 0.05**2 * (end - start) + 1e-6


@settings(max_examples=40)
@given(seed=SEEDS, penalty=st.sampled_from([3.0, 8.0, 20.0]))
def test_the_search_finds_the_best_of_all_ways_to_cut(seed: int, penalty: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(13) + 5 * (np.arange(13) >= rng.integers(3, 11))
    cost = BoundedCost(BOUND, MIN_SIZE).fit(y)

    def total(ends: tuple[int, ...]) -> float:
        return sum(cost.error(a, b) + penalty for a, b in pairwise((0, *ends)))

    ways = [
        (*cuts, 13)
        for k in range(4)
        for cuts in combinations(range(3, 11), k)
        if all(b - a >= MIN_SIZE for a, b in pairwise((0, *cuts, 13)))
    ]
    assert total(tuple(_ends(y, penalty))) == pytest.approx(min(map(total, ways)))


@settings(max_examples=60)
@given(seed=SEEDS, m=st.integers(6, 15), n=st.integers(6, 15), shift=st.floats(-2, 2))
def test_the_interval_holds_the_shifts_that_a_rank_sum_test_does_not_refute(
    seed: int, m: int, n: int, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.standard_normal(m), rng.standard_normal(n)
    ratio, low, high = _ratio(before, after)
    assert low <= ratio <= high
    p = ranksums(after - shift, before).pvalue
    if p > 0.07:
        assert low <= math.exp(shift) <= high
    if p < 0.03:
        assert not low < math.exp(shift) < high


def test_of_three_and_three_the_interval_is_the_range() -> None:
    before, after = np.log([1.0, 2.0, 4.0]), np.log([10.0, 20.0, 30.0])
    ratio, low, high = _ratio(before, after)
    assert (low, high) == (pytest.approx(2.5), pytest.approx(30.0))
    assert ratio == pytest.approx(10.0)  # the middle of 2.5 5 7.5 5 10 15 10 20 30
