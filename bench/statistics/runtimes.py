"""One number for several runs. A run that missed counts with what it spent.

In all functions `times` is NaN for a run that missed its target, of any shape. `spent` is what each
run used before it ended, in the same unit and shape. It is finite, and read only for runs that
missed. No result depends on the order of the runs, not even in its last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.intervals import Values, checked_times


@dataclass(frozen=True)
class GeometricMean:
    """A shifted geometric mean of a censored sample; with any miss it is a lower bound."""

    value: float
    runs: int
    misses: int


def expected_running_time(times: ArrayLike, spent: ArrayLike) -> float | None:
    """Expected time to the target if a run that missed were followed by another, until one hits.

        ERT = (sum of times of the hits + sum of spent of the misses) / number of hits

    Returns:
        In the unit of `times`; None where no run hit.
    Raises:
        ValueError: no runs, shapes that disagree, a time that is negative or infinite, or a spent
            that is negative or not finite.
    Source: Hansen, Auger, Brockhoff, Tusar and Tusar (2016), "COCO: performance assessment",
        arXiv:1605.03560, section on averaging runtime.
    """
    hits, misses = _hits_and_misses(times, spent)
    return math.fsum([*hits, *misses]) / len(hits) if len(hits) else None


def simulated_restarts(times: ArrayLike, spent: ArrayLike, *, draws: int = 1000) -> Values:
    """The distribution behind the expected running time: restarts, simulated from these runs.

        T = spent_(i_1) + ... + spent_(i_(J-1)) + time_(i_J),   i_j uniform over all runs,
                                                                i_J the first that hit

    Args:
        draws: how many restarted runs to simulate.
    Returns:
        Sorted totals T, shape (draws,); shape (0,) where no run hit.
    Raises:
        ValueError: as `expected_running_time`, or no draws.
    Source: as `expected_running_time`, section on simulated restarts.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1; got {draws}")
    hits, misses = _hits_and_misses(times, spent)
    if not len(hits):
        return np.empty(0)
    rng = np.random.default_rng(0)
    used = np.concatenate([hits, misses])
    totals = np.zeros(draws)
    running = np.arange(draws)
    while len(running):
        run = rng.integers(len(used), size=len(running))
        totals[running] += used[run]
        running = running[run >= len(hits)]
    return np.sort(totals)


def restart_percentiles(
    times: ArrayLike,
    spent: ArrayLike,
    percentiles: Sequence[float] = (2.5, 50.0, 97.5),
    *,
    draws: int = 1000,
) -> tuple[float, ...] | None:
    """Percentiles of `simulated_restarts`, not interpolated; None where no run hit.

    They show the spread of restarted runs. They are no confidence interval.

    Raises:
        ValueError: as `simulated_restarts`, or a percentile outside 0 ... 100.
    """
    totals = simulated_restarts(times, spent, draws=draws)
    if not len(totals):
        return None
    return tuple(np.percentile(totals, percentiles, method="inverted_cdf").tolist())


def shifted_geometric_mean(values: ArrayLike, shift: float) -> float:
    """A geometric mean in which ratios between values far below `shift` hardly count.

        exp(mean_i log(v_i + s)) - s  =  s expm1(mean_i log1p(v_i / s))

    The second form does not cancel where s is large against the values.

    Args:
        values: not negative, and positive if s = 0, any shape.
        shift: s >= 0, in the unit of the values.
    Raises:
        ValueError: no values, one that is out of range or not finite, or such a shift.
    Source: Achterberg (2007), Constraint Integer Programming, appendix A.3; as in Mittelmann,
        "Benchmarks for optimization software".
    """
    # Sorted: a vectorised logarithm need not give the same last bit at every position.
    ordered = np.sort(_checked("values", values).ravel())
    if not ordered.size:
        raise ValueError("values are empty: a mean needs at least one")
    if not 0 <= shift < math.inf:
        raise ValueError(f"shift must be finite and not negative; got {shift:g}")
    if shift > 0:
        return shift * math.expm1(math.fsum(np.log1p(ordered / shift)) / len(ordered))
    if ordered[0] == 0:
        raise ValueError("a geometric mean without a shift needs positive values; got 0")
    return math.exp(math.fsum(np.log(ordered)) / len(ordered))


