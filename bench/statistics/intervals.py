"""Medians and their intervals from censored samples: a miss is counted, never dropped.

A sample is an array of times, NaN for a run that missed its target. A miss is later than every hit.
How much later is not known: no value is interpolated between a hit and a miss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Interval:
    """The median of a censored sample, and an interval for it.

    Args:
        median, low, high: each None where it is a miss.
        runs: size of the sample, misses included.
        hits: how many of the runs are no misses.
    """

    median: float | None
    low: float | None
    high: float | None
    runs: int
    hits: int


@dataclass(frozen=True)
class RatioInterval:
    """The median ratio b / a of paired censored samples, and an interval for it.

    Args:
        median, low, high: 0 stands for below all observed ratios, and inf for above them. The
            median is None if it lies between 0 and inf.
        pairs: how many were compared.
        left_out: pairs of which both missed.
        sign_test: two-sided p-value of "ratios are as often above 1 as below".
    """

    median: float | None
    low: float
    high: float
    pairs: int
    left_out: int
    sign_test: float

    @property
    def significant(self) -> bool:
        """Whether a ratio of 1 is outside the interval, and the sign test is at most 5%.

        With few pairs the interval alone is too narrow, as a resampled median never leaves the
        sample. The sign test is exact, and never significant with fewer than 6 pairs.
        """
        return not self.low <= 1.0 <= self.high and self.sign_test <= 0.05


def median_interval(
    times: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The median of a censored sample, with a percentile-bootstrap interval.

        median = (t_((n+1)/2 rounded down) + t_((n+1)/2 rounded up)) / 2,   misses sorted last

    Runs of one cluster, such as one seed, are alike. Resampled one by one, they would make the
    interval too narrow. So clusters are resampled with replacement, then the runs within each. With
    a single cluster, or one run in each cluster, this is the ordinary bootstrap. Rejected: clusters
    kept whole (strategy 1 of the source), as a single cluster then has no interval.

    Args:
        times: NaN for a miss, shape (n,).
        clusters: a label for each run, shape (n,); None for independent runs.
        confidence: of the interval, in (0, 1).
        resamples: number of bootstrap samples.
    Returns:
        An interval that does not depend on the order of the runs. A median between a hit and a miss
        is None.
    Raises:
        ValueError: no runs, a time that is negative or infinite, shapes that disagree, or a
            confidence or number of resamples out of range.
    Source: Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8
        (strategy 2) for the resampling, section 5.3.1 for the percentile interval.
    """
    times = checked_times(times)
    if times.ndim != 1:
        raise ValueError(f"times must be of shape (n,); got {times.shape}")
    later = np.where(np.isnan(times), math.inf, times)
    samples = _resample(_groups(later, clusters), resamples)
    low, high = _ends(np.mean(_middle(samples), axis=0), confidence)
    return Interval(
        median=_or_none(float(np.median(later))),
        low=_or_none(low),
        high=_or_none(high),
        runs=len(times),
        hits=int(np.isfinite(times).sum()),
    )


