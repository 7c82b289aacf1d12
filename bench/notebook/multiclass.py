"""The notebook's last section, which it left to its reader: three species, two ways to say it.

LogSoftmax with NLLLoss, and bare logits with CrossEntropyLoss, should give the same results. Both
are run here as modules, on the notebook's rows, and held against each other, against scikit-learn
and against the proved optimum.

Source: probml/pyprobml, notebooks/book1/10/logreg_pytorch.ipynb, "Multi-class logistic regression".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from bench.measure.budget import Budget
from bench.measure.cell import run_optimizer
from bench.measure.verify import verify
from bench.optima.optimum import Optimum, exact_sum_value, solve
from bench.optimizers import make_reporting_optimizer
from bench.problems import Problem, load_problem
from bench.score.gaps import gaps
from bench.score.quality import quality
from logreg_kernels.contract import Array
from logreg_kernels.torch_kernels.data import TorchData
from logreg_kernels.torch_kernels.devices import place

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


@dataclass(frozen=True)
class MulticlassRow:
    """Where one of the three fits ended.

    Args:
        fit: what was fitted.
        f: objective there, nats.
        relative_gap: upper bound on (f - f*) / (f(0) - f*).
        from_optimum, from_sklearn: largest |W - W*| and |W - W_sklearn| over all entries.
        test_accuracy, label_agreement: on the notebook's test rows; with the optimum's labels.
        agrees: both distances are within what the stopping tests explain.
    """

    fit: str
    f: float
    relative_gap: float
    from_optimum: float
    from_sklearn: float
    test_accuracy: float | None
    label_agreement: float | None
    agrees: bool


@dataclass(frozen=True, kw_only=True)
class ModuleObjective(TorchData):
    """f of a module's outputs under a torch loss, with the same penalty as the kernels'."""

    y: torch.Tensor
    module: nn.Module
    loss: nn.Module

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(W) and its gradient; see `Objective.value_and_grad`."""
        leaf = self.checked(w).requires_grad_(True)
        X, y = (self.X, self.y) if rows is None else (self.X[rows], self.y[rows])
        outputs = torch.func.functional_call(self.module, {"0.weight": leaf}, (X,))
        value = self.loss(outputs, y) + 0.5 * self.l2 * (leaf * leaf).sum()
        value.backward()
        return value.detach(), leaf.grad  # type: ignore[return-value]  # backward() has set it


def run_multiclass() -> list[MulticlassRow]:
    """Fit `iris3` by both losses and by scikit-learn."""
    problem = load_problem("iris3")
    optimum = solve(problem)
    W_sklearn = _by_sklearn(problem)
    rows = [_row("scikit-learn", problem, optimum, W_sklearn, W_sklearn)]
    for name, (make, loss) in LOSSES.items():
        objective = _objective(name, make, loss, problem)
        verify(objective, problem)
        budget = Budget(passes=10_000, seconds=60.0)
        optimizer = make_reporting_optimizer(_OPTIMIZER)
        trace = run_optimizer(objective, optimizer, np.random.default_rng(0), budget)
        rows.append(_row(name, problem, optimum, trace.w[-1], W_sklearn))
    return rows


def _objective(
    name: str, make: Callable[[int, int], nn.Module], loss: nn.Module, problem: Problem
) -> Any:
    return ModuleObjective(
        X=place(problem.X, "cpu"),
        y=place(problem.y, "cpu"),
        l2=problem.l2,
        device="cpu",
        dtype="float64",
        coefficient_shape=problem.coefficient_shape,
        kernel=name,
        module=make(problem.n_features, problem.n_classes),
        loss=loss,
    )


def _by_sklearn(problem: Problem) -> Matrix:
    """At its tightest: C = 1 / (n l2), no intercept, Newton's method to a gradient of 1e-12."""
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
) -> MulticlassRow:
    f = exact_sum_value(problem, W)
    measured = gaps(np.array([math.log(problem.n_classes), f]), optimum)
    found = quality(problem, W, optimum)
    from_optimum = float(np.abs(W - optimum.w).max())
    from_sklearn = float(np.abs(W - W_sklearn).max())
    return MulticlassRow(
        fit=name,
        f=f,
        relative_gap=float(measured.relative[-1]),
        from_optimum=from_optimum,
        from_sklearn=from_sklearn,
        test_accuracy=found.test_accuracy,
        label_agreement=found.label_agreement,
        agrees=max(from_optimum, from_sklearn) <= _AGREEMENT,
    )
