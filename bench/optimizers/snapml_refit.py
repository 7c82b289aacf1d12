"""Snap ML's logistic regression."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse

from bench.optimizers.contract import Fit
from bench.optimizers.peer_library import Peer, not_installed


@dataclass(frozen=True)
class SnapMLRefit(Peer):
    """snapml.LogisticRegression: coordinate descent on the same objective in its own scaling.

        sum_i nll_i + regularizer/2 ||w||^2,    regularizer = n l2

    An iteration is an epoch: a visit of every coordinate. snapml always stores X in float32.
    Therefore it is run in float32 only.

    Args:
        dual: minimise over the dual, as snapml does by default. The default here is the primal:
            for a small penalty the dual ends at relative gaps of 1e-8 to 1e-5, whatever `tol`.
        tol: it stops when no coefficient changes by more in an epoch.
        n_jobs: number of threads.

    Source: Duenner et al. (2018), "Snap ML: a hierarchical framework for machine learning"; dual:
        Shalev-Shwartz and Zhang (2013), "Stochastic dual coordinate ascent methods for
        regularized loss minimization".
    """

    library = "snapml"

    dual: bool = False
    tol: float = 1e-9
    n_jobs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_jobs < 1:
            raise ValueError(f"n_jobs must be at least 1; got {self.n_jobs}")

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        """None, or why snapml can't minimise such an objective here."""
        if n_classes > 2:
            return "snapml fits more than two classes one against the rest: another objective"
        if l2 == 0:
            return "snapml needs a penalty: set l2 > 0"
        if dtype != "float32":
            return f"snapml stores X in float32 whatever it is given, not in {dtype}"
        return not_installed("snapml")

    def fit(self, X: NDArray[Any], y: NDArray[Any], *, l2: float, max_iter: int, seed: int) -> Fit:
        """See `RefitSolver.fit`. The order of coordinates is the same for every seed."""
        model = _logistic_regression()(
            regularizer=len(y) * l2,
            dual=self.dual,
            tol=self.tol,
            max_iter=max_iter,
            n_jobs=self.n_jobs,
            random_state=seed,
        )
        model.fit(csr_matrix(X) if issparse(X) else X, y)  # it does not know SciPy's csr_array
        iterations = int(model.n_iter_)
        return Fit(w=model.coef_[0], iterations=iterations, converged=iterations < max_iter)


@cache
def _logistic_regression() -> Callable[..., Any]:
    """snapml's class, imported on another thread.

    Its libraries let the processor flush subnormal numbers to zero, on the thread that loads
    them. On this thread that would change what every kernel computes from then on.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(1) as thread:
        # It reads NumPy's list of processor features under a name that NumPy 2 has deprecated.
        warnings.filterwarnings("ignore", message="numpy.core._multiarray_umath")
        snapml = thread.submit(import_module, "snapml").result()
    return snapml.LogisticRegression  # type: ignore[no-any-return]