def ratio_interval(
    a: ArrayLike, b: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000
) -> RatioInterval:
    """The median of the ratios b_i / a_i, with a percentile-bootstrap interval over the pairs.

    The ratio is inf where only b missed, and 0 where only a missed. Where both missed, the pair is
    left out, and counted. The median of an even count is the geometric mean of the two
    middle ratios, so swapping a and b inverts it.

    Args:
        a, b: positive times of the same pairs, NaN for a miss, shape (n,).
        confidence, resamples: as in `median_interval`.
    Returns:
        An interval that does not depend on the order of the pairs. A median between 0 and inf is
        None. In the bootstrap it counts as 0 for `low` and as inf for `high`.
    Raises:
        ValueError: as `median_interval`, or a time of 0.
    Source: as `median_interval`, section 5.3.1.
    """
    a, b = checked_times(a), checked_times(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a and b must both be of shape (n,); got {a.shape} and {b.shape}")
    if (a == 0).any() or (b == 0).any():
        raise ValueError("a ratio needs positive times; got a time of 0")
    missed_a, missed_b = np.isnan(a), np.isnan(b)
    ratios = np.where(missed_a, 0.0, np.where(missed_b, math.inf, b / a))
    ratios = np.sort(ratios[~(missed_a & missed_b)])
    left_out = len(a) - len(ratios)
    if not len(ratios):
        return RatioInterval(None, 0.0, math.inf, 0, left_out, 1.0)
    median = float(_geometric(_middle(ratios[None, :]))[0])
    medians = _geometric(_middle(_resample([ratios], resamples)))
    undecided = np.isnan(medians)
    low, _ = _ends(np.where(undecided, 0.0, medians), confidence)
    _, high = _ends(np.where(undecided, math.inf, medians), confidence)
    shown = None if math.isnan(median) else median
    return RatioInterval(shown, low, high, len(ratios), left_out, _sign_test(ratios))


def success_rate_interval(hits: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a success rate, which is valid for few runs and for 0 or n hits.

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),   p = hits / n

    Args:
        hits: runs that met the target.
        runs: all runs, n.
        confidence: of the interval, in (0, 1); z is the normal quantile of (1 + confidence) / 2.
    Raises:
        ValueError: no runs, hits that are not in 0 ... runs, or a confidence out of range.
    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference";
        for small n: Brown, Cai and DasGupta (2001), "Interval estimation for a binomial
        proportion".
    """
    if not 0 <= hits <= runs or runs == 0:
        raise ValueError(f"hits must be in 0 ... runs, and runs positive; got {hits} of {runs}")
    _check_confidence(confidence)
    from scipy.special import ndtri  # unlike scipy.stats, it takes no half a second to load

    rate = hits / runs
    z = float(ndtri(0.5 + 0.5 * confidence))
    width = 2 * (runs + z**2)
    centre = (2 * runs * rate + z**2) / width
    half = z / width * math.sqrt(4 * runs * rate * (1 - rate) + z**2)
    return centre - half if hits else 0.0, centre + half if hits < runs else 1.0


def checked_times(times: ArrayLike) -> Values:
    """A censored sample as a float64 array; ValueError for no runs, a negative or infinite time."""
    values = np.asarray(times, dtype=np.float64)
    if not values.size:
        raise ValueError("times are empty: there must be at least one run")
    if np.isinf(values).any():
        raise ValueError("times must be finite, or NaN for a miss; got an infinite time")
    if (values < 0).any():
        raise ValueError(f"times must not be negative; got {values[values < 0][0]:g}")
    return values


def _groups(values: Values, clusters: ArrayLike | None) -> list[Values]:
    """The runs of each cluster, all in an order that is fixed by the values alone."""
    if clusters is None:
        return [np.sort(values)]
    labels = np.asarray(clusters)
    if labels.shape != values.shape:
        raise ValueError(f"clusters must be of shape {values.shape}; got {labels.shape}")
    names, index = np.unique(labels, return_inverse=True)
    if len(names) == len(values):
        return [np.sort(values)]
    groups = [np.sort(values[index == k]) for k in range(len(names))]
    return sorted(groups, key=lambda group: (len(group), group.tolist()))


def _resample(groups: Sequence[Values], resamples: int) -> Values:
    """Bootstrap samples, one a row; rows of fewer runs are filled up with NaN."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; got {resamples}")
    rng = np.random.default_rng(0)
    sizes = np.array([len(group) for group in groups])
    runs = np.full((len(groups), sizes.max()), math.nan)
    for row, group in zip(runs, groups, strict=True):
        row[: len(group)] = group
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))[..., None]
    within = rng.integers(sizes[drawn], size=(*drawn.shape[:2], sizes.max()))
    samples = np.where(np.arange(sizes.max()) < sizes[drawn], runs[drawn, within], math.nan)
    return samples.reshape(resamples, -1)


def _middle(samples: Values) -> tuple[Values, Values]:
    """The two middle values of each row, NaN left out; the same one twice for an odd count."""
    ordered = np.sort(samples, axis=1)  # NaN last
    count = (~np.isnan(samples)).sum(axis=1)
    rows = np.arange(len(samples))
    return ordered[rows, (count - 1) // 2], ordered[rows, count // 2]


def _geometric(middle: tuple[Values, Values]) -> Values:
    """Geometric means; NaN between 0 and inf."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(middle[0] * middle[1]))


def _ends(medians: Values, confidence: float) -> tuple[float, float]:
    """Order statistics that leave the same number of resamples out on either side."""
    _check_confidence(confidence)
    outside = min(int((1 - confidence) / 2 * len(medians)), (len(medians) - 1) // 2)
    ordered = np.sort(medians)
    return float(ordered[outside]), float(ordered[-1 - outside])


def _sign_test(ratios: Values) -> float:
    """Exact two-sided p-value of "ratios are as often above 1 as below"; 1 if all are 1."""
    above, below = int((ratios > 1).sum()), int((ratios < 1).sum())
    count, fewer = above + below, min(above, below)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2.0**count)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1; got {confidence:g}")


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
