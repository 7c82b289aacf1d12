"""torch.optim.LBFGS, over any kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from bench.optimizers.contract import OnStep, Shuffler, Stop
from bench.optimizers.torch_optimizer import TorchOptimizer, parameter, torch_oracle
from logreg_kernels.contract import Objective


@dataclass(frozen=True)
class LBFGS(TorchOptimizer):
    """torch.optim.LBFGS: limited-memory BFGS with a fixed step, or a strong Wolfe line search.

    A step of the trace is one evaluation of the objective: trials of the line search move w, too.
    The default tolerances are tighter than torch's own (1e-7, 1e-9), which stop above a relative
    gap of 1e-10.

    Source: Liu and Nocedal (1989), "On the limited memory BFGS method for large scale
        optimization"; Nocedal and Wright (2006), algorithms 3.5 and 7.4.
    """

    torch_class = torch.optim.LBFGS

    lr: float = 1.0
    history_size: int = 10
    max_iter: int = 20
    line_search: Literal["strong_wolfe"] | None = None
    tolerance_grad: float = 1e-9
    tolerance_change: float = 1e-16

    def __post_init__(self) -> None:
        self._check(history_size=self.history_size, max_iter=self.max_iter)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """Call `step(closure)` until it ends before its `max_iter` iterations are done."""
        w = parameter(w0)
        value_and_grad = torch_oracle(objective, w0)
        optimizer = self._make(w)
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

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        line_search = options.pop("line_search")
        return {"line_search_fn": line_search, "max_eval": 100 * self.max_iter, **options}
