"""Quality of a fitted w on test rows, and its distance to the optimum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from bench.optima.coordinates import coordinates
from bench.optima.optimum import Optimum
from bench.optima.rounding import Matrix, Vector
from bench.problems import Problem
from bench.records.score import Quality


def quality(problem: Problem, w: Vector, optimum: Optimum) -> Quality:
    """Quality on the test split, and the distance to w*.

    All numbers are missing if w is not finite. Those on test rows are missing without a test
    split, and those that compare with w* without a proved optimum.
    """
    if not np.isfinite(w).all():
        return Quality()
    distance = None
    if optimum.exists:
        distance = float(np.linalg.norm(coordinates(problem).project(w - optimum.w)))
    only_distance = Quality(distance_to_optimum=distance)
    if problem.X_test is None or problem.y_test is None:
        return only_distance
    y = problem.y_test
    with np.errstate(over="ignore", invalid="ignore"):
        log_p = log_probabilities(problem.X_test, w)
    log_p_of_label = log_p[np.arange(len(y)), y]
    if not np.isfinite(log_p_of_label).all():
        return only_distance
    predicted, probabilities = log_p.argmax(axis=1), np.exp(log_p)
    agreement = None
    if optimum.exists:
        at_optimum = log_probabilities(problem.X_test, optimum.w).argmax(axis=1)
        agreement = float((predicted == at_optimum).mean())
    return Quality(
        test_nll=float(-log_p_of_label.mean()),
        test_accuracy=float((predicted == y).mean()),
        test_brier=brier_score(probabilities, y),
        test_calibration_error=calibration_error(probabilities, y),
        label_agreement=agreement,
        distance_to_optimum=distance,
    )


def log_probabilities(X: Matrix, w: Vector) -> Matrix:
    """log p of every class, shape (n, c), for w (d,) of two classes or W (c, d) of more."""
    logits = X @ w.T
    if logits.ndim == 1:
        logits = np.column_stack([np.zeros_like(logits), logits])
    return np.asarray(log_softmax(logits, axis=1))


def brier_score(probabilities: Matrix, y: NDArray[np.intp]) -> float:
    """Mean squared error of the probabilities: between 0 and 1 for two classes, 2 for more.

        two classes: 1/n sum_i (p_i1 - y_i)^2,    more: 1/n sum_i sum_k (p_ik - [k = y_i])^2

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability"; two
        classes as scikit-learn's brier_score_loss has it, half of the general form.
    """
    error = probabilities - np.eye(probabilities.shape[1])[y]
    per_row = (error**2).sum(axis=1)
    return float(per_row.mean() / (2 if probabilities.shape[1] == 2 else 1))


def calibration_error(probabilities: Matrix, y: NDArray[np.intp], n_bins: int = 15) -> float:
    """Expected calibration error: how far confidence is from accuracy, over bins of confidence.

        sum_b |B_b|/n |accuracy(B_b) - mean confidence(B_b)|

    with confidence the largest probability, and bins (0, 1/15], ..., (14/15, 1]. The number of
    bins is that of the source.

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks",
        eq. (3).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    difference = np.bincount(bins, weights=correct - confidence, minlength=n_bins)
    return float(np.abs(difference).sum() / len(y))
