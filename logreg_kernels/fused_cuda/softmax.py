"""`fused-cuda` for more than two classes: the Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from logreg_kernels.contract import Array
from logreg_kernels.fused_cuda.objective import FusedCudaObjective


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
