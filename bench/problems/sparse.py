"""Sparse synthetic problems of any size, distributed like words in text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.special import expit

from bench.problems.problem import Problem
from logreg_kernels.contract import CSRMatrix

_MOST_BYTES = 1 << 38
_MOST_FILLED = 0.2
_SIGNAL = 2.0  # standard deviation of the true logits: labels neither random nor separable
_INFORMATIVE = 0.1  # probability that a feature has a coefficient other than 0


def sparse(
    n: int = 5_000,
    d: int = 20_000,
    density: float = 0.002,
    seed: int = 0,
    l2: float = 1e-4,
) -> Problem:
    """Documents of random words as tf-idf in CSR, with labels from a sparse logistic model.

        word j of d is drawn with probability p_j proportional to 1 / (1 + rank of j)       (Zipf)
        a document has a Poisson number of words, with a mean that fills `density` of X
        x_ij = (1 + log count_ij) (1 + log((1 + n) / (1 + documents with j))),   ||x_i|| = 1
        P(y_i = 1) = sigmoid(x_i . w),  logits of mean 0 and standard deviation 2, w sparse: each
            w_j is 0 with probability 0.9

    Some columns are nearly full, and most are nearly empty. The column of a word that is in no
    training document is 0, and so is the row of a document without words.

    Args:
        n: training rows; n // 4 test rows are drawn from the same model.
        d: features.
        density: mean fraction of entries that are not 0, in (0, 0.2].
        seed: of numpy.random.default_rng.
        l2: penalty >= 0.
    Raises:
        ValueError: a parameter is out of range.
    Source: Zipf (1949), Human Behavior and the Principle of Least Effort; weights: Manning,
        Raghavan and Schuetze (2008), Introduction to Information Retrieval, section 6.4, with
        scikit-learn's smooth idf.
    """
    if n < 2 or d < 1:
        raise ValueError(f"needs n >= 2 and d >= 1; got n={n}, d={d}")
    if not 0 < density <= _MOST_FILLED:
        raise ValueError(
            f"density must be in (0, {_MOST_FILLED:g}]; got {density:g}: "
            "for dense data there is `synthetic`"
        )
    if 8 * (n * d * density * 4 + d) > _MOST_BYTES:
        raise ValueError(f"X of {n:.3g} x {d:.3g} is too large for memory: use a lower n or d")
    if seed < 0:
        raise ValueError(f"seed must be >= 0; got {seed}")
    rng = np.random.default_rng(seed)
    popularity = 1.0 / (1 + rng.permutation(d))
    popularity /= popularity.sum()
    length = _mean_length(popularity, density * d)
    counts, counts_test = (
        _documents(rows, popularity, length, rng) for rows in (n, max(1, n // 4))
    )
    idf = 1 + np.log((1 + n) / (1 + np.bincount(counts.indices, minlength=d)))
    X, X_test = (_weighted(part, idf) for part in (counts, counts_test))
    w = _true_w(X, rng)
    y, y_test = (rng.random(z.size) < expit(z) for z in (X @ w, X_test @ w))
    name = f"sparse:n={n},d={d},density={density:g},seed={seed}"
    return Problem(name, X, y, l2, X_test=X_test, y_test=y_test)


def _mean_length(popularity: NDArray[np.float64], words: float) -> float:
    """The Poisson mean of draws for which `words` different words occur on average."""

    def excess(log_length: float) -> float:
        return float(-np.expm1(-np.exp(log_length) * popularity).sum()) - words

    return float(np.exp(brentq(excess, np.log(words) - 1, np.log(words) + 60)))


def _documents(
    n: int, popularity: NDArray[np.float64], length: float, rng: np.random.Generator
) -> CSRMatrix:
    """Word counts, shape (n, d), CSR."""
    words = rng.poisson(length, size=n)
    drawn = rng.random(int(words.sum()))
    cumulative = popularity.cumsum()
    column = np.searchsorted(cumulative / cumulative[-1], drawn, side="right")
    row = np.repeat(np.arange(n), words)
    counts = coo_array((np.ones(len(row)), (row, column)), shape=(n, len(popularity)))
    return counts.tocsr()  # which adds up the words that were drawn more than once


def _weighted(counts: CSRMatrix, idf: NDArray[np.float64]) -> CSRMatrix:
    """tf-idf with rows of norm 1."""
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    X = counts.copy()
    X.data = (1 + np.log(counts.data)) * idf[counts.indices]
    X.data /= np.sqrt(np.bincount(row, weights=X.data**2, minlength=counts.shape[0]))[row]
    return X


def _true_w(X: CSRMatrix, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sparse coefficients whose logits have mean 0: the problem has no intercept."""
    informative = rng.random(X.shape[1]) < _INFORMATIVE
    w = rng.standard_normal(X.shape[1]) * informative
    mean = X.mean(axis=0) * informative
    w -= (mean @ w) / (mean @ mean or 1.0) * mean
    return np.asarray(w * (_SIGNAL / ((X @ w).std() or 1.0)))
