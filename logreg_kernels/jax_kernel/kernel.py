"""`jax`: what a JAX user writes, `jax.jit(jax.value_and_grad(f))`, on a CPU or a CUDA device."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from logreg_kernels.contract import (
    BindTimes,
    DType,
    Kernel,
    Labels,
    Matrix,
    Objective,
    coefficient_shape,
)
from logreg_kernels.torch_kernels.devices import device_unavailable

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

        from logreg_kernels.jax_kernel.objective import (
            JaxObjective,
            jax_device,
            value_and_grad,
            x64,
        )

        place = jax_device(device)
        start = time.perf_counter()
        shape = coefficient_shape(y, X.shape[1])
        labels = (2 * y - 1).astype(dtype) if len(shape) == 1 else y.astype(np.int32)
        with x64():
            objective = JaxObjective(
                X=jax.device_put(X, place),
                labels=jax.device_put(labels, place),
                penalty=jax.device_put(np.array(l2, dtype=dtype), place),
                place=place,
                l2=l2,
                device=device,
                dtype=dtype,
                coefficient_shape=shape,
                kernel=self.name,
            )
            jax.block_until_ready(objective.data)
            transferred = time.perf_counter()
            w = objective.as_coefficients(np.zeros(shape))
            value_and_grad.lower(w, *objective.data).compile()
        times = BindTimes(transferred - start, time.perf_counter() - transferred)
        return replace(objective, bind_times=times)
