"""What all optimizers of torch.optim share: how they are made, and the objective as they see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch

from bench.optimizers.contract import Optimizer
from logreg_kernels.contract import Objective


@dataclass(frozen=True)
class TorchOptimizer(Optimizer):
    """An optimizer of torch.optim: a subclass names it, and states its parameters."""

    torch_class: ClassVar[Callable[..., torch.optim.Optimizer]]

    def _check(self, **counts: int | None) -> None:
        """Raise ValueError for a count below 1, or for what torch itself refuses."""
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1; got {count}")
        self._make(torch.zeros(1, dtype=torch.float64))

    def _make(self, w: torch.Tensor) -> torch.optim.Optimizer:
        return type(self).torch_class([w], **self._options())

    def _options(self) -> dict[str, Any]:
        """The parameters of the subclass under torch's names: its fields that aren't kw_only."""
        return {each.name: getattr(self, each.name) for each in fields(self) if not each.kw_only}


def parameter(w0: Any) -> torch.Tensor:
    """A copy of `w0`, of any shape, that torch.optim may update in place."""
    if isinstance(w0, torch.Tensor):
        return w0.detach().clone()
    return torch.from_numpy(np.array(w0))


def torch_oracle(objective: Objective, w0: Any) -> Callable[..., tuple[Any, torch.Tensor]]:
    """`value_and_grad` from and to torch tensors; a NumPy kernel shares their memory.

    Another library's gradient is copied by way of NumPy, and its value becomes a float.
    """

    def over_numpy(w: torch.Tensor, rows: Any = None) -> tuple[Any, torch.Tensor]:
        value, grad = objective.value_and_grad(w.numpy(), rows)
        return value, torch.from_numpy(grad)

    def over_host(w: torch.Tensor, rows: Any = None) -> tuple[Any, torch.Tensor]:
        value, grad = objective.value_and_grad(w.numpy(), rows)
        return float(value), torch.from_numpy(np.array(grad))  # torch takes no read-only memory

    if isinstance(w0, torch.Tensor):
        return objective.value_and_grad
    return over_numpy if isinstance(w0, np.ndarray) else over_host
