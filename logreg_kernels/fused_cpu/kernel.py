"""`fused-cpu`: NLL and gradient in one pass over X on all cores, by Numba."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from logreg_kernels.contract import (
    BindTimes,
    DType,
    Kernel,
    Labels,
    Matrix,
    Objective,
    coefficient_shape,
)


@dataclass(frozen=True)
class FusedCpu(Kernel):
    """NLL and gradient in one pass over X, on as many threads as torch has.

    Its code is compiled once for this machine's vector instructions, and kept on disk.
    """

    takes_csr: ClassVar[bool] = True

    name: str = "fused-cpu"

    def unavailable(self, device: str = "cpu") -> str | None:
        """None on the CPU, where Numba is installed."""
        if device != "cpu":
            return f"fused-cpu computes on the CPU only, not on {device!r}"
        if importlib.util.find_spec("numba") is None:
            return "Numba is not installed: pip install numba"
        return None

    def bind(self, X: Matrix, y: Labels, *, l2: float, device: str, dtype: DType) -> Objective:
        """Keep the data where it is. Compile all passes, or load them from disk."""
        # Importing Numba takes half a second, so it is imported only where it is used.
        from logreg_kernels.fused_cpu.objective import FusedCpuBinary, FusedCpuSoftmax, operand_of

        shape = coefficient_shape(y, X.shape[1])
        two_classes = len(shape) == 1
        kind = FusedCpuBinary if two_classes else FusedCpuSoftmax
        objective = kind(
            X=X,
            operand=operand_of(X),
            labels=(2 * y - 1).astype(np.int8) if two_classes else y.astype(np.int32),
            l2=l2,
            dtype=dtype,
            coefficient_shape=shape,
            kernel=self.name,
        )
        start = time.perf_counter()
        objective.compile()
        return replace(objective, bind_times=BindTimes(compile_s=time.perf_counter() - start))
