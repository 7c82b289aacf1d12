"""A cost of a stretch of a series, for ruptures, to which each value adds a bounded amount."""

from __future__ import annotations

import numpy as np
from ruptures.base import BaseCost

from bench.statistics.intervals import Values

_GRID = 0.1


class BoundedCost(BaseCost):  # type: ignore[misc]  # ruptures has no types
    """Squared distances of the values of a stretch from one level, each at most K^2.

        C(start, end) = min_m sum_(start <= t < end) min((y_t - m)^2, K^2)

    m is rounded to a multiple of 0.1. For a stretch of 100 values that adds at most 0.25.

    Args:
        bound: K, in standard deviations of the noise of y.
        min_size: the fewest values of a stretch.
    Source: Fearnhead and Rigaill (2019), "Changepoint detection in the presence of outliers",
        Journal of the American Statistical Association 114: the biweight loss.
    """

    model = "bounded"

    def __init__(self, bound: float, min_size: int) -> None:
        self.bound = bound
        self.min_size = min_size
        self._costs: list[list[float]] = []

    def fit(self, signal: Values) -> BoundedCost:
        """Compute the costs of all stretches of y, shape (n,)."""
        y = np.asarray(signal, dtype=np.float64).ravel()
        self.signal = y[:, None]  # ruptures asks for its length
        near = np.arange(-round(self.bound / _GRID), round(self.bound / _GRID) + 1)
        levels = np.unique(np.round(y / _GRID)[:, None] + near) * _GRID
        losses = np.minimum((y[:, None] - levels) ** 2, self.bound**2)
        sums = np.vstack([np.zeros(len(levels)), np.cumsum(losses, axis=0)])
        # As lists: ruptures looks them up one by one.
        self._costs = [(sums[i + 1 :] - sums[i]).min(axis=1).tolist() for i in range(len(y))]
        return self

    def error(self, start: int, end: int) -> float:
        """C(start, end)."""
        return self._costs[start][end - start - 1]
