"""glum's logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from bench.optimizers.contract import Fit
from bench.optimizers.peer_library import Peer, not_installed, noting_warnings


@dataclass(frozen=True)
class GlumRefit(Peer):
    """glum.GeneralizedLinearRegressor, family binomial: the same objective in its own words.

        1/(2n) deviance(w) + alpha/2 ||w||^2,    deviance = 2 sum_i nll_i,    alpha = l2

    There is no intercept. glum scales the columns internally, and its penalty with them. In
    float32 it drops the penalty of columns with a standard deviation below 3.5e-3 (glum 3.4.1,
    tabmat 4.2.1). Therefore it is not run in float32.

    Args:
        solver: lbfgs is scipy's. irls is iteratively reweighted least squares: Newton's method
            with a line search, whose equations are solved directly.
        tol: the solver stops when no entry of the gradient is larger. lbfgs also stops when an
            iteration lowers f by less than 2.2e-14.

    Source: glum (github.com/Quantco/glum); irls: Yuan, Ho and Lin (2012), "An improved GLMNET for
        L1-regularized logistic regression", without its l1 penalty.
    """

    library = "glum"

    solver: Literal["lbfgs", "irls"] = "irls"
    tol: float = 1e-10

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RefitSolver.needs`."""
        return ("hessian",) if self.solver == "irls" else ()

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        """None, or why glum can't minimise such an objective here."""
        if n_classes > 2:
            return "glum fits two classes only"
        if dtype != "float64":
            return f"glum's penalty is wrong for columns of little variance in {dtype}"
        return not_installed("glum")

    def fit(self, X: NDArray[Any], y: NDArray[Any], *, l2: float, max_iter: int, seed: int) -> Fit:
        """See `RefitSolver.fit`. The seed is not used."""
        from glum import GeneralizedLinearRegressor

        model = GeneralizedLinearRegressor(
            family="binomial",
            alpha=l2,
            l1_ratio=0,
            fit_intercept=False,
            solver={"lbfgs": "lbfgs", "irls": "irls-ls"}[self.solver],
            gradient_tol=self.tol,
            max_iter=max_iter,
        )
        with noting_warnings(
            gave_up="lbfgs failed", noise="Sigmoid function too close to 0 or 1. Clipping"
        ) as gave_up:
            model.fit(X, y)
        return Fit(w=model.coef_, iterations=int(model.n_iter_), converged=not gave_up)
