"""The two kinds of optimizers: those that report on the way, and solvers that are fitted anew.

Both are frozen dataclasses. Their fields are the parameters of their spec. A field has a default
and one of these types: int, float, str, bool, a Literal, or one of them or None.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from logreg_kernels.contract import Objective

OnStep: TypeAlias = Callable[[Any], None]
"""Called with the current w after every step that changed it. May end the run by raising."""


class Stop(Enum):
    """Why a run returned."""

    CONVERGED = "converged"  # the optimizer's own stopping test was met
    BUDGET = "budget"  # it had done all the steps it was asked for


class Shuffler(Protocol):
    """What draws the order of mini-batches, such as numpy.random.Generator."""

    def permutation(self, x: int, /) -> NDArray[Any]:
        """The integers 0 .. x-1 in random order."""


@dataclass(frozen=True)
class Fit:
    """What one fit of a `RefitSolver` returned.

    Args:
        w: coefficients, shape (d,) or (c, d).
        iterations: their number, as the solver counts them.
        converged: whether its own stopping test was met before `max_iter`.
        passes: number of passes over the rows, if the solver's iterations are passes; else None.
    """

    w: NDArray[np.floating[Any]]
    iterations: int
    converged: bool
    passes: float | None = None


class SupportsRun(Protocol):
    """Any object with a `run` method: an `Optimizer`, or a class of the user's own."""

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""


class SupportsFit(Protocol):
    """Any object with these members: a `RefitSolver`, or a class of the user's own."""

    @property
    def library(self) -> str:
        """See `RefitSolver.library`."""

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        """See `RefitSolver.unavailable`."""

    def fit(self, X: NDArray[Any], y: NDArray[Any], *, l2: float, max_iter: int, seed: int) -> Fit:
        """See `RefitSolver.fit`."""


class _Needs:
    """What optimizers of both kinds declare, with defaults."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Which of `hvp` and `hessian` it uses, the objective's or its own.

        An optimizer that needs a Hessian is not run where a Hessian does not fit into memory.
        """
        return ()

    @property
    def implementation(self) -> type:
        """The class whose source a record depends on."""
        return type(self)


class Optimizer(_Needs, ABC):
    """An algorithm that reports on the way."""

    batch_size: int | None = None
    """Rows of a mini-batch; None where every step reads all rows."""

    @abstractmethod
    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """Minimise `objective` from `w0` until converged or told to stop.

        Args:
            objective: bound data; call its `value_and_grad`, and those methods that are in `needs`.
            w0: start, of shape `objective.coefficient_shape`, in the objective's library and on
                its device; not modified.
            rng: the only source of randomness.
            on_step: to be called with w after every step. The recorder takes its own copies, so w
                may be updated in place afterwards.
        """


class RefitSolver(_Needs, ABC):
    """A solver with a loss of its own that can't report on the way.

    It is fitted anew with growing iteration budgets, each fit from zeros and timed alone.
    """

    library: str
    """The library whose loss it minimises. Tables show it in the place of a kernel."""

    takes_csr: bool = False
    """Whether `fit` also takes X as CSR."""

    @abstractmethod
    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        """None if it can minimise such an objective here, else the reason why not."""

    @abstractmethod
    def fit(self, X: NDArray[Any], y: NDArray[Any], *, l2: float, max_iter: int, seed: int) -> Fit:
        """Minimise the same f as the kernels, from w = 0, for at most `max_iter` iterations.

        Args:
            X: design matrix, shape (n, d), of the run's dtype; row-contiguous, or CSR.
            y: labels 0 ... c - 1, shape (n,), integers.
            l2: penalty of f = mean NLL + l2/2 ||w||^2; there is no intercept.
            seed: of its random numbers, if it draws any.
        """


def as_optimizer(given: Any) -> Optimizer | RefitSolver:
    """The user's own object as an `Optimizer` or a `RefitSolver`, with defaults filled in.

    Args:
        given: an object that `SupportsRun` or `SupportsFit` describes. Other members of the base
            classes are optional.
    Raises:
        InputError: it has neither `run` nor all of `fit`, `unavailable` and `library`.
    """
    if isinstance(given, Optimizer | RefitSolver):
        return given
    if hasattr(given, "run"):
        return _UsersOptimizer(given)
    lacking = [name for name in ("fit", "unavailable", "library") if not hasattr(given, name)]
    if lacking:
        raise InputError(
            "an optimizer is a spec, or has a run method, or fit, unavailable and library; "
            f"got {given!r}, without {lacking[0]}"
        )
    return _UsersSolver(given, given.library, getattr(given, "takes_csr", False))


@dataclass(frozen=True)
class _Given:
    """What the user's own object declares, with the defaults of the base classes."""

    given: Any

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(getattr(self.given, "needs", ()))

    @property
    def implementation(self) -> type:
        return type(self.given)


@dataclass(frozen=True)
class _UsersOptimizer(_Given, Optimizer):
    given: SupportsRun

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        return self.given.run(objective, w0, rng, on_step)


@dataclass(frozen=True)
class _UsersSolver(_Given, RefitSolver):
    given: SupportsFit
    library: str
    takes_csr: bool

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        return self.given.unavailable(l2=l2, n_classes=n_classes, dtype=dtype)

    def fit(self, X: NDArray[Any], y: NDArray[Any], *, l2: float, max_iter: int, seed: int) -> Fit:
        return self.given.fit(X, y, l2=l2, max_iter=max_iter, seed=seed)
