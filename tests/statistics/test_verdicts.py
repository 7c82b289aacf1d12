"""Verdicts: what they mean, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.verdicts import (
    LOOKS,
    Verdict,
    judge,
    judge_saved,
    run_middle_s,
    session_log_ratio,
)

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
    with pytest.raises(ValueError, match="two sessions are the least"):
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


def saved_sets(
    shift: np.ndarray, seed: int = 0, runs: int = 1, samples: int = 20
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Seconds of each cell, of shape (runs, samples); a sample scatters by 1%."""
    rng = np.random.default_rng(seed)
    shape = (runs, samples)
    base = [np.exp(0.01 * rng.standard_normal(shape)) for _ in shift]
    head = [np.exp(s + 0.01 * rng.standard_normal(shape)) for s in shift]
    return base, head


def test_what_all_saved_cells_share_is_nobody_s_slow_down() -> None:
    for runs in (1, 5):
        base, head = saved_sets(np.full(12, math.log(1.6)), runs=runs)
        verdicts = [j.verdict for j in judge_saved(base, head, threshold=0.05)]
        assert set(verdicts) == {Verdict.INCONCLUSIVE}


def test_a_saved_cell_that_stands_out_is_slower() -> None:
    shift = np.array([0.01, -0.012, 0.008, 0.0, -0.01, 0.012, math.log(1.3)])
    judged = judge_saved(*saved_sets(shift), threshold=0.05)
    assert judged[-1].verdict == Verdict.SLOWER
    assert judged[-1].ratio == pytest.approx(1.3, rel=0.02)
    assert all(j.verdict != Verdict.SLOWER for j in judged[:-1])


def test_one_saved_sample_says_nothing() -> None:
    ones = [[[1.0, 1.001] * 5]] * 6
    judged = judge_saved([[[1.0]], *ones], [[[5.0]], *ones], threshold=0.05)
    assert judged[0].verdict == Verdict.INCONCLUSIVE
    assert (judged[0].low, judged[0].high) == (0.0, math.inf)
    assert judged[1].verdict == Verdict.SAME


@pytest.mark.parametrize("cells", [1, 2])
def test_the_machine_s_drift_can_t_be_told_from_so_few_cells(cells: int) -> None:
    judged = judge_saved(*saved_sets(np.full(cells, 3.0), runs=10), threshold=0.05)
    assert {j.high for j in judged} == {math.inf}


def test_the_interval_of_saved_runs_is_welch_s_where_cells_did_not_drift() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(4)
    base, head = np.exp(rng.normal(size=(2, 5)) / 50), np.exp(rng.normal(size=(3, 1)) / 20)
    still = [[[1.0, 1.0]]] * 4  # no drift at all
    judged = judge_saved([base, *still], [head, *still], threshold=0.05, confidence=0.9)
    middles = [np.log([run_middle_s(run) for run in side]) for side in (base, head)]
    welch = ttest_ind(middles[1], middles[0], equal_var=False).confidence_interval(1 - 0.1 / 5)
    assert math.log(judged[0].low) == pytest.approx(welch.low)
    assert math.log(judged[0].high) == pytest.approx(welch.high)


def test_the_interval_of_single_saved_runs_is_yuen_s_where_cells_did_not_drift() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(5)
    base, head = np.exp(rng.normal(size=20) / 50), np.exp(rng.normal(size=9) / 20)
    still = [[[1.0, 1.0]]] * 4
    judged = judge_saved([[base], *still], [[head], *still], threshold=0.05, confidence=0.9)
    yuen = ttest_ind(np.log(head), np.log(base), equal_var=False, trim=0.25)
    interval = yuen.confidence_interval(1 - 0.1 / 5)
    assert math.log(judged[0].low) == pytest.approx(interval.low)
    assert math.log(judged[0].high) == pytest.approx(interval.high)


@pytest.mark.parametrize("samples", [2, 3, 20])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_false_alarms_of_saved_sets_are_rare(samples: int, runs: int, tails: str) -> None:
    rng = np.random.default_rng(samples + runs)
    families, cells, wrong = 60, 12, 0
    for _ in range(families):
        drift = rng.standard_normal(cells) if tails == "normal" else rng.standard_t(3, cells)
        sides = [
            shift[:, None, None]
            + 0.02 * rng.standard_normal((cells, runs, 1))
            + 0.02 * rng.standard_normal((cells, runs, samples))
            for shift in (np.zeros(cells), 0.03 * drift)
        ]
        judged = judge_saved(*(list(np.exp(side)) for side in sides), threshold=0.05)
        wrong += any(j.verdict in (Verdict.SLOWER, Verdict.FASTER) for j in judged)
    assert wrong <= 7  # of 60; 5% are allowed, and 8 or more have a probability of 1%


def test_more_runs_decide_what_one_can_t() -> None:
    rng = np.random.default_rng(6)
    shift = np.append(np.zeros(15), math.log(1.08))
    found = []
    for runs in (1, 8):
        base, head = (
            list(np.exp(s[:, None, None] + 0.008 * rng.standard_normal((16, runs, 1))))
            for s in (0 * shift, shift)
        )
        base, head = ([run * np.ones((1, 6)) for run in side] for side in (base, head))
        found.append([j.verdict for j in judge_saved(base, head, threshold=0.05)])
    assert found[0][-1] == Verdict.INCONCLUSIVE
    assert found[1][-1] == Verdict.SLOWER
    assert found[1].count(Verdict.SAME) > 10


def test_an_interruption_does_not_move_a_saved_run() -> None:
    assert run_middle_s([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 90.0, 1.0]) == pytest.approx(1)
