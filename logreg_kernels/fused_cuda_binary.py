"""`fused-cuda` for two classes: the host's side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from logreg_kernels.contract import Array
from logreg_kernels.fused_cuda_launch import block_shape, device_code, reduce_partials
from logreg_kernels.torch_data import TorchData
from logreg_kernels.torch_devices import TORCH_DTYPES, as_indices, as_tensor
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
        value, grad = self.X.new_empty(()), torch.empty_like(w)
        self._launch(w, rows, value, grad)
        return value, grad

    def value_and_grad_batch(self, W: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """f (k,) and gradients (k, d) of k models, one after the other: X is read k times."""
        W = as_tensor(W, self.device, TORCH_DTYPES[self.dtype]).contiguous()
        check_models(W, self.coefficient_shape)
        values, grads = self.X.new_empty(W.shape[0]), torch.empty_like(W)
        for w, value, grad in zip(W, values, grads, strict=True):
            self._launch(w, None, value, grad)
        return values, grads

    def _launch(
        self, w: torch.Tensor, rows: torch.Tensor | None, value: torch.Tensor, grad: torch.Tensor
    ) -> None:
        n_samples, n_features = self.X.shape
        n_rows = n_samples if rows is None else rows.shape[0]
        block = block_shape(n_features, self.dtype)
        n_programs = min((n_rows - 1) // block.rows + 1, self.max_programs)
        # Not kept from call to call: two calls on two streams would write into each other's.
        partials = self.X.new_empty(n_programs * (n_features + 1))
        # The interpreter computes in NumPy, which warns of overflow where a GPU does not.
        with torch.cuda.device_of(self.X), np.errstate(all="ignore"):
            device_code().nll_and_grad_partials[(n_programs,)](
                self.X,
                self.sign,
                w,
                rows,
                partials,
                n_rows,
                n_samples,
                N_FEATURES=n_features,
                CHUNKS=block.chunks,
                BLOCK_N=block.rows,
                BLOCK_K=block.chunk_columns,
                num_warps=block.num_warps,
                maxnreg=block.max_registers,
                enable_fp_fusion=True,
            )
            reduce_partials(partials, w, self.penalty, value, grad, n_rows, n_programs, self.dtype)
