"""Methods of torch.optim with a step size for each coordinate, without the Adam family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bench.optimizers.torch_first_order import TorchFirstOrder


@dataclass(frozen=True)
class RMSprop(TorchFirstOrder):
    """torch.optim.RMSprop: steps divided by the root of a running mean of g^2.

        v <- alpha v + (1 - alpha) g^2,    w <- w - lr g / (sqrt(v) + eps)

    `centered` subtracts the square of a running mean of g from v. `momentum` adds heavy-ball
    momentum. As lr doesn't shrink, it ends in steps of size lr, not at the optimum.

    Source: Tieleman and Hinton (2012), "Neural networks for machine learning", lecture 6.5;
        `centered`: Graves (2013), "Generating sequences with recurrent neural networks",
        eq. (38)-(41).
    """

    torch_class = torch.optim.RMSprop

    lr: float = 0.01
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False


@dataclass(frozen=True)
class Adagrad(TorchFirstOrder):
    """torch.optim.Adagrad: steps divided by the root of the sum of all g^2 so far.

        s <- s + g^2,    w <- w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    Source: Duchi, Hazan and Singer (2011), "Adaptive subgradient methods for online learning and
        stochastic optimization", figure 1 with diagonal matrices.
    """

    torch_class = torch.optim.Adagrad

    lr: float = 1.0
    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10


@dataclass(frozen=True)
class Adadelta(TorchFirstOrder):
    """torch.optim.Adadelta: step sizes from the running means of past steps and gradients.

        v <- rho v + (1 - rho) g^2,    delta = sqrt(u + eps) / sqrt(v + eps) g
        u <- rho u + (1 - rho) delta^2,    w <- w - lr delta

    As u starts at 0, the first steps have the size of sqrt(eps).

    Source: Zeiler (2012), "ADADELTA: an adaptive learning rate method", algorithm 1.
    """

    torch_class = torch.optim.Adadelta

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6


@dataclass(frozen=True)
class Rprop(TorchFirstOrder):
    """torch.optim.Rprop: step sizes that grow while the sign of g_j stays, and shrink else.

        s_j <- eta_plus s_j  where g_j kept its sign,   w_j <- w_j - sign(g_j) s_j
        s_j <- eta_minus s_j where it changed,          w_j stays, and g_j counts as 0 next

    s starts at lr and is kept between step_min and step_max. It is meant for full gradients: near
    the optimum the sign of a mini-batch gradient is mostly noise.

    Source: Riedmiller and Braun (1993), "A direct adaptive method for faster backpropagation
        learning: the RPROP algorithm"; in the form of Igel and Huesken (2000), "Improving the
        Rprop learning algorithm", Rprop-.
    """

    torch_class = torch.optim.Rprop

    lr: float = 0.01
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    step_min: float = 1e-12
    step_max: float = 50.0

    def _options(self) -> dict[str, Any]:
        return {
            "lr": self.lr,
            "etas": (self.eta_minus, self.eta_plus),
            "step_sizes": (self.step_min, self.step_max),
        }


@dataclass(frozen=True)
class Adafactor(TorchFirstOrder):
    """torch.optim.Adafactor: steps relative to the size of w, with a factored second moment.

        v <- v + t^beta2_decay (g^2 - v),    u = g / sqrt(v)
        w <- w - min(lr, 1/sqrt(t)) max(eps2, RMS(w)) u / max(1, RMS(u) / d)

    For a matrix, v is the outer product of its row and column means over their common mean. From
    w = 0 the first steps have the size of lr eps2, and w grows by a factor of 1 + lr at most.

    Source: Shazeer and Stern (2018), "Adafactor: adaptive learning rates with sublinear memory
        cost", algorithms 4 and 5.
    """

    torch_class = torch.optim.Adafactor

    lr: float = 1.0
    beta2_decay: float = -0.8
    eps2: float = 1e-3
    d: float = 1.0

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        return {"eps": (None, options.pop("eps2")), **options}
