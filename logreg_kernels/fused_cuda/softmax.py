"""`fused-cuda` for more than two classes: the host's side."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from logreg_kernels.contract import Array
from logreg_kernels.fused_cuda.hessian import hessian_by_products, hvp
from logreg_kernels.fused_cuda.launch import (
    aligned,
    block_shape,
    device_code,
    launching,
    reduce_partials,
)
from logreg_kernels.torch_kernels.data import TorchData
from logreg_kernels.torch_kernels.devices import as_indices
from logreg_kernels.validation import check_models


@dataclass(frozen=True, kw_only=True)
class FusedCudaSoftmax(TorchData):
    """f and its gradient from one pass over X: two launches, no synchronisation.

    As with two classes, equal calls return equal bits on the same device, and an entry of `rows`
    outside 0 ... n - 1 makes value and gradient NaN.

    Traffic: n (d itemsize + 4) bytes; a mini-batch of m rows m (d itemsize + 12); and twice the
        partial sums, at most max_programs (c d + 1) itemsize. Within the device's caches, for
        each row block, W twice and as much again for partial sums, read and written.
    """

    label: torch.Tensor
    penalty: torch.Tensor
    max_programs: int

    @property
    def traffic_bytes(self) -> int:
        """X once, and the labels."""
        return int(self.X.nbytes + self.label.nbytes)

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(W) and its gradient; see `Objective.value_and_grad`."""
        W = aligned(self.checked(w).contiguous())
        if rows is not None:
            rows = as_indices(rows, self.device).contiguous()
        n_samples, n_features = self.X.shape
        n_classes = W.shape[0]
        n_rows = n_samples if rows is None else rows.shape[0]
        block = block_shape(n_features, self.dtype, self.X.element_size())
        n_programs = min((n_rows - 1) // block.rows + 1, self.max_programs)
        value, grad = W.new_empty(()), torch.empty_like(W)
        partials = W.new_empty(n_programs * (W.numel() + 1))
        with launching(self.X):
            device_code("softmax_triton").softmax_partials[(n_programs,)](
                self.X,
                self.label,
                W,
                rows,
                partials,
                n_rows,
                n_samples,
                n_classes,
                **block.launch_options(n_features),
            )
            reduce_partials(partials, W, self.penalty, value, grad, n_rows, n_programs, self.dtype)
        return value, grad

    def value_and_grad_batch(self, W: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """Refused: batches are for two classes."""
        check_models(W, self.coefficient_shape)
        raise AssertionError("check_models refuses more than two classes")

    def hvp(self, w: Array, v: Array) -> torch.Tensor:
        """H(W) V, shape (c, d), in one pass over X; see `softmax_hvp_partials`."""
        w, v = self.checked(w), self.checked(v, "v")
        return hvp(self.X, w, v, self.penalty, self.dtype, self.max_programs)

    def hessian(self, w: Array) -> torch.Tensor:
        """H(W), shape (c d, c d), by c d products: c d passes over X."""
        w = self.checked(w)
        return hessian_by_products(lambda v: self.hvp(w, v), w)
