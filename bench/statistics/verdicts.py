"""Verdicts on a cell from the sessions of two sides: faster, slower, the same, inconclusive.

The intervals of all cells at all looks hold together (Bonferroni). So a verdict means the same in a
comparison of five cells and of five hundred, wherever sampling stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

LOOKS = (10, 13, 16, 20, 25, 32)
"""Numbers of sessions after which cells are judged. There is one more look, at the time limit. Each
takes its share of the error."""

_TRIMMED = 0.25  # share of quadruples cut on either side: interruptions are in the tails


class Verdict(StrEnum):
    """The outcome for a cell."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class RatioVerdict:
    """A ratio of times, head / base, with its interval, and what follows from it."""

    ratio: float
    low: float
    high: float
    verdict: Verdict


def session_log_ratio(base_s: ArrayLike, head_s: ArrayLike) -> float:
    """One session's estimate of log(head / base), from one process on each side.

        y = 25%-trimmed mean over k of  1/2 sum_j log head_kj - 1/2 sum_j log base_kj,   j = 1, 2

    A quadruple is four blocks: base, head, head, base, or head, base, base, head. Both sides have
    the same mean position in time, so a drift that is linear over a quadruple drops out.

    Args:
        base_s, head_s: seconds of each block, shape (k, 2) for k quadruples.
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
) -> RatioVerdict:
    """The ratio of a cell from the log ratios of its sessions, and the verdict.

        mean(y) -+ t s / sqrt(g),    t: quantile of Student's t, g - 1 degrees of freedom,
                                     at 1 - (1 - confidence) / (2 cells (looks + 1))

    Each session has new processes, so what differs between processes of the same code is part of
    s. The verdict:

        SAME          the interval is within (1 / (1 + threshold), 1 + threshold): equivalent,
                      whether it holds 1 or not
        SLOWER        otherwise, the interval is above 1 and the ratio above
                      sqrt(1 + threshold), which is nearer to the threshold than to 1
        FASTER        the same for base / head
        INCONCLUSIVE  otherwise

    Args:
        log_ratios: log(head / base), one a session, shape (g,).
        threshold: the smallest slow-down that matters, 0.05 for 5%.
        cells: how many are judged together.
        confidence: joint, of all intervals of all cells at all looks.
    Raises:
        ValueError: fewer than two sessions.
    Source: two one-sided tests by an interval: Schuirmann (1987), "A comparison of the two
        one-sided tests procedure and the power approach"; Bonferroni over cells and looks.
    """
    y = np.asarray(log_ratios, dtype=float)
    if len(y) < 2:
        raise ValueError(f"at least two sessions are needed; got {len(y)}")
    from scipy.stats import t  # it takes most of a second to load

    outside = (1 - confidence) / (2 * cells * (len(LOOKS) + 1))
    half = float(t.isf(outside, len(y) - 1)) * float(y.std(ddof=1)) / math.sqrt(len(y))
    return _judged(float(y.mean()), half, threshold)


def _judged(middle: float, half: float, threshold: float) -> RatioVerdict:
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
    return RatioVerdict(math.exp(middle), math.exp(low), _exp(high), verdict)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
