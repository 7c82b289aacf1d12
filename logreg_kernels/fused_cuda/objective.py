"""`fused-cuda`: what two and more classes share on the host's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from logreg_kernels.contract import Array
from logreg_kernels.fused_cuda.launch import (
    aligned,
    block_shape,
    device_code,
    launching,
    reduce_partials,
)
from logreg_kernels.torch_kernels.devices import TORCH_DTYPES, TorchData, as_indices


@dataclass(frozen=True, kw_only=True)
class FusedCudaObjective(TorchData):
    """f, its gradient and products with its Hessian: one pass over X and two launches for each.

    Nothing here waits for the device. Two calls with equal input return equal bits. A device with
    another `max_programs` sums in another order, and agrees to rounding.

    An entry of `rows` outside 0 ... n - 1 makes value and gradient NaN, and there is no counting
    from the end. To raise an error, the device would have to be waited for.

    Args:
        labels: 2 y - 1 as int8 for two classes, y as int32 for more; shape (n,).
        penalty: l2 on the device, shape (1,).
        max_programs: the most partial sums of a pass over X.
    """

    labels: torch.Tensor
    penalty: torch.Tensor
    max_programs: int

    @property
    def traffic_bytes(self) -> int:
        """X once, and the labels."""
        return int(self.X.nbytes + self.labels.nbytes)

    @property
    def storage_roundoff(self) -> float:
        """Half of the distance from 1 to the next number, where X isn't stored in `dtype`."""
        exact = self.X.dtype == TORCH_DTYPES[self.dtype]
        return 0.0 if exact else float(torch.finfo(self.X.dtype).eps) / 2

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        w = self.checked(w).contiguous()
        w = w if w.ndim == 1 else aligned(w)
        if rows is not None:
            rows = as_indices(rows, self.device).contiguous()
        value, grad = w.new_empty(()), torch.empty_like(w)
        self._launch(w, rows, value, grad)
        return value, grad

    def hvp(self, w: Array, v: Array) -> torch.Tensor:
        """H(w) v of w's shape; see `hvp_partials` and `softmax_hvp_partials`.

        Traffic: n d itemsize bytes, and the partial sums, written and read.
        """
        w = aligned(self.checked(w).contiguous())
        v = aligned(self.checked(v, "v").contiguous())
        product = torch.empty_like(w)
        n_rows = self.n_samples
        n_programs, options = self._row_blocks(n_rows)
        partials = w.new_empty(n_programs * w.numel())
        arguments, grid = (self.X, w, v, partials, n_rows), (n_programs,)
        with launching(self.X):
            if w.ndim == 1:
                device_code().hvp_partials[grid](*arguments, **options)
            else:
                device_code().softmax_hvp_partials[grid](*arguments, w.shape[0], **options)
            reduce_partials(
                partials, v, self.penalty, None, product, n_rows, n_programs, self.dtype
            )
        return product

    def _row_blocks(self, n_rows: int) -> tuple[int, dict[str, Any]]:
        """How many programs share so many rows, and what their launch passes by name."""
        block = block_shape(self.n_features, self.dtype, self.X.element_size())
        n_programs = min((n_rows - 1) // block.rows + 1, self.max_programs)
        return n_programs, block.launch_options(self.n_features)

    def _launch(
        self, w: torch.Tensor, rows: torch.Tensor | None, value: torch.Tensor, grad: torch.Tensor
    ) -> None:
        n_rows = self.n_samples if rows is None else rows.shape[0]
        n_programs, options = self._row_blocks(n_rows)
        # Not kept from call to call: two calls on two streams would write into each other's.
        partials = w.new_empty(n_programs * (w.numel() + 1))
        arguments = (self.X, self.labels, w, rows, partials, n_rows, self.n_samples)
        grid = (n_programs,)
        with launching(self.X):
            if w.ndim == 1:
                device_code().nll_and_grad_partials[grid](*arguments, **options)
            else:
                device_code().softmax_partials[grid](*arguments, w.shape[0], **options)
            reduce_partials(partials, w, self.penalty, value, grad, n_rows, n_programs, self.dtype)
