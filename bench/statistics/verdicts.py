"""Faster, slower, the same, or not known: what samples of two sides say of a cell.

Intervals of sides that took turns hold for all cells and all looks together (Bonferroni), so that a
verdict means the same in a comparison of five cells and of five hundred, wherever sampling stopped.
Those of saved sets rest on more: see `judge_saved`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

Runs = Sequence[ArrayLike]
"""Seconds of a cell: the samples of each run, that is, of each process."""

LOOKS = (10, 13, 16, 20, 25, 32)
"""After so many sessions cells are judged; once more where the time is spent in between. Each of
these looks takes its share of the error, so they are planned."""

_TRIMMED = 0.25  # of quadruples or samples, on either side: interruptions are in the tails


class Verdict(StrEnum):
    """What is said of a cell."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Judged:
    """A ratio of times, head / base, with its interval, and what follows from it."""

    ratio: float
    low: float
    high: float
    verdict: Verdict


def session_log_ratio(base_s: ArrayLike, head_s: ArrayLike) -> float:
    """What one session of two processes says of log(head / base).

        y = 25%-trimmed mean over k of  1/2 sum_j log head_kj - 1/2 sum_j log base_kj,   j = 1, 2

    The two blocks of a side in a quadruple, base head head base or the other way round, have the
    same mean position in time: a drift that is linear over a quadruple drops out.

    Args:
        base_s, head_s: seconds of the blocks, shape (k, 2): two a quadruple.
    Raises:
        ValueError: shapes disagree, or a time is not positive.
    Source: paired blocks: Box, Hunter and Hunter (2005), Statistics for Experimenters, chapter 4.
    """
    base, head = np.asarray(base_s, dtype=float), np.asarray(head_s, dtype=float)
    if base.shape != head.shape or base.ndim != 2 or base.shape[1] != 2 or not base.size:
        raise ValueError(f"blocks must be of shape (k, 2); got {base.shape} and {head.shape}")
    if not (np.minimum(base, head) > 0).all():
        raise ValueError("seconds of a block must be positive")
    ratios = np.sort((np.log(head) - np.log(base)).mean(axis=1))
    outside = int(_TRIMMED * len(ratios))
    return float(ratios[outside : len(ratios) - outside].mean())


def judge(
    log_ratios: Sequence[float], *, threshold: float, cells: int, confidence: float = 0.95
) -> Judged:
    """The ratio of a cell from the log ratios of its sessions, and the verdict.

        mean(y) -+ t s / sqrt(g),    t: quantile of Student's t, g - 1 degrees of freedom,
                                     at 1 - (1 - confidence) / (2 cells (looks + 1))

    Sessions are processes started anew, so what differs between two processes of the same code
    (addresses, pages) is part of s. The verdict:

        SAME          the interval is within (1 / (1 + threshold), 1 + threshold): equivalent,
                      whether it holds 1 or not
        SLOWER        else, the interval is above 1 and the ratio above sqrt(1 + threshold), which
                      is nearer to the threshold than to 1
        FASTER        the same for base / head
        INCONCLUSIVE  else; a single session has no interval

    Args:
        log_ratios: log(head / base), one a session, shape (g,).
        threshold: the smallest slow-down that matters, 0.05 for 5%.
        cells: how many are judged together.
        confidence: that all intervals of all cells at all looks hold.
    Raises:
        ValueError: fewer than two sessions.
    Source: two one-sided tests by an interval: Schuirmann (1987), "A comparison of the two
        one-sided tests procedure and the power approach"; Bonferroni over cells and looks.
    """
    y = np.asarray(log_ratios, dtype=float)
    if len(y) < 2:
        raise ValueError(f"two sessions are the least that can be judged; got {len(y)}")
    from scipy.stats import t  # it takes most of a second to load

    outside = (1 - confidence) / (2 * cells * (len(LOOKS) + 1))
    half = float(t.isf(outside, len(y) - 1)) * float(y.std(ddof=1)) / math.sqrt(len(y))
    return _judged(float(y.mean()), half, threshold)


