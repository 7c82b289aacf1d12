"""`numpy`: the reference. Plain NumPy, every formula in its numerically exact form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from logreg_kernels.contract import DType, Kernel, Labels, Matrix, coefficient_shape
from logreg_kernels.numpy_kernel.objective import NumpyBinary, NumpySoftmax


@dataclass(frozen=True)
class NumpyKernel(Kernel):
    """The reference kernel, which every other one is judged by. SciPy multiplies CSR."""

    takes_csr: ClassVar[bool] = True

    name: str = "numpy"

    def unavailable(self, device: str = "cpu") -> str | None:
        """NumPy is always there, on the CPU."""
        return None if device == "cpu" else f"NumPy computes on the CPU only, not on {device!r}"

    def bind(
        self, X: Matrix, y: Labels, *, l2: float, device: str, dtype: DType
    ) -> NumpyBinary | NumpySoftmax:
        """Keep the data where it is."""
        shape = coefficient_shape(y, X.shape[1])
        if len(shape) > 1:
            return NumpySoftmax(X=X, labels=y, l2=l2, dtype=dtype, coefficient_shape=shape)
        sign = (2 * y - 1).astype(dtype)
        return NumpyBinary(X=X, labels=sign, l2=l2, dtype=dtype, coefficient_shape=shape)
