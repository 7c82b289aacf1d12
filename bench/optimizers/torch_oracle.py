"""An objective as torch.optim sees it: a parameter to update in place, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch

from logreg_kernels.contract import Objective

Parameters: TypeAlias = list[torch.Tensor]


def parameter(w0: Any) -> torch.Tensor:
    """A copy of `w0`, of any shape, that torch.optim may update in place."""
    if isinstance(w0, torch.Tensor):
        return w0.detach().clone()
    return torch.from_numpy(np.array(w0))


def torch_oracle(objective: Objective, w0: Any) -> Callable[..., tuple[Any, torch.Tensor]]:
    """`value_and_grad` from and to torch tensors; a NumPy kernel shares their memory.

    Another library's gradient comes by way of NumPy, and its value as a number of Python's.
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


def check(make: Callable[[Parameters], torch.optim.Optimizer], **at_least_1: int | None) -> None:
    """Raise ValueError for a count below 1, or for what torch itself refuses."""
    for name, count in at_least_1.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}")
    make([torch.zeros(1, dtype=torch.float64)])
