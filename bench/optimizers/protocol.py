"""What an optimizer is."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, TypeAlias

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
    """A named algorithm with its hyper-parameters: a frozen dataclass with these two members.

    Its fields are the parameters of its spec, so they carry types (int, float, str, bool, a
    Literal, or one of them or None) and defaults.
    """

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """Minimise `objective` from `w0` until converged or told to stop.

        Args:
            objective: bound data; call it through `value_and_grad`.
            w0: start, shape (d,), in the objective's library and on its device; not modified.
            rng: the only source of randomness.
            on_step: to be called with w after every step. The recorder copies w when it wants
                to, so w may be updated in place afterwards.
        """
