"""`torch-autograd`: what a torch user writes, on any torch device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.sparse import issparse
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from logreg_kernels.contract import (
    Array,
    BindTimes,
    DType,
    Kernel,
    Labels,
    Matrix,
    Objective,
    coefficient_shape,
)
from logreg_kernels.torch_kernels.csr import TorchCSR, place_csr
from logreg_kernels.torch_kernels.devices import (
    TORCH_DTYPES,
    TorchData,
    as_indices,
    as_tensor,
    device_unavailable,
    place,
    synchronize,
)
from logreg_kernels.validation import check_models


@dataclass(frozen=True)
class TorchAutograd(Kernel):
    """torch's own loss of the logits and `backward()`: the baseline that fused kernels must beat.

    The loss is BCE-with-logits for two classes, cross-entropy for more. Of CSR a transpose is kept.
    """

    takes_csr: ClassVar[bool] = True

    name: str = "torch-autograd"

    def unavailable(self, device: str = "cpu") -> str | None:
        """None wherever torch finds the device."""
        return device_unavailable(device)

    def bind(self, X: Matrix, y: Labels, *, l2: float, device: str, dtype: DType) -> Objective:
        """Share the data with torch on a CPU, or transfer it elsewhere."""
        start = time.perf_counter()
        shape = coefficient_shape(y, X.shape[1])
        # The loss of two classes takes its labels as numbers, that of more as indices.
        X_placed = place_csr(X, device) if issparse(X) else place(X, device)
        y_placed = place(y.astype(dtype) if len(shape) == 1 else y, device)
        synchronize(device)
        return TorchAutogradObjective(
            X=X_placed,
            y=y_placed,
            l2=l2,
            device=device,
            dtype=dtype,
            coefficient_shape=shape,
            kernel=self.name,
            bind_times=BindTimes(transfer_s=time.perf_counter() - start),
        )


@dataclass(frozen=True, kw_only=True)
class TorchAutogradObjective(TorchData):
    """f and its gradient by reverse-mode differentiation of torch's own loss.

    Its accuracy is torch's. binary_cross_entropy_with_logits is (1 - y) z - logsigmoid(z), which
    cancels at y = 0 and z << 0: it gives 0 instead of 5.2e-17 at z = -37.5. Its gradient
    sigmoid(z) - y cancels at y = 1 and z >> 0. Errors are at most a few u max(1, |z|). The gradient
    and value of cross_entropy cancel in the same way. The exact softplus(-s z) takes as long, but
    it is not what people write, and this is the baseline.

    Traffic: X is read forward and backward: 2 n d itemsize bytes. CSR and its transpose have
        2 nnz (itemsize + 4) + 4 (n + d) bytes with int32 indices.
    """

    X: torch.Tensor | TorchCSR
    y: torch.Tensor

    @property
    def traffic_bytes(self) -> int:
        """X twice, and the labels. CSR is read once by rows and once by columns."""
        if isinstance(self.X, TorchCSR):
            return self.X.nbytes + self.y.nbytes
        return 2 * self.X.nbytes + self.y.nbytes

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        leaf = self._leaf(w)
        X, y = self.X, self.y
        if rows is not None:
            rows = as_indices(rows, self.device)
            X, y = X[rows], y[rows]
        with torch.enable_grad():  # an optimizer may call from inside torch.no_grad()
            loss = self._loss(leaf, X, y)
            loss.backward()
        return loss.detach(), leaf.grad  # type: ignore[return-value]  # backward() has set it

    def value_and_grad_batch(self, W: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """k models in one forward and one backward pass over X."""
        if len(self.coefficient_shape) > 1:
            return super().value_and_grad_batch(W)
        leaf = as_tensor(W, self.device, TORCH_DTYPES[self.dtype]).requires_grad_(True)
        check_models(leaf, self.coefficient_shape)
        with torch.enable_grad():
            Z = self.X @ leaf.T
            y = self.y[:, None].expand_as(Z)
            values = binary_cross_entropy_with_logits(Z, y, reduction="none").mean(dim=0)
            values = values + 0.5 * self.l2 * (leaf * leaf).sum(dim=1)
            values.sum().backward()  # the models are independent: each row's gradient is its own
        return values.detach(), leaf.grad  # type: ignore[return-value]  # backward() has set it

    def hvp(self, w: Array, v: Array) -> torch.Tensor:
        """H(w) v by differentiating grad(w) . v: two passes forward and two backward."""
        leaf, v = self._leaf(w), self.checked(v, "v")
        with torch.enable_grad():
            loss = self._loss(leaf, self.X, self.y)
            (grad,) = torch.autograd.grad(loss, leaf, create_graph=True)
            (product,) = torch.autograd.grad(grad, leaf, grad_outputs=v)
        return product

    def hessian(self, w: Array) -> torch.Tensor:
        """H by its formula, block by block; autograd would take p Hessian products.

        H_kl = 1/n X^T diag(p_k ([k = l] - p_l)) X + [k = l] l2 I,   shape (c d, c d)
        """
        Z = self.X @ self.checked(w).reshape(-1, self.n_features).T
        n, c = Z.shape
        if c == 1:  # two classes: p_1 and the p_0 that has no coefficients
            Z = torch.cat([Z, torch.zeros_like(Z)], dim=1)
        P = torch.softmax(Z, dim=1)
        H = P.new_empty((c, self.n_features, c, self.n_features))
        for k in range(c):
            # Not 1 - p_k, which may round to 0 where p_k (1 - p_k) does not.
            others = torch.cat([P[:, :k], P[:, k + 1 :]], dim=1).sum(dim=1)
            H[k, :, k] = _weighted_gram(self.X, P[:, k] * others) / n
            for j in range(k):
                H[k, :, j] = _weighted_gram(self.X, -P[:, k] * P[:, j]) / n
                H[j, :, k] = H[k, :, j].T
        H = H.reshape(c * self.n_features, -1)
        H.diagonal().add_(self.l2)
        return H

    def _loss(self, w: torch.Tensor, X: torch.Tensor | TorchCSR, y: torch.Tensor) -> torch.Tensor:
        if len(self.coefficient_shape) == 1:
            loss = binary_cross_entropy_with_logits(X @ w, y)
        else:
            loss = cross_entropy(X @ w.T, y)
        flat = w.flatten()
        return loss + 0.5 * self.l2 * (flat @ flat) if self.l2 else loss

    def _leaf(self, w: Array) -> torch.Tensor:
        # A new leaf on shared memory: its gradient belongs to this call alone.
        return self.checked(w).requires_grad_(True)


def _weighted_gram(X: torch.Tensor | TorchCSR, weight: torch.Tensor) -> torch.Tensor:
    """X^T diag(weight) X, shape (d, d), dense."""
    return X.gram(weight) if isinstance(X, TorchCSR) else (X.T * weight) @ X
