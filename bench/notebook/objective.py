"""torch's losses of a module's outputs, as objectives that every optimizer here can run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy

from bench.notebook.models import Model, bare_parameter
from bench.problems import Problem
from logreg_kernels.contract import Array, DType
from logreg_kernels.torch_kernels.devices import TORCH_DTYPES, TorchData

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A mean over rows, of a model's outputs and the labels."""


@dataclass(frozen=True, kw_only=True)
class LossOfModel(TorchData):
    """A torch loss of a model's outputs, with the penalty of the kernels.

        f(w) = loss(model(w, X), y) + l2/2 ||w||^2

    Args:
        y: labels, shape (n,), of the type that the loss takes.
        model: outputs from coefficients and rows.
        loss: of the outputs and the labels.
    """

    y: torch.Tensor
    model: Model
    loss: Loss

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        leaf = self.checked(w).requires_grad_(True)
        X, y = (self.X, self.y) if rows is None else (self.X[rows], self.y[rows])
        value = self.loss(self.model(leaf, X), y)
        if self.l2:
            value = value + 0.5 * self.l2 * (leaf * leaf).sum()
        value.backward()
        return value.detach(), leaf.grad  # type: ignore[return-value]  # backward() has set it


def bind_loss(
    problem: Problem, name: str, model: Model, loss: Loss, dtype: DType, y: NDArray[np.generic]
) -> LossOfModel:
    """A loss on the training rows of a problem, reported as the kernel `name`.

    X and y are copied into memory that torch aligns: the last bits of a sum depend on that.
    """
    return LossOfModel(
        X=torch.tensor(problem.X, dtype=TORCH_DTYPES[dtype]),
        y=torch.tensor(y),
        l2=problem.l2,
        device="cpu",
        dtype=dtype,
        coefficient_shape=problem.coefficient_shape,
        kernel=name,
        model=model,
        loss=loss,
    )


def bind_sigmoid_bce(
    problem: Problem, model: Model = bare_parameter, dtype: DType = "float32"
) -> LossOfModel:
    """The notebook's loss: probabilities first, then torch's BCELoss of them; no penalty.

        f(w) = -1/n sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)],   p = model(w, X)

    In exact arithmetic this is the kernels' f. In float32 p rounds to 1 for z > 17. The gradient of
    BCELoss, (p - y) / max(p (1 - p), 1e-12), is then multiplied by the sigmoid's p (1 - p) = 0.
    A row that is wrong with so much confidence has no gradient at all, so that a run that
    overshoots (momentum) takes another path. That is why this loss is not a kernel.

    Args:
        problem: two classes; its training rows are used.
        model: probabilities, by default from a bare parameter.
    Raises:
        ValueError: the problem has a penalty, which the notebook's loss doesn't.
    """
    if problem.l2:
        raise ValueError(
            f"the notebook's loss has no penalty, {problem.name!r} has l2={problem.l2:g}: set l2=0"
        )
    y = problem.y.astype(dtype)
    return bind_loss(problem, "sigmoid + BCELoss", model, binary_cross_entropy, dtype, y)


def model_of(module: nn.Module) -> Model:
    """A module as a function of its only parameter.

    The weight has shape (1, d) for coefficients (d,), and (c, d) for coefficients (c, d).
    """
    ((name, weight),) = module.named_parameters()
    shape = weight.shape

    def outputs(w: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(module, {name: w.reshape(shape)}, (X,))
        return found.reshape(-1) if w.ndim == 1 else found

    return outputs
