"""`fused-cuda` on the host's side: which device functions each call launches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from logreg_kernels.contract import Array
from logreg_kernels.fused_cuda.launch import (
    aligned,
    batch_options,
    block_shape,
    device_code,
    gram_options,
    launching,
    max_batch_features,
    max_coefficients,
    reduction_options,
)
from logreg_kernels.torch_kernels.devices import (
    TORCH_DTYPES,
    TorchData,
    as_indices,
    as_tensor,
)
from logreg_kernels.validation import check_models


@dataclass(frozen=True, kw_only=True)
class FusedCudaObjective(TorchData):
    """f, its gradient and products with its Hessian: one pass over X and two launches for each.

    Nothing here waits for the device. Two calls with equal input return equal bits. A device with
    another `max_programs` sums in another order, and agrees to rounding.

    An entry of `rows` outside 0 ... n - 1 makes value and gradient NaN. Negative entries don't
    count from the end. Raising an error would mean waiting for the device.

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
        code = device_code()
        function = code.hvp_partials if w.ndim == 1 else code.softmax_hvp_partials
        n_classes = w.shape[:-1]  # no argument for two classes
        with launching(self.X):
            function[(n_programs,)](self.X, w, v, partials, n_rows, *n_classes, **options)
            self._reduce(partials, v, None, product, n_rows, n_programs)
        return product

    def _row_blocks(self, n_rows: int) -> tuple[int, dict[str, Any]]:
        """How many programs share so many rows, and what their launch passes by name."""
        block = block_shape(self.n_features, self.dtype, self.X.element_size())
        n_programs = min(_n_blocks(n_rows, block.rows), self.max_programs)
        return n_programs, block.launch_options(self.n_features)

    def _launch(
        self, w: torch.Tensor, rows: torch.Tensor | None, value: torch.Tensor, grad: torch.Tensor
    ) -> None:
        n_rows = self.n_samples if rows is None else rows.shape[0]
        n_programs, options = self._row_blocks(n_rows)
        # Not kept from call to call: two calls on two streams would write into each other's.
        partials = w.new_empty(n_programs * (w.numel() + 1))
        arguments = (self.X, self.labels, w, rows, partials, n_rows, self.n_samples)
        code = device_code()
        function = code.nll_and_grad_partials if w.ndim == 1 else code.softmax_partials
        n_classes = w.shape[:-1]  # no argument for two classes
        with launching(self.X):
            function[(n_programs,)](*arguments, *n_classes, **options)
            self._reduce(partials, w, value, grad, n_rows, n_programs)

    def _reduce(
        self,
        partials: torch.Tensor,
        w: torch.Tensor | None,
        value: torch.Tensor | None,
        grad: torch.Tensor,
        n_rows: int,
        n_programs: int,
    ) -> None:
        """Launch `reduce_partials`, which writes grad and, unless it is None, value.

        The value is 0-d, or (k,) for k models; grad is then (k, d).
        """
        batch = value is not None and value.ndim == 1
        n_models = grad.shape[0] if batch else 1
        n_coefficients = grad.numel() // n_models
        options = reduction_options(n_coefficients, self.dtype, batch)
        n_column_blocks = _n_blocks(n_coefficients, options["BLOCK_K"])
        device_code().reduce_partials[(n_column_blocks + (value is not None), n_models)](
            partials, w, self.penalty, value, grad, n_rows, n_programs, **options
        )


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
        n_blocks = _n_blocks(n_features, gram["BLOCK_D"])
        n_pairs = n_blocks * (n_blocks + 1) // 2
        memory = max_coefficients(self.dtype) // n_features**2
        n_row_blocks = _n_blocks(n_samples, gram["BLOCK_N"])
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
            self._reduce(partials, None, None, H, n_samples, n_splits)
        H.diagonal().add_(self.penalty)
        return H

    def _launch_batch(self, W: torch.Tensor, values: torch.Tensor, grads: torch.Tensor) -> None:
        n_samples, n_features = self.X.shape
        n_models = W.shape[0]
        options = batch_options(n_features, self.dtype)
        memory = max_coefficients(self.dtype) // (n_models * (n_features + 1))
        n_row_blocks = _n_blocks(n_samples, options["BLOCK_N"])
        n_programs = max(1, min(n_row_blocks, self.max_programs, memory))
        partials = W.new_empty(n_models * n_programs * (n_features + 1))
        grid = (n_programs, _n_blocks(n_models, options["BLOCK_M"]))
        arguments = (self.X, self.labels, W, partials, n_samples, n_models)
        with launching(self.X):
            device_code().batch_partials[grid](*arguments, **options)
            self._reduce(partials, W, values, grads, n_samples, n_programs)


@dataclass(frozen=True, kw_only=True)
class FusedCudaSoftmax(FusedCudaObjective):
    """f of W (c, d).

    Traffic: n (d itemsize + 4) bytes; a mini-batch of m rows m (d itemsize + 12); and twice the
        partial sums, at most max_programs (c d + 1) itemsize. Within the device's caches, for
        each row block, W twice and as much again for partial sums, read and written.
    """

    def hessian(self, w: Array) -> torch.Tensor:
        """H(W), shape (c d, c d), by products with the c d unit vectors: c d passes over X."""
        w = self.checked(w)
        units = torch.eye(w.numel(), dtype=w.dtype, device=w.device)
        H = torch.stack([self.hvp(w, unit.view(w.shape)).flatten() for unit in units])
        # Rounding differs between H_jk and H_kj. What is symmetric stays so.
        return (H + H.T) / 2


def _n_blocks(size: int, block: int) -> int:
    """Blocks that cover a size >= 1."""
    return (size - 1) // block + 1
