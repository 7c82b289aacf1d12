"""The notebook's last section, which it left to its reader: three species, two losses.

LogSoftmax with NLLLoss, and bare logits with CrossEntropyLoss, should give the same results. Both
are run here as modules on the notebook's rows. They are compared with each other, with scikit-learn
and with the proved optimum.

Source: probml/pyprobml, notebooks/book1/10/logreg_pytorch.ipynb, "Multi-class logistic regression".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from bench.measure.budget import Budget
from bench.measure.cell import run_optimizer
from bench.measure.verify import verify
from bench.notebook.objective import bind_loss, model_of
from bench.notebook.result import MulticlassFit
from bench.optima.optimum import Optimum, exact_sum_value, solve
from bench.optimizers import make_reporting_optimizer
from bench.problems import Problem, load_problem
from bench.score.gaps import gaps
from bench.score.quality import quality

Matrix = NDArray[np.float64]

_OPTIMIZER = "lbfgs:line_search=strong_wolfe"
# How far two fits of one strongly convex f may end from each other: L-BFGS stops at a gradient of
# 1e-9 and scikit-learn at 1e-12, over a curvature of at least l2 = 1e-3.
_AGREEMENT = 2e-6

LOSSES: dict[str, tuple[Callable[[int, int], nn.Module], nn.Module]] = {
    "LogSoftmax + NLLLoss": (
        lambda d, c: nn.Sequential(nn.Linear(d, c, bias=False), nn.LogSoftmax(dim=1)),
        nn.NLLLoss(),
    ),
    "logits + CrossEntropyLoss": (
        lambda d, c: nn.Sequential(nn.Linear(d, c, bias=False)),
        nn.CrossEntropyLoss(),
    ),
}


def run_multiclass() -> tuple[MulticlassFit, ...]:
    """Fit `iris3` with scikit-learn and with both losses."""
    problem = load_problem("iris3")
    optimum = solve(problem)
    W_sklearn = _by_sklearn(problem)
    rows = [_row("scikit-learn", problem, optimum, W_sklearn, W_sklearn)]
    for name, (make, loss) in LOSSES.items():
        with torch.random.fork_rng(devices=[]):  # a layer draws its weights, which are not used
            model = model_of(make(problem.n_features, problem.n_classes))
        objective: Any = bind_loss(problem, name, model, loss, "float64", problem.y)
        verify(objective, problem)
        budget = Budget(passes=10_000, seconds=60.0)
        optimizer = make_reporting_optimizer(_OPTIMIZER)
        trace = run_optimizer(objective, optimizer, np.random.default_rng(0), budget)
        rows.append(_row(name, problem, optimum, trace.w[-1], W_sklearn))
    return tuple(rows)


def _by_sklearn(problem: Problem) -> Matrix:
    """scikit-learn's W, to a gradient of 1e-12: C = 1 / (n l2), no intercept, Newton's method."""
    model = LogisticRegression(
        C=1 / (problem.n_samples * problem.l2),
        fit_intercept=False,
        solver="newton-cg",
        tol=1e-12,
        max_iter=1_000,
    )
    return np.asarray(model.fit(problem.X, problem.y).coef_)


def _row(
    name: str, problem: Problem, optimum: Optimum, W: Matrix, W_sklearn: Matrix
) -> MulticlassFit:
    f = exact_sum_value(problem, W)
    measured = gaps(np.array([math.log(problem.n_classes), f]), optimum)
    found = quality(problem, W, optimum)
    from_optimum = float(np.abs(W - optimum.w).max())
    from_sklearn = float(np.abs(W - W_sklearn).max())
    return MulticlassFit(
        fit=name,
        f=f,
        relative_gap=float(measured.relative[-1]),
        from_optimum=from_optimum,
        from_sklearn=from_sklearn,
        test_accuracy=found.test_accuracy,
        label_agreement=found.label_agreement,
        agrees=max(from_optimum, from_sklearn) <= _AGREEMENT,
    )
