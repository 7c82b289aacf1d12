"""Change points: at which commits a series of measurements has a new level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.intervals import Values

MIN_SIZE = 3
"""The fewest commits of a level: two in a row may be outliers."""
FEWEST = 12
"""The fewest commits of a series that is judged: from fewer the noise is not known."""
BOUND = 3.5
"""K: how many standard deviations a commit may be off and still count in full."""
SMALLEST_NOISE = 0.005
"""The least s. Counts have no noise, and a step below 1.5% is no regression."""
_MISSED = 10.0  # standard deviations above every measured value: a level of its own


@dataclass(frozen=True)
class ChangePoint:
    """A step in a series.

    Args:
        index: of the first commit at the new level.
        ratio: new level / old level; inf where runs began to miss, 0 where they ceased to.
        low, high: the interval of the ratio.
        before, after: how many commits the two levels last.
    """

    index: int
    ratio: float
    low: float
    high: float
    before: int
    after: int


def change_points(medians: ArrayLike) -> list[ChangePoint]:
    """The steps of a series of medians, one a commit, the oldest first.

        minimise over levels:  sum_levels min_m sum_(t in level) min((y_t - m)^2 / s^2, K^2)
                               + penalty (number of levels),
        y = log median,   s = 1.4826 median(|y_t - y_(t-k)|, k = 1, 2, 3) / sqrt(2),
        K = 3.5,   penalty = 14 + 2 log n,   a level lasts at least 3 commits

    An outlier counts K^2, however far off it is, so that one or two in a row never make a level.
    s is at least 0.5%.

    The source asks for a penalty of 2 log n. That alone finds a step in 6 to 19% of series of pure
    noise. 14 was found by simulation, with 300 to 1,000 series of 12 to 200 commits each:

        Without a step, one is found in at most 0.2% of series with normal noise, also with
        outliers at 5% of the commits; 0.4% with t noise of 3 degrees of freedom; 1.4% with
        lognormal noise; 2% with a correlation of 0.3 between neighbours, and 3 to 26% with 0.5.
        A step of 5% in noise of 1.5% is found in 98% of series of 15 + 15 commits, at the exact
        commit in 89%. It is found in 58% of series of 27 + 3. A step of 10% is found at the exact
        commit in 99% of both.

    Rejected: the cost "l1" after a running median of 3, which keeps two outliers in a row. Also
    rejected: "rank", which can't tell a level of 3 commits at the end from noise.

    Args:
        medians: positive, shape (n,); NaN where the median run missed, which is above all others.
    Returns:
        The steps in order; none where there are fewer than 12 commits, or all missed. `ratio` is
        the median of all ratios of a new commit to an old one. Its 95% interval belongs to the
        rank-sum test; it is the range of all ratios where they are too few (3 by 3).
    Raises:
        ValueError: medians are not of shape (n,), or one is not positive, or infinite.
    Source: Fearnhead and Rigaill (2019), "Changepoint detection in the presence of outliers",
        Journal of the American Statistical Association 114. The search: Killick, Fearnhead and
        Eckley (2012), "Optimal detection of changepoints with a linear computational cost", by
        ruptures. The ratio: Hodges and Lehmann (1963); Hollander, Wolfe and Chicken (2014),
        Nonparametric Statistical Methods, section 4.3.
    """
    values = np.asarray(medians, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"medians must be of shape (n,); got {values.shape}")
    missed = np.isnan(values)
    if (values <= 0).any() or np.isinf(values).any():
        raise ValueError("medians must be positive and finite, or NaN for a miss")
    if len(values) < FEWEST or missed.all():
        return []
    logs = np.log(values)
    noise = max(noise_of(logs[~missed]), SMALLEST_NOISE)
    standard = (logs - np.median(logs[~missed])) / noise
    standard[missed] = np.max(standard[~missed]) + _MISSED
    bounds = [0, *_ends(standard, 14 + 2 * math.log(len(standard)))]
    logs[missed] = math.inf
    return [
        ChangePoint(
            middle,
            *_ratio(logs[start:middle], logs[middle:end]),
            before=middle - start,
            after=end - middle,
        )
        for start, middle, end in zip(bounds[:-2], bounds[1:-1], bounds[2:], strict=True)
    ]


def noise_of(y: Values) -> float:
    """Standard deviation of the noise of a series with few steps, robust against outliers.

        s = 1.4826 median(|y_t - y_(t-k)|, all t, k = 1, 2, 3) / sqrt(2)

    0 for fewer than two values.
    Source: Rousseeuw and Croux (1993), "Alternatives to the median absolute deviation".
    """
    differences = [np.abs(y[k:] - y[:-k]) for k in (1, 2, 3) if k < len(y)]
    if not differences:
        return 0.0
    return 1.4826 * float(np.median(np.concatenate(differences))) / math.sqrt(2)


def _ends(y: Values, penalty: float) -> list[int]:
    """Where each level ends, one past its last commit; y is in units of s."""
    from ruptures.detection import Pelt  # three quarters of a second to load

    from bench.statistics.bounded_cost import BoundedCost

    search = Pelt(custom_cost=BoundedCost(BOUND, MIN_SIZE), min_size=MIN_SIZE, jump=1)
    return [int(end) for end in search.fit(y).predict(penalty)]


def _ratio(before: Values, after: Values) -> tuple[float, float, float]:
    """exp of the Hodges-Lehmann shift between two samples of logarithms, and of its interval.

    The interval leaves out c - 1 of the m n differences on either side,
    c = floor(m n / 2 - 1.96 sqrt(m n (m + n + 1) / 12)), and none where c is below 1.
    """
    both_missed = np.isinf(after)[:, None] & np.isinf(before)
    with np.errstate(invalid="ignore"):
        shifts = np.sort(np.where(both_missed, 0.0, after[:, None] - before), axis=None)
    count, commits = len(shifts), len(before) + len(after)
    outside = int(count / 2 - 1.96 * math.sqrt(count * (commits + 1) / 12))
    low, high = max(outside - 1, 0), count - max(outside, 1)
    with np.errstate(invalid="ignore"):
        middle = shifts[[(count - 1) // 2, count // 2]].mean()
    if math.isnan(middle):  # between levels that are infinitely far apart, either way
        middle = 0.0
    ratio, lowest, highest = np.exp([middle, shifts[low], shifts[high]]).tolist()
    return ratio, lowest, highest
