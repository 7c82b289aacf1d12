"""What an optimizer is: one that reports on the way, or one that is fitted anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from logreg_kernels import Objective

OnStep: TypeAlias = Callable[[Any], None]
"""Called with the current w after every step that changed it. May end the run by raising."""


class Stop(Enum):
    """Why a run returned."""

    CONVERGED = "converged"  # the optimizer's own stopping test was met
    BUDGET = "budget"  # it had done all the steps it was asked for


class Shuffler(Protocol):
    """Where mini-batches get their order: numpy.random.Generator is one."""

    def permutation(self, x: int, /) -> NDArray[Any]:
        """The integers 0 .. x-1 in random order."""


class Optimizer(Protocol):
    """A named algorithm with its hyper-parameters: a frozen dataclass with these members.

    Its fields are the parameters of its spec, so they carry types (int, float, str, bool, a
    Literal, or one of them or None) and defaults. One that calls more than `value_and_grad` has
    a class attribute `needs` with the names of those methods: `needs = ("hessian",)`.
    """

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """Minimise `objective` from `w0` until converged or told to stop.

        Args:
            objective: bound data; call it through `value_and_grad`, and through those of `hvp`
                and `hessian` that the optimizer needs.
            w0: start, of `objective.coefficient_shape`, in the objective's library and on its
                device; not modified.
            rng: the only source of randomness.
            on_step: to be called with w after every step. The recorder copies w when it wants
                to, so w may be updated in place afterwards.
        """


@dataclass(frozen=True)
class Fit:
    """What one fit of a `RefitSolver` returned.

    Args:
        w: coefficients, shape (d,) or (c, d).
        iterations: that it did, as the solver counts them.
        converged: its own stopping test was met before `max_iter`.
        passes: over the rows, where the solver's iterations are passes; else None.
    """

    w: NDArray[np.floating[Any]]
    iterations: int
    converged: bool
    passes: float | None = None


class RefitSolver(Protocol):
    """A solver with a loss of its own that can't report on the way: a frozen dataclass, too.

    It is fitted anew with growing iteration budgets, each fit from zeros and timed alone.
    """

    library: ClassVar[str]
    """The distribution whose loss it runs on: what tables show where others name a kernel.

    Two more attributes are optional: `takes_csr = True` where `fit` takes X as CSR, too, and
    `needs` with "hessian" in it where it forms one, so that it is not run where none would fit.
    """

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        """None if it can minimise such an objective here, else the reason in words."""

    def fit(self, X: NDArray[Any], y: NDArray[Any], *, l2: float, max_iter: int, seed: int) -> Fit:
        """Minimise the same f as the kernels, from w = 0, for at most `max_iter` iterations.

        Args:
            X: design matrix, shape (n, d), of the run's dtype; row-contiguous, or CSR.
            y: labels 0 ... c - 1, shape (n,), integers.
            l2: penalty of f = mean NLL + l2/2 ||w||^2; there is no intercept.
            seed: of whatever is random in it.
        """
