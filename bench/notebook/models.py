"""The notebook's models, its training loops, and the order in which it saw the rows.

Source: probml/pyprobml, notebooks/book1/10/logreg_pytorch.ipynb.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import nn

from bench.optimizers import OnStep, Optimizer, Shuffler, Stop
from logreg_kernels import Objective

Model: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Outputs of rows (n, d): (n,) from coefficients (d,), or (n, c) from (c, d). Differentiable."""


def bare_parameter(w: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """sigmoid(X w), with w a tensor that belongs to no module."""
    return torch.sigmoid(torch.matmul(X, w[:, None]))[:, 0]


def sequential(n_features: int) -> nn.Module:
    """A multilayer perceptron without hidden layers."""
    return nn.Sequential(nn.Linear(n_features, 1, bias=False), nn.Sigmoid())


def named_sequential(n_features: int) -> nn.Module:
    """The same with a name for each layer."""
    linear = nn.Linear(n_features, 1, bias=False)
    layers = [("linear_layer", linear), ("output_activation", nn.Sigmoid())]
    return nn.Sequential(OrderedDict[str, nn.Module](layers))


class LinearSigmoid(nn.Module):
    """The same with a forward pass of its own, from rows (n, d) to probabilities (n,)."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, 1, bias=False)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """See the class."""
        probabilities: torch.Tensor = torch.sigmoid(self.linear(X))
        return probabilities[:, 0]


MODULES: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {
        "nn.Sequential": sequential,
        "nn.Sequential, named layers": named_sequential,
        "nn.Module subclass": LinearSigmoid,
    }
)


class DataLoaderOrder:
    """The orders in which DataLoader(shuffle=True) of torch 1.8 went through the rows.

    For each epoch it drew two int64 seeds and then the permutation, all from one generator. The
    seeds play no part here. Today's DataLoader starts another generator with the second seed.

    Args:
        generator: torch's, on the CPU, in its state before the first epoch.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def permutation(self, x: int, /) -> NDArray[Any]:
        """The integers 0 .. x-1 in the next epoch's order."""
        for _ in range(2):
            torch.empty((), dtype=torch.int64).random_(generator=self._generator)
        order: NDArray[Any] = torch.randperm(x, generator=self._generator).numpy()
        return order


Start: TypeAlias = tuple[torch.Tensor, DataLoaderOrder]
"""w0, shape (d,), and the order of the rows that follows it from the same generator."""


def parameter_start(n_features: int) -> Start:
    """What torch.manual_seed(0) and torch.randn((d, 1)) draw; the global generator is untouched."""
    generator = torch.Generator().manual_seed(0)
    w0 = torch.randn((n_features, 1), generator=generator)[:, 0]
    return w0, DataLoaderOrder(generator)


def module_start(n_features: int) -> Start:
    """What torch.manual_seed(0) and the initialisation of nn.Linear draw.

    A layer draws from torch's global generator. That is left as it was found.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would reseed CUDA, too
        module = LinearSigmoid(n_features)
        generator = torch.Generator()
        generator.set_state(torch.get_rng_state())
    return module.linear.weight.detach()[0], DataLoaderOrder(generator)


@dataclass(frozen=True)
class HandWrittenSGD(Optimizer):
    """w <- w - lr g(w), written out as a loop."""

    lr: float = 0.1
    batch_size: int = 33
    epochs: int = 100

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        w = w0.clone()
        for _ in range(self.epochs):
            order = objective.as_rows(rng.permutation(objective.n_samples))
            for rows in order.split(self.batch_size):
                _, grad = objective.value_and_grad(w, rows)
                w -= self.lr * grad
                on_step(w)
        return Stop.BUDGET


@dataclass(frozen=True)
class LBFGSCalls(Optimizer):
    """A number of calls of torch.optim.LBFGS.step with torch's defaults, converged or not.

    A step of the trace is one such call, of up to 20 iterations. `optimizers.LBFGS` makes the same
    moves, but counts each evaluation as a step and ends when it has converged.
    """

    calls: int = 10
    history_size: int = 10

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        w = w0.clone()
        optimizer = torch.optim.LBFGS([w], history_size=self.history_size)

        def closure() -> Any:
            value, w.grad = objective.value_and_grad(w)
            return value

        for _ in range(self.calls):
            optimizer.step(closure)
            on_step(w)
        return Stop.BUDGET