def judge_saved(
    base: Sequence[Runs], head: Sequence[Runs], *, threshold: float, confidence: float = 0.95
) -> list[Judged]:
    """Verdicts from two saved sets of samples, which did not take turns.

        d_i -+ t sqrt(V_i),   d_i = m(head_i) - m(base_i),   V_i = v(base_i) + v(head_i) + S_i^2
        S_i = 1.4826 median_{j != i} |d_j|
        t: quantile of Student's t at 1 - (1 - confidence) / (2 c) for c cells, with
           V_i^2 / (v(base_i)^2 / nu + v(head_i)^2 / nu' + S_i^4 / nu'') degrees of freedom,
           nu'' = min(0.37 (c - 1), 3)

    Two samples of one process are alike in what two processes differ in, so runs are the units
    where a side has several: m is the mean of their middles (`run_middle_s`), v their variance over
    their number, nu one less. A single run has its 25%-trimmed mean of log seconds and that mean's
    variance within the run (Yuen), which can't know what the next run would have been.

    S_i is what the machine did between the two sets, or whatever else all cells share: it can't be
    told from the code. A cell is judged against what the others show of it, so that it takes
    several, most of them unchanged, for one to stand out. It counts in full beside v, though it
    holds some of it: the wider side. A median of c - 1 absolute values knows a scale as well as
    0.37 (c - 1) degrees of freedom do; not more than 3, because cells drift by unequal amounts,
    some by far more than the middle one. Fewer than two others say nothing.

    Of simulated comparisons of equals, 3 to 84 cells and 1 to 5 runs a side, at most 5% had a false
    alarm where drifts are normal or have the tails of Student's t (3 degrees of freedom), 7% where
    the cells' scales are log-normal (sigma 0.7) as well, and 8% to 59% with a normal quantile.

    Args:
        base, head: seconds by cell, by run, by sample; at least one run, and one sample in each.
    Source: Welch (1947), "The generalization of 'Student's' problem when several different
        population variances are involved", for the degrees of freedom; Yuen (1974), "The
        two-sample trimmed t for unequal population variances"; 0.37: efficiency of the median
        absolute deviation, Rousseeuw and Croux (1993).
    """
    sides = [(_location(b), _location(h)) for b, h in zip(base, head, strict=True)]
    shift = np.array([h.middle - b.middle for b, h in sides])
    outside = (1 - confidence) / (2 * max(len(shift), 1))
    judged = []
    for k, (b, h) in enumerate(sides):
        others = np.abs(np.delete(shift, k))
        drift = 1.4826 * float(np.median(others)) if len(others) > 1 else math.inf
        degrees = min(_MAD_EFFICIENCY * len(others), _MOST_DEGREES)
        parts = [(b.variance, b.degrees), (h.variance, h.degrees), (drift**2, degrees)]
        judged.append(_judged(float(shift[k]), _half(parts, outside), threshold))
    return judged


_MAD_EFFICIENCY = 0.37
_MOST_DEGREES = 3.0


def run_middle_s(seconds: ArrayLike) -> float:
    """The middle of a run's samples: exp of the 25%-trimmed mean of their logarithms."""
    return math.exp(_trimmed(seconds).middle)


@dataclass(frozen=True)
class _Location:
    """A middle of log seconds, its variance, and how many degrees of freedom that one has."""

    middle: float
    variance: float
    degrees: float


def _location(runs: Runs) -> _Location:
    each = [_trimmed(run) for run in runs]
    if len(each) == 1:
        return each[0]
    middles = np.array([run.middle for run in each])
    return _Location(
        float(middles.mean()), float(middles.var(ddof=1)) / len(middles), len(middles) - 1
    )


def _trimmed(seconds: ArrayLike) -> _Location:
    """Of one run; infinite variance for a single sample, which has no spread to be seen."""
    logs = np.sort(np.log(np.asarray(seconds, dtype=float)))
    outside = int(_TRIMMED * len(logs))
    kept = logs[outside : len(logs) - outside]
    if len(kept) < 2:
        return _Location(float(kept.mean()), math.inf, 1)
    winsorised = np.clip(logs, kept[0], kept[-1])
    sum_of_squares = float(winsorised.var(ddof=0)) * len(logs)
    degrees = len(kept) - 1
    return _Location(float(kept.mean()), sum_of_squares / (len(kept) * degrees), degrees)


def _half(parts: Sequence[tuple[float, float]], outside: float) -> float:
    """Half of an interval from independent variances and their degrees of freedom."""
    from scipy.stats import t  # it takes most of a second to load

    variance = sum(part for part, _ in parts)
    if variance == 0 or math.isinf(variance):
        return variance
    # In shares of the whole, since squares of small variances vanish.
    degrees = 1 / sum((part / variance) ** 2 / nu for part, nu in parts if part)
    return float(t.isf(outside, degrees)) * math.sqrt(variance)


def _judged(middle: float, half: float, threshold: float) -> Judged:
    limit = math.log1p(threshold)
    low, high = middle - half, middle + half
    if -limit < low and high < limit:
        verdict = Verdict.SAME
    elif low > 0 and middle > limit / 2:
        verdict = Verdict.SLOWER
    elif high < 0 and middle < -limit / 2:
        verdict = Verdict.FASTER
    else:
        verdict = Verdict.INCONCLUSIVE
    return Judged(math.exp(middle), math.exp(low), _exp(high), verdict)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
