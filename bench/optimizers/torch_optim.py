"""The optimizers of torch.optim, over any kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from bench.optimizers.protocol import OnStep, Shuffler, Stop
from logreg_kernels import Objective

Parameters: TypeAlias = list[torch.Tensor]


@dataclass(frozen=True)
class LBFGS:
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
        _check(self._make, history_size=self.history_size, max_iter=self.max_iter)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """Call `step(closure)` until it ends before its `max_iter` iterations are done."""
        w = _parameter(w0)
        value_and_grad = _torch_oracle(objective, w0)
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


@dataclass(frozen=True)
class SGD:
    """w <- w - lr g(w): torch.optim.SGD, with the full gradient or on shuffled mini-batches.

    Source: Robbins and Monro (1951), "A stochastic approximation method".
    """

    lr: float = 0.1
    batch_size: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        _check(self._make, batch_size=self.batch_size, epochs=self.epochs)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        return _descend(self._make, objective, w0, rng, on_step, self.batch_size, self.epochs)

    def _make(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=self.lr)


@dataclass(frozen=True)
class Momentum:
    """v <- momentum v + g(w), w <- w - lr v: torch.optim.SGD with heavy-ball momentum.

    Source: Polyak (1964), "Some methods of speeding up the convergence of iteration methods";
        `nesterov` follows Sutskever et al. (2013), section 2.
    """

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    batch_size: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        _check(self._make, batch_size=self.batch_size, epochs=self.epochs)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        return _descend(self._make, objective, w0, rng, on_step, self.batch_size, self.epochs)

    def _make(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov
        )


@dataclass(frozen=True)
class Adam:
    """torch.optim.Adam: steps scaled by running first and second moments of the gradient.

    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.
    """

    lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    batch_size: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        _check(self._make, batch_size=self.batch_size, epochs=self.epochs)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        return _descend(self._make, objective, w0, rng, on_step, self.batch_size, self.epochs)

    def _make(self, parameters: Parameters) -> torch.optim.Optimizer:
        betas = (self.beta1, self.beta2)
        return torch.optim.Adam(parameters, lr=self.lr, betas=betas, eps=self.eps)


def _check(make: Callable[[Parameters], torch.optim.Optimizer], **at_least_1: int | None) -> None:
    """Raise ValueError for a count below 1, or for what torch itself refuses."""
    for name, count in at_least_1.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}")
    make([torch.zeros(1)])


def _descend(
    make: Callable[[Parameters], torch.optim.Optimizer],
    objective: Objective,
    w0: Any,
    rng: Shuffler,
    on_step: OnStep,
    batch_size: int | None,
    epochs: int | None,
) -> Stop:
    """One optimizer step per mini-batch; one epoch visits every row once.

    A batch size of None, or of n and more, is a step per epoch with the full gradient, in which
    case the rows are not shuffled. The last batch of an epoch may be smaller.
    """
    w = _parameter(w0)
    optimizer = make([w])
    value_and_grad = _torch_oracle(objective, w0)
    epoch = 0
    while epochs is None or epoch < epochs:
        for rows in _batches(objective, batch_size, rng):
            _, w.grad = value_and_grad(w, rows)
            optimizer.step()
            on_step(w)
        epoch += 1
    return Stop.BUDGET


def _batches(objective: Objective, batch_size: int | None, rng: Shuffler) -> Iterator[Any]:
    n = objective.n_samples
    if batch_size is None or batch_size >= n:
        yield None
        return
    # One transfer an epoch: the batches are views of the permutation on the device.
    order = objective.as_rows(rng.permutation(n))
    for start in range(0, n, batch_size):
        yield order[start : start + batch_size]


def _parameter(w0: Any) -> torch.Tensor:
    """A copy of `w0` that torch.optim may update in place."""
    if isinstance(w0, torch.Tensor):
        return w0.detach().clone()
    return torch.from_numpy(np.array(w0))


def _torch_oracle(objective: Objective, w0: Any) -> Callable[..., tuple[Any, torch.Tensor]]:
    """`value_and_grad` from and to torch tensors; a NumPy kernel shares their memory."""

    def over_numpy(w: torch.Tensor, rows: Any = None) -> tuple[Any, torch.Tensor]:
        value, grad = objective.value_and_grad(w.numpy(), rows)
        return value, torch.from_numpy(grad)

    return objective.value_and_grad if isinstance(w0, torch.Tensor) else over_numpy
