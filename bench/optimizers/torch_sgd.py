"""First-order methods of torch.optim with one step size for all coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bench.optimizers.torch_first_order import TorchFirstOrder


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

    The trace is that of the average w; torch averages from t0 = 1e6 steps on, this from the
    start. torch's lambd is the penalty of the paper's objective. Here the gradient has the
    penalty already, so that lambd = 0 (torch: 1e-4); lambd > 0 lets the steps shrink, and adds
    lambd/2 ||w||^2 to the objective that is minimised.

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
