"""glum's generalised linear models, where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from bench.optimizers.contract import Fit, RefitSolver
from bench.optimizers.peer_library import OLD_OPTION, not_installed, noting_warnings


@dataclass(frozen=True)
class GlumRefit(RefitSolver):
    """glum.GeneralizedLinearRegressor, family binomial: the same objective in its own words.

        1/(2n) deviance(w) + alpha/2 ||w||^2,    deviance = 2 sum_i nll_i,    alpha = l2

    Columns are taken as they are, without scaling or an intercept: glum scales them for itself,
    and its penalty with them. In float32 it forgets the penalty of columns with a standard
    deviation below 3.5e-3 (glum 3.4.1, tabmat 4.2.1), so that it has no place there.

    Args:
        solver: lbfgs is scipy's; irls is iteratively reweighted least squares, Newton's method
            with a line search, whose equations are solved directly.
        tol: the gradient's largest entry that is small enough. lbfgs also ends where an iteration
            lowers f by less than 2.2e-14.

    Source: glum (github.com/Quantco/glum); irls: Yuan, Ho and Lin (2012), "An improved GLMNET for
        L1-regularized logistic regression", without its l1 penalty.
    """

    library = "glum"
    takes_csr = True

    solver: Literal["lbfgs", "irls"] = "irls"
    tol: float = 1e-10

    def __post_init__(self) -> None:
        if self.tol < 0:
            raise ValueError(f"tol must not be negative; got {self.tol:g}")

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
        """See `RefitSolver.fit`; nothing in it is random."""
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
            gave_up="lbfgs failed",
            noise=f"{OLD_OPTION}|Sigmoid function too close to 0 or 1. Clipping",
        ) as gave_up:
            model.fit(X, y)
        return Fit(w=model.coef_, iterations=int(model.n_iter_), converged=not gave_up)
