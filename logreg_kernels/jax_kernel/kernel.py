"""`jax`: what a JAX user writes, `jax.jit(jax.value_and_grad(f))`, on a CPU or a CUDA device."""

from __future__ import annotations

import importlib.util
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from logreg_kernels.contract import (
    Array,
    BindTimes,
    DType,
    Kernel,
    Labels,
    Matrix,
    Objective,
    coefficient_shape,
)
from logreg_kernels.jax_kernel.functions import functions_for
from logreg_kernels.torch_kernels.devices import device_unavailable
from logreg_kernels.validation import check_coefficients, check_models, check_rows

_CUDA_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")


@dataclass(frozen=True)
class JaxKernel(Kernel):
    """The loss of the logits in jax.numpy, its value and gradient compiled as one by XLA.

    JAX is an optional extra, which `bind` loads. On a CPU, XLA uses all cores that the process may
    use, whatever number of threads torch and the BLAS are set to. On a CUDA device it sets aside
    most of the memory, unless XLA_PYTHON_CLIENT_PREALLOCATE=false.
    """

    library: ClassVar[str | None] = "jax"

    name: str = "jax"

    def unavailable(self, device: str = "cpu") -> str | None:
        """None where torch finds the device and JAX is installed for it. JAX is not loaded."""
        reason = device_unavailable(device)
        if reason is not None:
            return reason
        kind = torch.device(device).type
        if kind not in ("cpu", "cuda"):
            return f"JAX is run on cpu and cuda here, not on {device!r}"
        if importlib.util.find_spec("jax") is None:
            return "JAX is not installed: pip install 'logreg-bench[jax]'"
        if kind == "cuda" and not any(map(importlib.util.find_spec, _CUDA_PLUGINS)):
            return "JAX is installed for CPUs only: pip install 'jax[cuda12]'"
        return None

    def bind(self, X: Matrix, y: Labels, *, l2: float, device: str, dtype: DType) -> Objective:
        """Place the data, and compile for their shape unless that was compiled before.

        Raises:
            ValueError: JAX does not find the device.
        """
        import jax

        place = _jax_device(device)
        start = time.perf_counter()
        shape = coefficient_shape(y, X.shape[1])
        labels = (2 * y - 1).astype(dtype) if len(shape) == 1 else y.astype(np.int32)
        with x64():
            objective = JaxObjective(
                X=jax.device_put(X, place),
                labels=jax.device_put(labels, place),
                penalty=jax.device_put(np.array(l2, dtype=dtype), place),
                place=place,
                functions=functions_for(len(shape)),
                l2=l2,
                device=device,
                dtype=dtype,
                coefficient_shape=shape,
                kernel=self.name,
            )
            jax.block_until_ready(objective.data)
            transferred = time.perf_counter()
            w = objective.as_coefficients(np.zeros(shape))
            objective.functions["value_and_grad"].lower(w, *objective.data).compile()
        times = BindTimes(transferred - start, time.perf_counter() - transferred)
        return replace(objective, bind_times=times)


