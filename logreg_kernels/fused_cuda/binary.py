"""`fused-cuda` for two classes: batches of models, and the Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from logreg_kernels.contract import Array
from logreg_kernels.fused_cuda.launch import (
    batch_options,
    device_code,
    gram_options,
    launching,
    max_batch_features,
    max_coefficients,
    reduce_partials,
)
from logreg_kernels.fused_cuda.objective import FusedCudaObjective
from logreg_kernels.torch_kernels.devices import TORCH_DTYPES, as_tensor
from logreg_kernels.validation import check_models


@dataclass(frozen=True, kw_only=True)
class FusedCudaBinary(FusedCudaObjective):
    """f of w (d,).

    Traffic: n (d itemsize + 1) bytes; a mini-batch of m rows m (d itemsize + 9); and twice the
        partial sums, at most max_programs (d + 1) itemsize, which mostly stay in L2.
    """

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

    def hessian(self, w: Array) -> torch.Tensor:
        """H = 1/n X^T diag(p_i (1 - p_i)) X + l2 I, shape (d, d).

        Up to d = 64 this is one pass over X. Beyond, one pass makes the weights p (1 - p). Each
        block of 64 columns is then read by the programs of each pair of blocks that it is in:
        b + 1 times for b = ceil(d / 64), mostly from L2.

        Traffic: n d itemsize bytes, or (b + 2) of these; S d^2 itemsize for S partial sums, written
            and read, S being limited like the number of programs.
        """
        w = self.checked(w).contiguous()
        n_samples, n_features = self.X.shape
        gram = gram_options(n_features)
        n_blocks = (n_features - 1) // gram["BLOCK_D"] + 1
        n_pairs = n_blocks * (n_blocks + 1) // 2
        memory = max_coefficients(self.dtype) // n_features**2
        n_row_blocks = (n_samples - 1) // gram["BLOCK_N"] + 1
        n_splits = max(1, min(n_row_blocks, self.max_programs // n_pairs, memory))
        H: torch.Tensor = w.new_empty((n_features, n_features))
        partials = w.new_empty((n_splits, n_features, n_features))
        weight = None
        with launching(self.X):
            if n_blocks > 1:
                weight = w.new_empty(n_samples)
                n_programs, options = self._row_blocks(n_samples)
                device_code().curvatures[(n_programs,)](self.X, w, weight, n_samples, **options)
            device_code().gram_partials[(n_splits, n_blocks, n_blocks)](
                self.X, w, weight, partials, n_samples, **gram
            )
            reduce_partials(partials, None, self.penalty, None, H, n_samples, n_splits, self.dtype)
        H.diagonal().add_(self.penalty)
        return H

    def _launch_batch(self, W: torch.Tensor, values: torch.Tensor, grads: torch.Tensor) -> None:
        n_samples, n_features = self.X.shape
        n_models = W.shape[0]
        options = batch_options(n_features, self.dtype)
        memory = max_coefficients(self.dtype) // (n_models * (n_features + 1))
        n_row_blocks = (n_samples - 1) // options["BLOCK_N"] + 1
        n_programs = max(1, min(n_row_blocks, self.max_programs, memory))
        partials = W.new_empty(n_models * n_programs * (n_features + 1))
        grid = (n_programs, (n_models - 1) // options["BLOCK_M"] + 1)
        arguments = (self.X, self.labels, W, partials, n_samples, n_models)
        with launching(self.X):
            device_code().batch_partials[grid](*arguments, **options)
            reduce_partials(
                partials, W, self.penalty, values, grads, n_samples, n_programs, self.dtype
            )
