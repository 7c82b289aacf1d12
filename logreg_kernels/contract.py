"""What a kernel is, and what it returns when it is bound to data.

    f(w) = 1/n sum_i nll_i(x_i . w) + l2/2 ||w||^2                (nats, mean over rows)

    nll_i = softplus(z_i) - y_i z_i,    grad = 1/n X^T (sigmoid(z) - y) + l2 w

A kernel may evaluate this in any way that meets the contract tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of the kernel's own library (NumPy array or torch tensor), on its own device."""

DType: TypeAlias = Literal["float32", "float64"]
FloatMatrix: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class BindTimes:
    """Seconds inside `bind` that are not plain set-up: the harness reports each by itself."""

    transfer_s: float = 0.0
    compile_s: float = 0.0


class Objective(Protocol):
    """A kernel bound to data that already lies on its device, ready to be called."""

    @property
    def kernel(self) -> str:
        """Name of the kernel that made it."""

    @property
    def device(self) -> str:
        """Where the data lies, in torch's words: "cpu", "cuda", "cuda:1", ..."""

    @property
    def dtype(self) -> DType:
        """Floating-point type of X, w, value and gradient."""

    @property
    def l2(self) -> float:
        """Ridge penalty: l2/2 ||w||^2 is part of f."""

    @property
    def n_samples(self) -> int:
        """Rows of X."""

    @property
    def n_features(self) -> int:
        """Columns of X."""

    @property
    def bind_times(self) -> BindTimes:
        """What `bind` spent on transfer and on compilation; zero where it did neither."""

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Array, Array]:
        """Mean NLL and its gradient over all rows, or over `rows` only (a mini-batch).

        Args:
            w: coefficients, shape (d,).
            rows: row indices, shape (m,), m >= 1; an index may repeat. None means all rows.

        Returns:
            value: 0-d, nats.  grad: shape (d,). Both in the kernel's library, on its device.

        Raises:
            ValueError: w is not of shape (d,), or rows is empty or not one-dimensional.
            TypeError: rows are not integers.
        """

    def value_and_grad_batch(self, W: Array) -> tuple[Array, Array]:
        """Values (k,) and gradients (k, d) of k independent models W (k, d)."""

    def as_coefficients(self, w: Array) -> Array:
        """Put `w` into the kernel's library, dtype and device (a new array)."""

    def as_rows(self, rows: NDArray[np.intp]) -> Array:
        """Put row indices where `value_and_grad(rows=...)` reads them without a copy."""

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done; returns at once on a CPU."""


class Kernel(Protocol):
    """One implementation of the objective."""

    @property
    def name(self) -> str:
        """The name it is registered and reported under."""

    def unavailable(self, device: str = "cpu") -> str | None:
        """None if it can run on `device` here and now, else the reason in words."""

    def bind(
        self, X: FloatMatrix, y: FloatMatrix, *, l2: float, device: str, dtype: DType
    ) -> Objective:
        """Place checked data on the device.

        `X` is (n, d), row-contiguous, of type `dtype` and finite; `y` is (n,), of the same type,
        each 0 or 1. Users call `logreg_kernels.bind`, which checks that.
        """
