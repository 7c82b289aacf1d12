"""`fused-cuda` for two classes: the host's side."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from logreg_kernels.contract import Array
from logreg_kernels.fused_cuda.hessian import binary_hessian, hvp
from logreg_kernels.fused_cuda.launch import (
    batch_shape,
    block_shape,
    device_code,
    launching,
    max_batch_features,
    max_coefficients,
    reduce_partials,
)
from logreg_kernels.torch_kernels.data import TorchData
from logreg_kernels.torch_kernels.devices import TORCH_DTYPES, as_indices, as_tensor
from logreg_kernels.validation import check_models


@dataclass(frozen=True, kw_only=True)
class FusedCudaBinary(TorchData):
    """f and its gradient from one pass over X: two launches, no synchronisation.

    Two calls with equal input return equal bits. `max_programs`, the number of partial sums,
    follows the device: another one means another order of summation, and agrees to rounding.

    An entry of `rows` outside 0 ... n - 1 (there is no counting from the end) makes value and
    gradient NaN: to raise here, the device would have to be waited for.

    Traffic: n (d itemsize + 1) bytes; a mini-batch of m rows m (d itemsize + 9); and twice the
        partial sums, at most max_programs (d + 1) itemsize, which mostly stay in L2.
    """

    sign: torch.Tensor
    penalty: torch.Tensor
    max_programs: int

    @property
    def traffic_bytes(self) -> int:
        """X once, and the labels."""
        return int(self.X.nbytes + self.sign.nbytes)

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        w = self.checked(w).contiguous()
        if rows is not None:
            rows = as_indices(rows, self.device).contiguous()
        value, grad = w.new_empty(()), torch.empty_like(w)
        self._launch(w, rows, value, grad)
        return value, grad

    def value_and_grad_batch(self, W: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """f (k,) and gradients (k, d) of k models, X read once for each 16 of them.

        Rows of more than 4 KiB, in float64 of 2 KiB, don't fit beside the sums of 16 models:
        then X is read k times.

        Traffic: ceil(k / 16) n (d itemsize + 1) bytes, or k n (d itemsize + 1); and twice the
            partial sums, at most 256 MiB, or one for each model.
        """
        W = as_tensor(W, self.device, TORCH_DTYPES[self.dtype]).contiguous()
        check_models(W, self.coefficient_shape)
        values, grads = W.new_empty(W.shape[0]), torch.empty_like(W)
        if W.shape[0] > 1 and self.n_features <= max_batch_features(self.dtype):
            self._launch_batch(W, values, grads)
        else:
            for w, value, grad in zip(W, values, grads, strict=True):
                self._launch(w, None, value, grad)
        return values, grads

    def hvp(self, w: Array, v: Array) -> torch.Tensor:
        """H(w) v = 1/n X^T (p (1 - p) X v) + l2 v, shape (d,), in one pass over X."""
        w, v = self.checked(w), self.checked(v, "v")
        return hvp(self.X, w, v, self.penalty, self.dtype, self.max_programs)

    def hessian(self, w: Array) -> torch.Tensor:
        """H(w), shape (d, d): one pass over X up to d = 64; see `binary_hessian`."""
        w = self.checked(w)
        return binary_hessian(self.X, w, self.penalty, self.dtype, self.max_programs)

    def _launch(
        self, w: torch.Tensor, rows: torch.Tensor | None, value: torch.Tensor, grad: torch.Tensor
    ) -> None:
        n_samples, n_features = self.X.shape
        n_rows = n_samples if rows is None else rows.shape[0]
        block = block_shape(n_features, self.dtype, self.X.element_size())
        n_programs = min((n_rows - 1) // block.rows + 1, self.max_programs)
        # Not kept from call to call: two calls on two streams would write into each other's.
        partials = w.new_empty(n_programs * (n_features + 1))
        with launching(self.X):
            device_code().nll_and_grad_partials[(n_programs,)](
                self.X,
                self.sign,
                w,
                rows,
                partials,
                n_rows,
                n_samples,
                **block.launch_options(n_features),
            )
            reduce_partials(partials, w, self.penalty, value, grad, n_rows, n_programs, self.dtype)

    def _launch_batch(self, W: torch.Tensor, values: torch.Tensor, grads: torch.Tensor) -> None:
        n_samples, n_features = self.X.shape
        n_models = W.shape[0]
        tile = batch_shape(n_features, self.dtype)
        memory = max_coefficients(self.dtype) // (n_models * (n_features + 1))
        n_row_blocks = (n_samples - 1) // tile.rows + 1
        n_programs = max(1, min(n_row_blocks, self.max_programs, memory))
        partials = W.new_empty(n_models * n_programs * (n_features + 1))
        grid = (n_programs, (n_models - 1) // tile.models + 1)
        with launching(self.X):
            device_code("batch_triton").batch_partials[grid](
                self.X,
                self.sign,
                W,
                partials,
                n_samples,
                n_models,
                **tile.launch_options(n_features),
            )
            reduce_partials(
                partials, W, self.penalty, values, grads, n_samples, n_programs, self.dtype
            )
