"""`fused-cuda`: NLL and gradient in one pass over X, by Triton."""

from __future__ import annotations

from dataclasses import dataclass

from logreg_kernels.contract import DType, FloatMatrix, Objective


@dataclass(frozen=True)
class FusedCuda:
    """One pass over X on a CUDA device."""

    name: str = "fused-cuda"

    def unavailable(self, device: str = "cpu") -> str | None:
        """Why it can't run on `device`."""
        return f"needs a CUDA device; got {device!r}"

    def bind(
        self, X: FloatMatrix, y: FloatMatrix, *, l2: float, device: str, dtype: DType
    ) -> Objective:
        """Place the data."""
        raise ValueError("unavailable")
