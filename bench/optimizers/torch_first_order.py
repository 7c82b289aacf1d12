"""The first-order methods of torch.optim, over any kernel: the loop that all of them run.

Those with one step size for all coordinates are in `torch_sgd`, the Adam family is in
`torch_adam`, what else has a step size for each coordinate in `torch_adaptive`. Left out are
Muon, which takes matrices only and orthogonalises them, so that it has no form for the w (d,) of
two classes, and SparseAdam, which takes sparse gradients only.

None of them decays weights unless it is asked to: the penalty belongs to the problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch

from bench.optimizers.contract import OnStep, Optimizer, Shuffler, Stop
from bench.optimizers.torch_oracle import Parameters, check, parameter, torch_oracle
from logreg_kernels.contract import Objective


@dataclass(frozen=True)
class TorchFirstOrder(Optimizer):
    """One optimizer step per gradient: of all rows, or of shuffled mini-batches.

    A subclass names the torch optimizer, and states its hyper-parameters under torch's names.

    Args:
        batch_size: rows of a mini-batch; None, or n and more, is a step per epoch with the full
            gradient, in which case the rows are not shuffled. The last batch of an epoch may be
            smaller.
        epochs: visits of every row before the run is over; None leaves that to the caller.
    """

    torch_class: ClassVar[Callable[..., torch.optim.Optimizer]]

    batch_size: int | None = field(default=None, kw_only=True)
    epochs: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check(self._make, batch_size=self.batch_size, epochs=self.epochs)

    def run(self, objective: Objective, w0: Any, rng: Shuffler, on_step: OnStep) -> Stop:
        """See `Optimizer.run`."""
        w = parameter(w0)
        optimizer = self._make([w])
        value_and_grad = torch_oracle(objective, w0)
        epoch = 0
        while self.epochs is None or epoch < self.epochs:
            for rows in self._batches(objective, rng):
                _, w.grad = value_and_grad(w, rows)
                optimizer.step()
                on_step(self._estimate(optimizer, w))
            epoch += 1
        return Stop.BUDGET

    def _make(self, parameters: Parameters) -> torch.optim.Optimizer:
        """The torch optimizer; raises ValueError for hyper-parameters that make no sense."""
        return type(self).torch_class(parameters, **self._options())

    def _options(self) -> dict[str, Any]:
        """What the torch optimizer is made with: the hyper-parameters of the subclass."""
        return {each.name: getattr(self, each.name) for each in fields(self) if not each.kw_only}

    def _estimate(self, optimizer: torch.optim.Optimizer, w: torch.Tensor) -> torch.Tensor:
        """The algorithm's answer so far: w, unless it averages its iterates."""
        return w

    def _batches(self, objective: Objective, rng: Shuffler) -> Iterator[Any]:
        n, size = objective.n_samples, self.batch_size
        if size is None or size >= n:
            yield None
            return
        # One transfer an epoch: the batches are views of the permutation on the device.
        order = objective.as_rows(rng.permutation(n))
        for start in range(0, n, size):
            yield order[start : start + size]
