"""What a fitted w is worth on rows that it has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.problems import Problem
from bench.score.optimum import Optimum

Vector = NDArray[np.float64]


def on_test_split(problem: Problem, w: Vector, optimum: Optimum) -> dict[str, float | None]:
    """Quality on the test split; None where there is no split, or no optimum to agree with.

    Returns:
        test_nll: mean NLL in nats, without the penalty.
        test_accuracy: fraction of labels predicted by the sign of x . w.
        label_agreement: fraction of test rows on which w and w* predict the same label.
    """
    if problem.X_test is None or problem.y_test is None:
        return {"test_nll": None, "test_accuracy": None, "label_agreement": None}
    with np.errstate(over="ignore", invalid="ignore"):
        z = problem.X_test @ w
        margins = (2 * problem.y_test - 1) * z
        nll = np.maximum(-margins, 0) + np.log1p(np.exp(-np.abs(margins)))
    if not np.isfinite(nll).all():
        return {"test_nll": None, "test_accuracy": None, "label_agreement": None}
    agreement = ((problem.X_test @ optimum.w > 0) == (z > 0)).mean() if optimum.exists else None
    return {
        "test_nll": float(nll.mean()),
        "test_accuracy": float(((z > 0) == problem.y_test).mean()),
        "label_agreement": None if agreement is None else float(agreement),
    }
