"""The Adam family of torch.optim: running moments of the gradient, corrected for their start.

m <- beta1 m + (1 - beta1) g,           m^ = m / (1 - beta1^t)
v <- beta2 v + (1 - beta2) g^2,         v^ = v / (1 - beta2^t)        (coordinate by coordinate)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bench.optimizers.torch_first_order import TorchFirstOrder


@dataclass(frozen=True)
class AdamFamily(TorchFirstOrder):
    """Their shared hyper-parameters. The defaults are torch's, except for lr."""

    lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        return {"betas": (options.pop("beta1"), options.pop("beta2")), **options}


@dataclass(frozen=True)
class Adam(AdamFamily):
    """torch.optim.Adam: steps scaled by running first and second moments of the gradient.

        w <- w - lr m^ / (sqrt(v^) + eps)

    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.
    """

    torch_class = torch.optim.Adam


@dataclass(frozen=True)
class AdamW(AdamFamily):
    """torch.optim.AdamW: Adam with a decay of the weights outside the moments.

        w <- (1 - lr weight_decay) w - lr m^ / (sqrt(v^) + eps)

    At weight_decay = 0, the default here (torch: 0.01), it is Adam. A decay moves the fixed point
    from the optimum to g_j = -weight_decay w_j (|g_j| + eps), where every |w_j| is at most
    1 / weight_decay.

    Source: Loshchilov and Hutter (2019), "Decoupled weight decay regularization", algorithm 2;
        the fixed point: Xie and Li (2024), "Implicit bias of AdamW".
    """

    torch_class = torch.optim.AdamW
    weight_decay: float = 0.0


@dataclass(frozen=True)
class NAdam(AdamFamily):
    """torch.optim.NAdam: Adam with Nesterov's look-ahead in its first moment.

        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),    M_t = mu_1 ... mu_t
        w <- w - lr (mu_{t+1} m / (1 - M_{t+1}) + (1 - mu_t) g / (1 - M_t)) / (sqrt(v^) + eps)

    Source: Dozat (2016), "Incorporating Nesterov momentum into Adam".
    """

    torch_class = torch.optim.NAdam
    momentum_decay: float = 4e-3


@dataclass(frozen=True)
class RAdam(AdamFamily):
    """torch.optim.RAdam: Adam whose steps are held back while v^ rests on few gradients.

        R = 2 / (1 - beta2) - 1,    rho = R - 2 t beta2^t / (1 - beta2^t)
        r^2 = (rho - 4) (rho - 2) R / ((R - 4) (R - 2) rho)
        w <- w - lr m^ r / ((sqrt(v) + eps) / sqrt(1 - beta2^t))  if rho > 5,  else  w - lr m^

    Source: Liu et al. (2020), "On the variance of the adaptive learning rate and beyond",
        algorithm 2.
    """

    torch_class = torch.optim.RAdam


@dataclass(frozen=True)
class Adamax(AdamFamily):
    """torch.optim.Adamax: Adam with the largest recent gradient in place of the second moment.

        u <- max(beta2 u, |g| + eps),    w <- w - lr m^ / u

    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 2.
    """

    torch_class = torch.optim.Adamax
