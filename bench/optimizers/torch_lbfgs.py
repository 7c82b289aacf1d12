"""torch.optim.LBFGS, over any kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from bench.optimizers.contract import OnStep, Optimizer, Shuffler, Stop
from bench.optimizers.torch_oracle import Parameters, check, parameter, torch_oracle
from logreg_kernels.contract import Objective


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """torch.optim.LBFGS: limited-memory BFGS with a fixed step, or a strong Wolfe line search.

    A step of the trace is one evaluation of the objective, as line-search trials move w, too.
    The tolerances are tighter than torch's own (1e-7, 1e-9), which end short of a relative gap
    of 1e-10.

    Source: Liu and Nocedal (1989), "On the limited memory BFGS method for large scale
        optimization"; Nocedal and Wright (2006), algorithms 3.5 and 7.4.
    """

    lr: float = 1.0
    history_size: int = 10
    max_iter: int = 20
    line_search: Literal["strong_wolfe"] | None = None
    tolerance_grad: float = 1e-9
    tolerance_change: float = 1e-16

    def __post_init__(self) -> None:
        check(self._make, history_size=self.history_size, max_iter=self.max_iter)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """Call `step(closure)` until it ends before its `max_iter` iterations are done."""
        w = parameter(w0)
        value_and_grad = torch_oracle(objective, w0)
        optimizer = self._make([w])
        state = optimizer.state[w]
        evaluated = False

        def closure() -> Any:
            nonlocal evaluated
            if evaluated:
                on_step(w)  # torch has moved w since the last evaluation
            evaluated = True
            value, w.grad = value_and_grad(w)
            return value

        while True:
            before = state.get("n_iter", 0)
            optimizer.step(closure)
            if state.get("n_iter", 0) - before < self.max_iter:
                on_step(w)
                return Stop.CONVERGED

    def _make(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            parameters,
            lr=self.lr,
            history_size=self.history_size,
            max_iter=self.max_iter,
            max_eval=100 * self.max_iter,
            tolerance_grad=self.tolerance_grad,
            tolerance_change=self.tolerance_change,
            line_search_fn=self.line_search,
        )
