"""`torch-autograd`: what a torch user writes, on any torch device."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from logreg_kernels.contract import Array, BindTimes, DType, FloatMatrix
from logreg_kernels.torch_devices import (
    TORCH_DTYPES,
    as_indices,
    as_tensor,
    device_unavailable,
    place,
    synchronize,
)
from logreg_kernels.validation import check_coefficients, check_models


@dataclass(frozen=True)
class TorchAutograd:
    """BCE-with-logits and `backward()`: the baseline every fused kernel must beat."""

    name: str = "torch-autograd"

    def unavailable(self, device: str = "cpu") -> str | None:
        """None wherever torch finds the device."""
        return device_unavailable(device)

    def bind(
        self, X: FloatMatrix, y: FloatMatrix, *, l2: float, device: str, dtype: DType
    ) -> TorchAutogradObjective:
        """Share the data with torch on a CPU; transfer it elsewhere."""
        start = time.perf_counter()
        X_placed, y_placed = place(X, device), place(y, device)
        synchronize(device)
        return TorchAutogradObjective(
            X=X_placed,
            y=y_placed,
            l2=l2,
            device=device,
            dtype=dtype,
            bind_times=BindTimes(transfer_s=time.perf_counter() - start),
        )


@dataclass(frozen=True)
class TorchAutogradObjective:
    """f and its gradient by reverse-mode differentiation of torch's own loss.

    Its accuracy is torch's, too: binary_cross_entropy_with_logits is (1 - y) z - logsigmoid(z),
    which cancels at y = 0 and z << 0 (0 instead of 5.2e-17 at z = -37.5), as its gradient
    sigmoid(z) - y does at y = 1 and z >> 0: errors of at most a few u max(1, |z|). The exact
    softplus(-s z) takes as long; it is not what people write, and this is the baseline.

    Traffic: X is read twice, once forward and once backward: 2 n d itemsize bytes.
    """

    X: torch.Tensor
    y: torch.Tensor
    l2: float
    device: str
    dtype: DType
    kernel: str = "torch-autograd"
    bind_times: BindTimes = field(default_factory=BindTimes)

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        leaf = self._leaf(w)
        check_coefficients(leaf, (self.n_features,))
        X, y = self.X, self.y
        if rows is not None:
            rows = as_indices(rows, self.device)
            X, y = X[rows], y[rows]
        with torch.enable_grad():  # an optimizer may call from inside torch.no_grad()
            loss = binary_cross_entropy_with_logits(X @ leaf, y)
            if self.l2:
                loss = loss + 0.5 * self.l2 * (leaf @ leaf)
            loss.backward()
        return loss.detach(), leaf.grad  # type: ignore[return-value]  # backward() has set it

    def value_and_grad_batch(self, W: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """k models in one forward and one backward pass over X."""
        leaf = self._leaf(W)
        check_models(leaf, self.n_features)
        with torch.enable_grad():
            Z = self.X @ leaf.T
            y = self.y[:, None].expand_as(Z)
            values = binary_cross_entropy_with_logits(Z, y, reduction="none").mean(dim=0)
            values = values + 0.5 * self.l2 * (leaf * leaf).sum(dim=1)
            values.sum().backward()  # the models are independent: each row's gradient is its own
        return values.detach(), leaf.grad  # type: ignore[return-value]  # backward() has set it

    def as_coefficients(self, w: Array) -> torch.Tensor:
        """A copy of `w` on this objective's device."""
        return as_tensor(w, self.device, TORCH_DTYPES[self.dtype]).clone()

    def as_rows(self, rows: NDArray[np.intp]) -> torch.Tensor:
        """The indices on the device."""
        return as_indices(rows, self.device)

    def synchronize(self) -> None:
        """Wait for the device."""
        synchronize(self.device)

    def _leaf(self, w: Array) -> torch.Tensor:
        # A new leaf on shared memory: its gradient belongs to this call alone.
        values = as_tensor(w, self.device, TORCH_DTYPES[self.dtype])
        return values.detach().requires_grad_(True)
