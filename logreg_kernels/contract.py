"""What a kernel is, and what it returns when it is bound to data.

    f(W) = 1/n sum_i nll_i(W x_i) + l2/2 ||W||^2                  (nats, mean over rows)

    binary:   z = X w,    nll_i = softplus(z_i) - y_i z_i,    grad = 1/n X^T (sigmoid(z) - y) + l2 w
    softmax:  Z = X W^T,  nll_i = logsumexp(Z_i) - Z_i[y_i],  grad = 1/n (P - Y)^T X + l2 W,
              with P = softmax(Z) row by row, and Y the labels one-hot

Two classes are fitted by one w, shape (d,); c > 2 classes by W, shape (c, d).
A kernel may evaluate this in any way that meets the contract tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array: TypeAlias = Any
"""An array of the kernel's own library (NumPy array or torch tensor), on its own device."""

DType: TypeAlias = Literal["float32", "float64"]
FloatMatrix: TypeAlias = NDArray[np.floating[Any]]
CSRMatrix: TypeAlias = csr_array
"""Sparse X: sorted column indices without duplicates in each row, int32 where they fit."""
Labels: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class BindTimes:
    """Seconds inside `bind` that are not plain set-up: the harness reports each by itself."""

    transfer_s: float = 0.0
    compile_s: float = 0.0


class Objective(Protocol):
    """A kernel bound to data that already lies on its device, ready to be called.

    Two more methods are optional, and optimizers that call them say so in `needs`:

        hvp(w, v)     H(w) v, of w's shape
        hessian(w)    H(w), shape (p, p): p = d, or p = c d for W flattened row by row

    So is a property, by which the roofline is drawn:

        traffic_bytes    bytes that one `value_and_grad` over all rows moves between memory and
                         processor by the model: X as often as it is read, and the labels

    And a property `storage_roundoff`: how far each entry of X was rounded at most, relatively,
    where a kernel stores X in fewer bits than dtype has; 0 without one. It evaluates f of the
    rounded X, and is verified with that much tolerance more. A kernel that takes some dtypes only
    says so in a property `dtypes`; without one it takes both.
    """

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
    def coefficient_shape(self) -> tuple[int, ...]:
        """Shape of w and of the gradient: (d,) for two classes, (c, d) for more."""

    @property
    def bind_times(self) -> BindTimes:
        """What `bind` spent on transfer and on compilation; zero where it did neither."""

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Array, Array]:
        """Mean NLL and its gradient over all rows, or over `rows` only (a mini-batch).

        Args:
            w: coefficients, of `coefficient_shape`.
            rows: row indices, shape (m,), m >= 1; an index may repeat. None means all rows.

        Returns:
            value: 0-d, nats.  grad: of w's shape. Both in the kernel's library, on its device.

        Raises:
            ValueError: w is of another shape, or rows is empty or not one-dimensional.
            TypeError: rows are not integers.
        """

    def value_and_grad_batch(self, W: Array) -> tuple[Array, Array]:
        """Values (k,) and gradients (k, d) of k independent models W (k, d); two classes only.

        Raises:
            ValueError: W is of another shape, or there are more than two classes.
        """

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

    @property
    def takes_csr(self) -> bool:
        """Whether `bind` takes X as CSR, too; where it does not, users get one line about it."""

    def unavailable(self, device: str = "cpu") -> str | None:
        """None if it can run on `device` here and now, else the reason in words."""

    def bind(
        self, X: FloatMatrix | CSRMatrix, y: Labels, *, l2: float, device: str, dtype: DType
    ) -> Objective:
        """Place checked data on the device.

        `X` is (n, d), of type `dtype` and finite, and either dense and row-contiguous or, where
        the kernel `takes_csr`, canonical CSR; `y` is (n,), integers 0 ... c - 1, each of them
        present. Users call `logreg_kernels.bind`, which checks that. X and y may be the caller's
        own memory: no kernel writes into them.
        """


def coefficient_shape(y: Labels, n_features: int) -> tuple[int, ...]:
    """(d,) for labels 0 and 1, (c, d) for labels 0 ... c - 1 with c > 2."""
    n_classes = int(y.max()) + 1
    return (n_features,) if n_classes <= 2 else (n_classes, n_features)
