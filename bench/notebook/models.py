"""The notebook's models, its loss, its loops and the order in which it saw the rows.

Source: probml/pyprobml, notebooks/book1/10/logreg_pytorch.ipynb.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy

from bench.optimizers import OnStep, Optimizer, Shuffler, Stop
from bench.problems import Problem
from logreg_kernels import Objective
from logreg_kernels.contract import BindTimes, DType
from logreg_kernels.validation import check_coefficients

Model: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Probabilities, shape (n,), from coefficients (d,) and rows (n, d); differentiable in both."""


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


def of_module(module: nn.Module) -> Model:
    """The model that a module is, as a function of its only parameter, a weight of shape (1, d)."""
    ((name, _),) = module.named_parameters()

    def probabilities(w: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.func.functional_call(module, {name: w[None, :]}, (X,))
        return out.reshape(-1)

    return probabilities


@dataclass(frozen=True)
class SigmoidBCE:
    """The notebook's objective: probabilities first, then torch's BCELoss of them; no penalty.

        f(w) = -1/n sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)],   p = model(w, X)

    In exact arithmetic this is the kernels' f. In float32 p rounds to 1 for z > 17, and BCELoss's
    gradient, (p - y) / max(p (1 - p), 1e-12), is then multiplied by the sigmoid's p (1 - p) = 0:
    a row that is wrong with so much confidence has no gradient at all. That is why this is not a
    kernel, and why a run that overshoots (momentum) takes another path on it.

    Args:
        X: design matrix, shape (n, d).  y: labels 0 and 1, shape (n,), of X's dtype.
        model: gives the probabilities; by default from a bare parameter.
    """

    X: torch.Tensor
    y: torch.Tensor
    dtype: DType
    model: Model = bare_parameter
    kernel: str = "sigmoid + BCELoss"
    device: str = "cpu"
    l2: float = 0.0
    bind_times: BindTimes = field(default_factory=BindTimes)

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])

    @property
    def coefficient_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.n_features,)

    def value_and_grad(self, w: Any, rows: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        leaf = self.as_coefficients(w).requires_grad_(True)
        check_coefficients(leaf, (self.n_features,))
        X, y = (self.X, self.y) if rows is None else (self.X[rows], self.y[rows])
        loss = binary_cross_entropy(self.model(leaf, X), y)
        loss.backward()
        return loss.detach(), leaf.grad  # type: ignore[return-value]  # backward() has set it

    def value_and_grad_batch(self, W: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """k models, one after the other."""
        values, grads = zip(*(self.value_and_grad(w) for w in W), strict=True)
        return torch.stack(values), torch.stack(grads)

    def as_coefficients(self, w: Any) -> torch.Tensor:
        """A copy of `w` in this objective's dtype."""
        return torch.as_tensor(w, dtype=self.X.dtype).detach().clone()

    def as_rows(self, rows: NDArray[np.intp]) -> torch.Tensor:
        """The indices as a tensor."""
        return torch.as_tensor(rows)

    def synchronize(self) -> None:
        """A CPU has nothing to wait for."""


def bind_sigmoid_bce(
    problem: Problem, model: Model = bare_parameter, dtype: DType = "float32"
) -> SigmoidBCE:
    """The notebook's objective on a problem's training rows.

    Raises:
        ValueError: the problem has a penalty, which this objective doesn't.
    """
    if problem.l2:
        raise ValueError(
            f"the notebook's loss has no penalty, {problem.name!r} has l2={problem.l2:g}: set l2=0"
        )
    as_dtype = torch.float64 if dtype == "float64" else torch.float32
    # Copies, aligned as torch aligns them: the last bits of a sum depend on that, too.
    X, y = torch.tensor(problem.X, dtype=as_dtype), torch.tensor(problem.y, dtype=as_dtype)
    return SigmoidBCE(X=X, y=y, dtype=dtype, model=model)


class DataLoaderOrder:
    """The orders in which DataLoader(shuffle=True) of torch 1.8 went through the rows.

    For each epoch it drew two int64 seeds, which play no part here, and then the permutation, all
    from one generator. Today's DataLoader shuffles with a generator that the second seed starts.

    Args:
        generator: torch's, on the CPU, in the state in which the first epoch finds it.
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
    """torch.manual_seed(0), then torch.randn((d, 1)): a generator of our own draws the same."""
    generator = torch.Generator().manual_seed(0)
    w0 = torch.randn((n_features, 1), generator=generator)[:, 0]
    return w0, DataLoaderOrder(generator)


def module_start(n_features: int) -> Start:
    """torch.manual_seed(0), then nn.Linear's own initialisation.

    A layer draws from torch's global generator, which is left as it was found.
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

    A step of the trace is one such call, of up to 20 iterations; `optimizers.LBFGS` makes the
    same moves, counts each evaluation as a step, and ends when it has converged.
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
