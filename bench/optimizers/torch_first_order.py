"""The first-order methods of torch.optim, over any kernel.

Here are the loop that all of them run, and the methods with one step size for all coordinates.
The Adam family is in `torch_adam`, other methods with a step size for each coordinate are in
`torch_adaptive`. Two methods are left out. Muon orthogonalises matrices, and has no form for the w
(d,) of two classes. SparseAdam takes sparse gradients only.

No weight decay is the default of all of them: the penalty belongs to the problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from bench.optimizers.contract import OnStep, Shuffler, Stop
from bench.optimizers.torch_optimizer import TorchOptimizer, parameter, torch_oracle
from logreg_kernels.contract import Objective


@dataclass(frozen=True)
class TorchFirstOrder(TorchOptimizer):
    """One optimizer step per gradient: of all rows, or of shuffled mini-batches.

    Args:
        batch_size: rows of a mini-batch. The last one of an epoch may be smaller. None, or n and
            more, is one step an epoch with the full gradient; the rows are not shuffled then.
        epochs: visits of every row; None runs until the caller ends the run.
    """

    batch_size: int | None = field(default=None, kw_only=True)
    epochs: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check(batch_size=self.batch_size, epochs=self.epochs)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        w = parameter(w0)
        optimizer = self._make(w)
        value_and_grad = torch_oracle(objective, w0)
        epoch = 0
        while self.epochs is None or epoch < self.epochs:
            for rows in self._batches(objective, rng):
                _, w.grad = value_and_grad(w, rows)
                optimizer.step()
                on_step(self._estimate(optimizer, w))
            epoch += 1
        return Stop.BUDGET

    def _estimate(self, optimizer: torch.optim.Optimizer, w: torch.Tensor) -> torch.Tensor:
        """The current answer: w, or the average of the iterates."""
        return w

    def _batches(self, objective: Objective, rng: Shuffler) -> Iterator[Any]:
        n, size = objective.n_samples, self.batch_size
        if size is None or size >= n:
            yield None
            return
        # The batches are views of the permutation on the device: one transfer an epoch.
        order = objective.as_rows(rng.permutation(n))
        for start in range(0, n, size):
            yield order[start : start + size]


@dataclass(frozen=True)
class SGD(TorchFirstOrder):
    """w <- w - lr g(w): torch.optim.SGD, with the full gradient or on shuffled mini-batches.

    Source: Robbins and Monro (1951), "A stochastic approximation method".
    """

    torch_class = torch.optim.SGD

    lr: float = 0.1


@dataclass(frozen=True)
class Momentum(TorchFirstOrder):
    """v <- momentum v + g(w), w <- w - lr v: torch.optim.SGD with heavy-ball momentum.

    Source: Polyak (1964), "Some methods of speeding up the convergence of iteration methods";
        `nesterov` follows Sutskever et al. (2013), section 2.
    """

    torch_class = torch.optim.SGD

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False


@dataclass(frozen=True)
class ASGD(TorchFirstOrder):
    """torch.optim.ASGD: gradient steps, and the average of the iterates as their answer.

        v <- (1 - lambd eta) v - eta g(v),    eta = lr / (1 + lambd lr t)^alpha
        w <- w + (v - w) / max(1, t - t0)                             (t steps done before)

    The trace is that of the average w. torch averages from t0 = 1e6 steps on; the default here is
    from the start. torch's lambd is the penalty of the paper's objective. Here the gradient has
    the penalty already, so that the default is lambd = 0 (torch: 1e-4). lambd > 0 makes the steps
    shrink, and adds lambd/2 ||w||^2 to the objective that is minimised.

    Source: Polyak and Juditsky (1992), "Acceleration of stochastic approximation by averaging";
        Bottou (2010), "Large-scale machine learning with stochastic gradient descent", section 5.
    """

    torch_class = torch.optim.ASGD

    lr: float = 0.1
    lambd: float = 0.0
    alpha: float = 0.75
    t0: float = 0.0

    def _estimate(self, optimizer: torch.optim.Optimizer, w: torch.Tensor) -> torch.Tensor:
        average: torch.Tensor = optimizer.state[w]["ax"]
        return average
