"""scikit-learn's LogisticRegression, by each of its solvers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bench.optimizers.contract import Fit
from bench.optimizers.peer_library import Peer, noting_warnings

# newton-cg warns of the first two before it tries another line search, or gives up with another
# warning. scikit-learn 1.8 warns of the last for C = inf, its way to have no penalty.
_NOISE = (
    "The line search algorithm did not converge|Rounding errors prevent the line search|"
    "Setting penalty=None will ignore the C"
)


@dataclass(frozen=True)
class SklearnRefit(Peer):
    """sklearn.linear_model.LogisticRegression, on the same objective in its own scaling.

        C sum_i nll_i + 1/2 ||w||^2,    C = 1 / (n l2);    C = inf without a penalty

    Iterations are counted by the solver. One of sag or saga is a pass: n draws of a row with
    replacement. newton-cholesky switches to lbfgs when its line search fails, and counts on. Such
    a run has not converged.

    Args:
        tol: threshold of the solver's own test. It bounds the gradient's largest entry (lbfgs,
            newton-*), the gradient's norm relative to that at 0 (liblinear), or the largest change
            of a coefficient in a pass, relative to the largest coefficient (sag, saga). lbfgs also
            stops when an iteration lowers f by less than 1.4e-14. In float32 gradients may stay
            above 1e-7: then the newton solvers do not converge, unless tol is raised.

    Source: Pedregosa et al. (2011), "Scikit-learn: machine learning in Python"; liblinear: Fan et
        al. (2008), by Lin, Weng and Keerthi (2008), "Trust region Newton method for large-scale
        logistic regression"; sag: Schmidt, Le Roux and Bach (2017), "Minimizing finite sums with
        the stochastic average gradient"; saga: Defazio, Bach and Lacoste-Julien (2014), "SAGA".
    """

    library = "scikit-learn"

    solver: Literal["lbfgs", "newton-cg", "newton-cholesky", "liblinear", "sag", "saga"] = "lbfgs"
    tol: float = 1e-10

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RefitSolver.needs`."""
        return ("hessian",) if self.solver == "newton-cholesky" else ()

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        """None, or why this solver can't minimise such an objective."""
        if self.solver == "liblinear":
            if n_classes > 2:
                return "liblinear fits two classes only"
            if l2 == 0:
                return "liblinear needs a penalty: set l2 > 0"
            if dtype != "float64":
                return f"liblinear computes in float64 whatever it is given, not in {dtype}"
        version = sklearn.__version__
        release = tuple(int(part) for part in version.split(".")[:2])
        if release < (1, 6) and self.solver == "newton-cholesky" and n_classes > 2:
            return (
                f"scikit-learn {version} fits more than two classes one against the rest here, "
                "which is another objective: pip install 'scikit-learn>=1.6'"
            )
        if release < (1, 9) and self.solver not in ("sag", "saga") and dtype != "float64":
            return (
                f"scikit-learn {version} computes in float64 here, or in both types, whatever it "
                f"is given, not in {dtype}: pip install 'scikit-learn>=1.9'"
            )
        return None

    def fit(self, X: NDArray[Any], y: NDArray[Any], *, l2: float, max_iter: int, seed: int) -> Fit:
        """See `RefitSolver.fit`."""
        model = LogisticRegression(
            solver=self.solver,
            C=1 / (len(y) * l2) if l2 else np.inf,
            fit_intercept=False,
            tol=self.tol,
            max_iter=max_iter,
            random_state=seed,
        )
        with noting_warnings(gave_up="Line Search failed", noise=_NOISE) as gave_up:
            model.fit(X, y)
        iterations = int(model.n_iter_.max())
        return Fit(
            w=model.coef_ if len(model.coef_) > 1 else model.coef_[0],
            iterations=iterations,
            converged=not gave_up,
            passes=float(iterations) if self.solver in ("sag", "saga") else None,
        )
