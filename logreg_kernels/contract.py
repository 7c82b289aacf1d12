"""What a kernel is, and what it returns when it is bound to data.

    f(W) = 1/n sum_i nll_i(W x_i) + l2/2 ||W||^2                  (nats, mean over rows)

    binary:   z = X w,    nll_i = softplus(z_i) - y_i z_i,    grad = 1/n X^T (sigmoid(z) - y) + l2 w
    softmax:  Z = X W^T,  nll_i = logsumexp(Z_i) - Z_i[y_i],  grad = 1/n (P - Y)^T X + l2 W,
              with P = softmax(Z) row by row, and Y the labels one-hot

Two classes are fitted by one w, shape (d,). More classes, c > 2, are fitted by W, shape (c, d).
A kernel may evaluate this in any way that meets the contract tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array: TypeAlias = Any
"""An array of the kernel's own library (NumPy array or torch tensor), on its own device."""

DType: TypeAlias = Literal["float32", "float64"]
DTYPES: tuple[DType, ...] = ("float32", "float64")
FloatMatrix: TypeAlias = NDArray[np.floating[Any]]
CSRMatrix: TypeAlias = csr_array
"""Sparse X: sorted column indices without duplicates in each row, int32 where they fit."""
Matrix: TypeAlias = FloatMatrix | CSRMatrix
Labels: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class BindTimes:
    """Seconds of `bind` for transfer and for compilation, which the harness reports separately."""

    transfer_s: float = 0.0
    compile_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """A kernel bound to data that already lies on its device, ready to be called.

    A kernel overrides `value_and_grad`, `as_coefficients`, and what else it offers.

    Args:
        X: design matrix, shape (n, d), in the kernel's library.
        l2: penalty; l2/2 ||w||^2 is part of f.
        dtype: floating-point type of w, value and gradient.
        coefficient_shape: shape of w and of the gradient: (d,) for two classes, (c, d) for more.
        kernel: name of the kernel that made it.
        device: where the data lies, in torch's words: "cpu", "cuda", "cuda:1", ...
        bind_times: what `bind` spent on transfer and on compilation.
    """

    X: Array
    l2: float
    dtype: DType
    coefficient_shape: tuple[int, ...]
    kernel: str
    device: str = "cpu"
    bind_times: BindTimes = BindTimes()

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])

    @property
    def offers(self) -> frozenset[str]:
        """Names of the methods that evaluate f, its gradient or its Hessian here."""
        names = {"value_and_grad", "value_and_grad_batch", "hvp", "hessian"}
        if len(self.coefficient_shape) > 1:
            names.remove("value_and_grad_batch")  # which takes two classes
        own = type(self)
        return frozenset(n for n in names if getattr(own, n) is not getattr(Objective, n))

    @property
    def traffic_bytes(self) -> int | None:
        """Bytes that one `value_and_grad` over all rows moves between memory and processor.

        This is the roofline's model: X as often as it is read, and the labels. None where the
        kernel has no such model.
        """
        return None

    @property
    def storage_roundoff(self) -> float:
        """Largest relative rounding of an entry of X, beyond that to `dtype`.

        It is above 0 where a kernel stores X in fewer bits. Such a kernel evaluates f of the
        rounded X, and is verified with that much more tolerance.
        """
        return 0.0

    @abstractmethod
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
            NotImplementedError: the kernel does not offer it.
        """
        if len(self.coefficient_shape) > 1:
            raise ValueError(
                "value_and_grad_batch takes two classes; this objective has "
                f"{self.coefficient_shape[0]}: call value_and_grad for each model"
            )
        raise NotImplementedError(f"kernel {self.kernel!r} has no value_and_grad_batch")

    def hvp(self, w: Array, v: Array) -> Array:
        """Product with the Hessian, H(w) v, of w's shape.

        Raises:
            ValueError: w or v is of another shape.
            NotImplementedError: the kernel does not offer it.
        """
        raise NotImplementedError(f"kernel {self.kernel!r} has no hvp")

    def hessian(self, w: Array) -> Array:
        """H(w), shape (p, p): p = d, or p = c d for W flattened row by row.

        Raises:
            ValueError: w is of another shape.
            NotImplementedError: the kernel does not offer it.
        """
        raise NotImplementedError(f"kernel {self.kernel!r} has no hessian")

    @abstractmethod
    def as_coefficients(self, w: Array) -> Array:
        """Put `w` into the kernel's library, dtype and device (a new array)."""

    def as_rows(self, rows: NDArray[np.intp]) -> Array:
        """Put row indices where `value_and_grad(rows=...)` reads them without a copy."""
        return np.asarray(rows)

    def synchronize(self) -> None:  # noqa: B027 - nothing to wait for is the default
        """Wait until everything asked of the device is done; returns at once on a CPU."""


@dataclass(frozen=True)
class Kernel(ABC):
    """One implementation of the objective.

    Args:
        name: what it is registered and reported under.
    """

    takes_csr: ClassVar[bool] = False
    """Whether `bind` takes X as CSR, too; where it does not, users get one line about it."""
    library: ClassVar[str | None] = None
    """An optional distribution that its results depend on, if there is one."""

    name: str

    @property
    def dtypes(self) -> tuple[DType, ...]:
        """What `bind` takes."""
        return DTYPES

    @property
    def interpreted(self) -> bool:
        """Whether an interpreter runs its code here. If so, its times mean nothing."""
        return False

    @abstractmethod
    def unavailable(self, device: str = "cpu") -> str | None:
        """None if it can run on `device` here and now, else the reason in words."""

    @abstractmethod
    def bind(self, X: Matrix, y: Labels, *, l2: float, device: str, dtype: DType) -> Objective:
        """Place checked data on the device. Users call `logreg_kernels.bind`, which checks it.

        X and y may be the caller's own memory: no kernel writes into them.

        Args:
            X: shape (n, d), finite, of type `dtype`. Dense and row-contiguous or, where the kernel
                `takes_csr`, canonical CSR.
            y: labels 0 ... c - 1, shape (n,), integers, each of them present.
        """


def coefficient_shape(y: Labels, n_features: int) -> tuple[int, ...]:
    """(d,) for labels 0 and 1, (c, d) for labels 0 ... c - 1 with c > 2."""
    n_classes = int(y.max()) + 1
    return (n_features,) if n_classes <= 2 else (n_classes, n_features)
