"""Verdicts: what they mean, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.verdicts import LOOKS, Verdict, judge, session_log_ratio

SIGMA = 0.02  # of a session's log ratio, as on a quiet two-core machine


def run_to_a_verdict(log_ratios: np.ndarray, cells: int) -> Verdict:
    """The rule of sampling: judge at each look, stop at the first verdict."""
    verdict = Verdict.INCONCLUSIVE
    for look in LOOKS:
        verdict = judge(log_ratios[:look].tolist(), threshold=0.05, cells=cells).verdict
        if verdict != Verdict.INCONCLUSIVE:
            break
    return verdict


@pytest.mark.parametrize("tails", ["normal", "heavy", "spiked"])
def test_false_alarms_of_a_whole_comparison_are_rare(tails: str) -> None:
    rng = np.random.default_rng(0)
    families, cells = 60, 40
    wrong = 0
    for _ in range(families):
        y = SIGMA * rng.standard_normal((cells, LOOKS[-1]))
        if tails == "heavy":
            y = SIGMA * rng.standard_t(3, (cells, LOOKS[-1]))
        if tails == "spiked":
            y += 0.5 * (rng.random(y.shape) < 0.05) * rng.choice([-1, 1], y.shape)
        verdicts = {run_to_a_verdict(row, cells) for row in y}
        wrong += bool(verdicts & {Verdict.SLOWER, Verdict.FASTER})
    assert wrong <= 6  # of 60; 5% are allowed, and 7 or more have a probability of 3%


@pytest.mark.parametrize(("slow_down", "least"), [(0.05, 0.80), (0.10, 0.95), (0.30, 1.0)])
def test_slow_downs_are_found(slow_down: float, least: float) -> None:
    rng = np.random.default_rng(1)
    y = math.log1p(slow_down) + SIGMA * rng.standard_normal((200, LOOKS[-1]))
    found = [run_to_a_verdict(row, 84) for row in y]
    assert found.count(Verdict.SLOWER) >= least * len(found)
    assert Verdict.FASTER not in found


def test_a_change_below_the_threshold_is_the_same_although_it_is_there() -> None:
    rng = np.random.default_rng(2)
    y = math.log1p(0.015) + 0.004 * rng.standard_normal(LOOKS[-1])
    judged = judge(y.tolist(), threshold=0.05, cells=10)
    assert judged.low > 1
    assert judged.verdict == Verdict.SAME


@given(
    st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=20),
    st.floats(0.01, 0.3),
    st.integers(1, 500),
)
def test_swapping_the_sides_inverts_the_ratio(
    log_ratios: list[float], threshold: float, cells: int
) -> None:
    there = judge(log_ratios, threshold=threshold, cells=cells)
    back = judge([-y for y in log_ratios], threshold=threshold, cells=cells)
    assert there.ratio * back.ratio == pytest.approx(1)
    swapped = {Verdict.SLOWER: Verdict.FASTER, Verdict.FASTER: Verdict.SLOWER}
    assert back.verdict == swapped.get(there.verdict, there.verdict)
    assert there.low <= there.ratio <= there.high


@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=12), st.integers(1, 50))
def test_more_cells_widen_every_interval(log_ratios: list[float], cells: int) -> None:
    few = judge(log_ratios, threshold=0.05, cells=cells)
    many = judge(log_ratios, threshold=0.05, cells=cells + 1)
    assert many.low <= few.low <= few.high <= many.high


def test_the_interval_is_students() -> None:
    # By hand: mean 0.02, s = 0.01, g = 4; one cell, so t_3 at 1 - 0.05 / 14 = 0.99643.
    from scipy.stats import t

    y = [0.02 - 0.01 * math.sqrt(1.5), 0.02, 0.02, 0.02 + 0.01 * math.sqrt(1.5)]
    judged = judge(y, threshold=0.05, cells=1)
    half = t.ppf(1 - 0.05 / 14, 3) * 0.01 / 2
    assert judged.ratio == pytest.approx(math.exp(0.02))
    assert judged.low == pytest.approx(math.exp(0.02 - half))
    assert judged.high == pytest.approx(math.exp(0.02 + half))


def test_one_session_is_not_judged() -> None:
    with pytest.raises(ValueError, match="at least two sessions are needed"):
        judge([0.1], threshold=0.05, cells=1)


@given(
    drift=st.floats(-0.2, 0.2),
    ratio=st.floats(0.5, 2.0),
    quadruples=st.integers(1, 12),
)
def test_a_linear_drift_within_a_quadruple_drops_out(
    drift: float, ratio: float, quadruples: int
) -> None:
    base, head = np.empty((quadruples, 2)), np.empty((quadruples, 2))
    for k in range(quadruples):
        sides = (base, head) if k % 2 == 0 else (head, base)
        for at, (side, which) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
            factor = ratio if sides[side] is head else 1.0
            sides[side][k, which] = factor * math.exp(drift * (4 * k + at))
    assert session_log_ratio(base, head) == pytest.approx(math.log(ratio), abs=1e-9)


def test_an_interruption_does_not_move_a_session() -> None:
    base = np.ones((8, 2))
    head = np.full((8, 2), 1.02)
    head[3, 1] = 50.0
    assert session_log_ratio(base, head) == pytest.approx(math.log(1.02))


@pytest.mark.parametrize(
    ("base", "head"),
    [(np.ones((2, 2)), np.ones((3, 2))), (np.ones(4), np.ones(4)), (np.zeros((1, 2)),) * 2],
)
def test_blocks_of_another_shape_are_refused(base: np.ndarray, head: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        session_log_ratio(base, head)