@dataclass(frozen=True, kw_only=True)
class JaxObjective(Objective):
    """f and its gradient by JAX's reverse-mode differentiation, compiled for one shape of X.

    XLA compiles for shapes, and `bind` compiles what runs on all rows. A mini-batch of a new
    length, a batch of another number of models, and the first Hessian and Hessian product compile
    at that call. Each takes a tenth of a second, once in the process.

    Calls run in JAX's 64-bit mode and leave its flag as it was. While the flag is off, JAX rounds
    to float32 what a caller computes from float64 arrays and Python's numbers, with a warning.
    Such arithmetic belongs in NumPy, or inside jax.enable_x64(True).

    JAX returns before its work is done. On a CPU the call waits for it, since time stamps taken
    there count what was asked for as done. On CUDA `synchronize` waits.

    Accuracy: softplus(-s z) with s = 2 y - 1 keeps the tail. Its slope, exp(x - softplus(x)) in
    JAX, is off by u |x| where x >> 0. log_softmax(Z)[y] and softmax(Z) - onehot(y) cancel where
    the label is certain, as torch's do.

    Traffic: X and the labels are read twice, forward and backward: 2 n (d itemsize + bytes of a
    label).
    """

    labels: Any
    """2 y - 1 of X's type for two classes, y as int32 for more; shape (n,)."""
    penalty: Any
    """l2, 0-d."""
    place: Any
    functions: dict[str, Any]
    outstanding: list[Any] = field(default_factory=list)
    """The result that was asked for last. A device works in the order of the calls."""

    @property
    def data(self) -> tuple[Any, Any, Any]:
        """What the functions take after the coefficients."""
        return self.X, self.labels, self.penalty

    @property
    def traffic_bytes(self) -> int:
        """X twice, and the labels."""
        return int(2 * self.X.nbytes + self.labels.nbytes)

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Array, Array]:
        """f(w) and its gradient, NaN if a row is not there; see `Objective.value_and_grad`."""
        w = self._checked(w)
        if rows is None:
            value, grad = self._done("value_and_grad", w, *self.data)
        else:
            value, grad = self._done("value_and_grad_rows", w, *self.data, self.as_rows(rows))
        return value, grad

    def value_and_grad_batch(self, W: Array) -> tuple[Array, Array]:
        """k models in one forward and one backward pass over X."""
        if len(self.coefficient_shape) > 1:
            return super().value_and_grad_batch(W)
        W = self.as_coefficients(W)
        check_models(W, self.coefficient_shape)
        values, grads = self._done("value_and_grad_batch", W, *self.data)
        return values, grads

    def hvp(self, w: Array, v: Array) -> Array:
        """H(w) v, forward over reverse: the derivative of the gradient along v."""
        return self._done("hvp", self._checked(w), self._checked(v, "v"), *self.data)

    def hessian(self, w: Array) -> Array:
        """H(w) by its formula, shape (p, p)."""
        return self._done("hessian", self._checked(w), *self.data)

    def as_coefficients(self, w: Array) -> Array:
        """`w` on this objective's device. A JAX array can't be written into, and is shared."""
        import jax

        if isinstance(w, jax.Array) and w.dtype == self.dtype:
            return w
        # A copy, since JAX on a CPU may go on reading the memory that it is given.
        return self._placed(np.array(_on_host(w), dtype=self.dtype, order="C"))

    def as_rows(self, rows: NDArray[np.intp]) -> Array:
        """The indices on the device as int32, as JAX counts rows."""
        import jax

        if not isinstance(rows, jax.Array):
            rows = np.asarray(_on_host(rows))
        check_rows(rows)
        if isinstance(rows, jax.Array) and rows.dtype == np.int32:
            return rows
        # Row 2^32 must not become row 0.
        limits = np.iinfo(np.int32)
        clipped = np.clip(np.asarray(rows).astype(np.int64), limits.min, limits.max)
        return self._placed(clipped.astype(np.int32))

    def synchronize(self) -> None:
        """Wait for what was asked for last."""
        import jax

        jax.block_until_ready(self.outstanding)

    def _done(self, function: str, *arguments: Array) -> Any:
        """Call one of the functions, and on a CPU wait for its result."""
        with x64():
            result = self.functions[function](*arguments)
        self.outstanding[:] = [result]
        if self.place.platform == "cpu":
            self.synchronize()
        return result

    def _checked(self, w: Array, name: str = "w") -> Array:
        w = self.as_coefficients(w)
        check_coefficients(w, self.coefficient_shape, name)
        return w

    def _placed(self, array: NDArray[Any]) -> Array:
        import jax

        with x64():
            return jax.device_put(array, self.place)


def x64() -> AbstractContextManager[Any]:
    """JAX's 64-bit mode, in this thread, as a context."""
    import jax

    on: AbstractContextManager[Any]
    if hasattr(jax, "enable_x64"):
        on = jax.enable_x64(True)
    else:  # before JAX 0.8
        from jax.experimental import enable_x64

        on = enable_x64(True)
    return on


@cache
def _jax_device(device: str) -> Any:
    """JAX's own object for a device in torch's words."""
    import jax

    parsed = torch.device(device)
    try:
        return jax.devices(parsed.type)[parsed.index or 0]
    except (RuntimeError, IndexError) as error:
        lines = str(error).splitlines() or [""]
        raise ValueError(
            f"JAX finds no device {device!r}: {lines[0]}: use torch-autograd"
        ) from None


def _on_host(values: Array) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
