"""`fused-cuda`: NLL and gradient in one pass over X, by Triton."""

from __future__ import annotations

import importlib.util
import math
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from logreg_kernels.contract import (
    DTYPES,
    BindTimes,
    DType,
    Kernel,
    Labels,
    Matrix,
    Objective,
    coefficient_shape,
)
from logreg_kernels.fused_cuda.launch import (
    device_code,
    max_coefficients,
    max_features,
    max_programs,
)
from logreg_kernels.fused_cuda.objective import (
    FusedCudaBinary,
    FusedCudaObjective,
    FusedCudaSoftmax,
)
from logreg_kernels.torch_kernels.devices import TORCH_DTYPES, device_unavailable, place


@dataclass(frozen=True)
class FusedCuda(Kernel):
    """NLL and gradient in one pass over X, on a CUDA device, without atomics.

    Under TRITON_INTERPRET=1 it also runs on "cpu", through Triton's interpreter. That is the same
    code, thousands of times slower, for tests.
    """

    name: str = "fused-cuda"
    storage: Literal["bfloat16"] | None = None
    """Type that X is rounded to, of half the bytes. The arithmetic stays in float32.

    Rounding X to 8 significant bits moves each entry by at most 2^-8 of it. Value, gradient and
    Hessian are those of the rounded X, up to rounding in float32.
    """

    @property
    def dtypes(self) -> tuple[DType, ...]:
        """What `bind` takes."""
        return ("float32",) if self.storage else DTYPES

    @property
    def interpreted(self) -> bool:
        """Whether Triton's interpreter runs it, on any device."""
        return _triton_installed() and bool(device_code().INTERPRETED)

    def unavailable(self, device: str = "cpu") -> str | None:
        """None on a CUDA device, or on "cpu" under Triton's interpreter; else why not."""
        reason = device_unavailable(device)
        if reason is not None:
            return reason
        kind = torch.device(device).type
        if kind == "cuda" and not _triton_installed():
            return "Triton is not installed: pip install 'logreg-bench[test]' on Linux x86-64"
        if kind == "cuda" or (kind == "cpu" and self.interpreted):
            return None
        return (
            f"needs a CUDA device; got {device!r} "
            "(TRITON_INTERPRET=1 runs it on a CPU, to test it, never to time it)"
        )

    def bind(self, X: Matrix, y: Labels, *, l2: float, device: str, dtype: DType) -> Objective:
        """Transfer the data, and compile for its width all that an optimizer may call.

        Raises:
            ValueError: X has more than `max_features(dtype)` columns, or W more than
                `max_coefficients(dtype)` entries. Where X is rounded to bfloat16: dtype is not
                float32, or entries of X overflow.
        """
        n_features = X.shape[1]
        shape = coefficient_shape(y, n_features)
        if n_features > max_features(dtype):
            raise ValueError(
                f"{self.name} takes at most {max_features(dtype)} columns in {dtype}; "
                f"X has {n_features}: use torch-autograd"
            )
        if math.prod(shape) > max_coefficients(dtype):
            raise ValueError(
                f"{self.name} takes at most {max_coefficients(dtype)} coefficients in {dtype}; "
                f"{shape[0]} classes have {math.prod(shape)}: use torch-autograd"
            )
        if dtype not in self.dtypes:
            raise ValueError(f"{self.name} computes in float32 only; got {dtype}: use fused-cuda")
        start = time.perf_counter()
        X_placed = place(X, device)
        if self.storage == "bfloat16":
            X_placed = X_placed.to(torch.bfloat16)
            if not bool(X_placed.isfinite().all()):
                raise ValueError(
                    f"X has entries above {torch.finfo(torch.bfloat16).max:.3g}, the range of "
                    "bfloat16: scale X"
                )
        labels = (2 * y - 1).astype(np.int8) if len(shape) == 1 else y.astype(np.int32)
        data = X_placed, place(labels, device)
        objective = replace(objective_of(*data, l2, dtype, shape, self.name), device=device)
        objective.synchronize()
        transferred = time.perf_counter()
        if not self.interpreted:
            compile_for(objective)
        times = BindTimes(transferred - start, time.perf_counter() - transferred)
        return replace(objective, bind_times=times)


def objective_of(
    X: torch.Tensor,
    labels: torch.Tensor,
    l2: float,
    dtype: DType,
    coefficient_shape: tuple[int, ...],
    kernel: str = "fused-cuda",
) -> FusedCudaObjective:
    """The objective of data that lies on its device; labels as `FusedCudaObjective` takes them."""
    kind = FusedCudaBinary if len(coefficient_shape) == 1 else FusedCudaSoftmax
    device = str(X.device)
    return kind(
        X=X,
        labels=labels,
        # Filled on the device: a copy from the host would not go into a CUDA graph.
        penalty=torch.full((1,), l2, dtype=TORCH_DTYPES[dtype], device=device),
        l2=l2,
        device=device,
        dtype=dtype,
        coefficient_shape=coefficient_shape,
        kernel=kernel,
        max_programs=max_programs(device, coefficient_shape, dtype, X.element_size()),
    )


# A larger Hessian is compiled at its first call: in bind it would take too much memory.
_MAX_HESSIAN_BYTES = 1 << 26


def compile_for(objective: FusedCudaObjective) -> None:
    """Launch every variant on one row of X: Triton compiles at the first launch."""
    w = objective.as_coefficients(np.zeros(objective.coefficient_shape))
    first_row = replace(objective, X=objective.X[:1])
    first_row.value_and_grad(w)
    first_row.value_and_grad(w, rows=objective.as_rows(np.zeros(1, dtype=np.intp)))
    first_row.hvp(w, w)
    if w.ndim == 1:
        first_row.value_and_grad_batch(torch.stack([w, w]))
        if w.numel() ** 2 * w.element_size() <= _MAX_HESSIAN_BYTES:
            first_row.hessian(w)
    objective.synchronize()


def _triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None