def censored_geometric_mean(times: ArrayLike, spent: ArrayLike, shift: float) -> GeometricMean:
    """The shifted geometric mean of a censored sample: a miss enters with what it spent.

    A run that missed would have taken longer, so with any miss the result is a lower bound.

    Raises:
        ValueError: as `expected_running_time` and `shifted_geometric_mean`.
    Source: as `shifted_geometric_mean`; both benchmarks enter a miss with its time limit.
    """
    hits, misses = _hits_and_misses(times, spent)
    used = np.concatenate([hits, misses])
    return GeometricMean(shifted_geometric_mean(used, shift), len(used), len(misses))


def area_under_log_gap(
    x: ArrayLike, relative_gap: ArrayLike, *, low: float, high: float, floor: float
) -> float:
    """The mean of log10 of the relative gap over log time, in decades; lower is better.

        A = 1 / ln(high / low) * int_{low}^{high} log10 max(min(r(x), r_0), floor) dx / x

    r(x) is the relative gap at the last snapshot at or before x, and r_0 where there is none yet.
    It is not the best one so far. A gap above r_0, or one that is not finite, counts as r_0.
    Otherwise gaps of 1e30 would dominate every mean over runs.

    Args:
        x: seconds, passes or calls at each snapshot, not decreasing, shape (k,).
        relative_gap: r at each snapshot, the start first, not negative, shape (k,).
        low, high: the window, 0 < low < high.
        floor: gaps below it count as equal to it; positive.
    Returns:
        In [log10 floor, log10 r_0], or log10 floor if r_0 is below the floor.
    Raises:
        ValueError: an argument out of range, or shapes that disagree.
    Source: Lopez-Ibanez, Vermetten, Dreo and Doerr (2024), "Using the empirical attainment
        function for analyzing single-objective black-box optimization algorithms"; theirs is of
        the best gap so far.
    """
    x, r = np.asarray(x, dtype=np.float64), np.asarray(relative_gap, dtype=np.float64)
    if x.ndim != 1 or x.shape != r.shape or not len(x):
        raise ValueError(f"x and relative_gap must be of one shape (k,); got {x.shape}, {r.shape}")
    if not (np.isfinite(x).all() and (np.diff(x) >= 0).all()):
        raise ValueError("x must be finite and must not decrease")
    if not np.isfinite(r[0]) or (r < 0).any():
        raise ValueError("relative_gap must not be negative, and must start with a finite value")
    if not (0 < low < high < math.inf and 0 < floor < math.inf):
        raise ValueError(
            f"needs 0 < low < high and floor > 0; got low={low:g}, high={high:g}, floor={floor:g}"
        )
    edges = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    last = np.searchsorted(x, edges[:-1], side="right") - 1
    held = r[np.maximum(last, 0)]
    decades = np.log10(np.maximum(np.fmin(held, r[0]), floor))
    widths = np.diff(np.log(edges))
    return math.fsum(widths * decades) / math.fsum(widths)


def _hits_and_misses(times: ArrayLike, spent: ArrayLike) -> tuple[Values, Values]:
    """Times of the hits, and what the misses spent; both flat and sorted."""
    times, spent = checked_times(times), _checked("spent", spent)
    if times.shape != spent.shape:
        raise ValueError(f"spent must be of the shape of times, {times.shape}; got {spent.shape}")
    missed = np.isnan(times)
    return np.sort(times[~missed]), np.sort(spent[missed])


def _checked(name: str, values: ArrayLike) -> Values:
    checked = np.asarray(values, dtype=np.float64)
    wrong = checked[~(np.isfinite(checked) & (checked >= 0))]
    if wrong.size:
        raise ValueError(f"{name} must be finite and not negative; got {wrong[0]:g}")
    return checked
