"""The notebook's experiments, run and scored like every other run.

Each experiment is one run of `run_optimizer`, on the notebook's data, start and order of rows. It
is scored against the proved optimum. The loss is the kernel `torch-autograd` in float32, or the
notebook's own where the printed digits depend on how it computed the loss.

Source: probml/pyprobml, notebooks/book1/10/logreg_pytorch.ipynb. What it printed is kept in
    outputs.json.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bench.measure.budget import Budget
from bench.measure.cell import bind_and_verify, run_optimizer
from bench.measure.recorder import Trace, to_float64
from bench.measure.verify import verify
from bench.notebook.models import (
    MODULES,
    HandWrittenSGD,
    LBFGSCalls,
    Model,
    bare_parameter,
    module_start,
    parameter_start,
)
from bench.notebook.multiclass import run_multiclass
from bench.notebook.objective import bind_sigmoid_bce, model_of
from bench.notebook.result import (
    PRINTED_BY_NUMPY,
    NotebookResult,
    Reproduction,
    Run,
    floats,
    printed_figures,
    reproductions,
)
from bench.optima.optimum import Optimum, solve
from bench.optimizers import Optimizer, make_reporting_optimizer
from bench.problems import Problem, load_problem
from bench.score.score import score
from logreg_kernels import bind

Vector = NDArray[np.float64]

KERNEL = "torch-autograd"
NOTEBOOK_LOSS = "sigmoid + BCELoss"
MODULE_LOSS = "nn.Module + BCELoss"

_WHOLE_RUN = Budget(passes=math.inf, seconds=math.inf)
_EPOCHS = "batch_size=33,epochs=100"
_LBFGS, _SGD_BY_HAND = "lbfgs, 10 calls of step", f"sgd by hand:lr=0.1,{_EPOCHS}"
_LOOPS: Mapping[str, Callable[[], Optimizer]] = {_LBFGS: LBFGSCalls, _SGD_BY_HAND: HandWrittenSGD}


@dataclass(frozen=True)
class Experiment:
    """One run of the notebook's, or a variant of it.

    Args:
        name: what the notebook calls it.
        printed: key of its printed figures; None for a variant that the notebook does not have.
        optimizer: a spec, or the name of one of the notebook's own loops.
        loss: KERNEL, NOTEBOOK_LOSS or MODULE_LOSS.
    """

    name: str
    printed: str | None
    optimizer: str
    loss: str


EXPERIMENTS = (
    # With both losses, rounding in float32 decides where LBFGS ends: see `result._OPEN_UNITS`.
    Experiment("LBFGS", "torch_lbfgs", _LBFGS, KERNEL),
    Experiment("LBFGS", "torch_lbfgs", _LBFGS, NOTEBOOK_LOSS),
    Experiment("SGD by hand", "sgd", _SGD_BY_HAND, KERNEL),
    Experiment("SGD", "sgd", f"sgd:lr=0.1,{_EPOCHS}", KERNEL),
    # Momentum overshoots until rows are wrong with |z| > 17. The notebook's loss drops their
    # gradient, so that the same run on the exact gradient ends elsewhere: see `bind_sigmoid_bce`.
    Experiment("momentum", "momentum", f"momentum:lr=0.1,{_EPOCHS}", NOTEBOOK_LOSS),
    Experiment("momentum", None, f"momentum:lr=0.1,{_EPOCHS}", KERNEL),
    Experiment("Adam on a module", "adam_module", f"adam:lr=0.1,{_EPOCHS}", MODULE_LOSS),
    Experiment("LBFGS on a module", "lbfgs_module", _LBFGS, MODULE_LOSS),
)


def run_notebook() -> NotebookResult:
    """Run all experiments of the notebook: about 2,500 steps.

    torch's global generator is left as it was found.
    """
    problem = load_problem("iris")
    optimum = solve(problem)
    # C = 1e5 is next to no penalty; the notebook has no intercept.
    fitted = LogisticRegression(solver="lbfgs", C=1e5, fit_intercept=False)
    fitted.fit(problem.X, problem.y)
    with torch.random.fork_rng(devices=[]):
        modules = {name: make(problem.n_features) for name, make in MODULES.items()}
    models = {name: model_of(module) for name, module in modules.items()}
    X_test = np.asarray(problem.X_test, dtype=np.float64)
    setting = _Setting(problem, optimum, fitted.coef_[0], models, X_test)
    reproduced = setting.at_sklearn()
    runs = [setting.sklearn_run(int(fitted.n_iter_[0]))]
    for experiment in EXPERIMENTS:
        run, found = setting.run(experiment)
        runs.append(run)
        if experiment.printed is not None:
            printed = printed_figures()[experiment.printed]
            reproduced += reproductions(experiment.name, experiment.loss, printed, found)
    return NotebookResult(tuple(reproduced), tuple(runs), run_multiclass())


@dataclass(frozen=True)
class _Setting:
    """What the experiments share."""

    problem: Problem
    optimum: Optimum
    w_sklearn: Vector
    models: Mapping[str, Model]
    X_test: Vector

    def at_sklearn(self) -> list[Reproduction]:
        """What the notebook computes at scikit-learn's w: by hand, by autograd, by modules."""
        printed, w = printed_figures(), self.w_sklearn
        section = printed["sklearn_lbfgs"]
        by_hand = {"coef": w, "test_probabilities": expit(self.X_test @ w)}
        by_hand |= self._test_loss("numpy", "float64")
        rows = reproductions(
            "scikit-learn, loss by hand", "numpy", section, by_hand, PRINTED_BY_NUMPY
        )
        rows += reproductions(
            "autograd at scikit-learn's coef",
            KERNEL,
            printed["torch_autograd_at_sklearn_coef"],
            self._test_loss(KERNEL, "float32"),
        )
        for name, model in self.models.items():
            only = {"test_probabilities": section["test_probabilities"]}
            found = {"test_probabilities": self._probabilities(model, w)}
            rows += reproductions(f"{name} at scikit-learn's coef", "", only, found)
        return rows

    def run(self, experiment: Experiment) -> tuple[Run, dict[str, Any]]:
        """One experiment's score, and all that the notebook prints of such a run."""
        on_module = experiment.loss == MODULE_LOSS
        model = self.models["nn.Module subclass"] if on_module else bare_parameter
        objective: Any
        if experiment.loss == KERNEL:
            objective = bind_and_verify(self.problem, KERNEL, "cpu", "float32").objective
        else:
            objective = bind_sigmoid_bce(self.problem, model)
            verify(objective, self.problem)
        start = module_start if on_module else parameter_start
        w0, order = start(self.problem.n_features)
        own_loop = _LOOPS.get(experiment.optimizer)
        optimizer = own_loop() if own_loop else make_reporting_optimizer(experiment.optimizer)
        trace = run_optimizer(objective, optimizer, order, _WHOLE_RUN, w0)
        w = trace.w[-1]
        probabilities = self._probabilities(model, w)
        labels = expit(self.X_test @ self.w_sklearn) > 0.5
        agreement = float(((probabilities > 0.5) == labels).mean())
        found = {
            "coef": w,
            "test_probabilities": probabilities,
            "label_agreement_with_sklearn": agreement,
            # LBFGS.step returns the loss that it starts from, so the last w's is not among them.
            "losses": [float(objective.value_and_grad(w)[0]) for w in trace.w[:-1]],
        }
        result = score(self.problem, trace, self.optimum)
        names = (experiment.name, experiment.loss, experiment.optimizer)
        return Run(*names, floats(w), result, agreement), found

    def sklearn_run(self, n_iter: int) -> Run:
        """scikit-learn's fit, from zeros. Its trace has the two ends only, and no times."""
        not_counted = np.array([0.0, math.nan])
        trace = Trace(
            step=np.array([0, n_iter]),
            elapsed_s=not_counted,
            oracle_calls=not_counted,
            rows_read=not_counted,
            w=np.array([np.zeros(self.problem.n_features), self.w_sklearn]),
            stop="converged",
            message="",
            run_s=math.nan,
            spent_s=math.nan,
        )
        result = score(self.problem, trace, self.optimum)
        names = ("scikit-learn", "scikit-learn's", "LogisticRegression(C=1e5)")
        return Run(*names, floats(self.w_sklearn), result, label_agreement_with_sklearn=1.0)

    def _test_loss(self, kernel: str, dtype: str) -> dict[str, Any]:
        """Loss and gradient on the test rows at scikit-learn's w."""
        objective = bind(kernel, self.problem.X_test, self.problem.y_test, dtype=dtype)
        value, grad = objective.value_and_grad(self.w_sklearn)
        return {"test_loss": float(value), "test_grad": to_float64(grad)}

    def _probabilities(self, model: Model, w: Vector) -> Vector:
        """The model's probabilities on the test rows, in float32 as in the notebook."""
        X_test = torch.tensor(self.X_test, dtype=torch.float32)
        with torch.no_grad():
            return to_float64(model(torch.tensor(w, dtype=torch.float32), X_test))
