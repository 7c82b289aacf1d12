"""The kernels by name, and `bind`, which checks data and hands them to a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scipy.sparse import csr_array

from logreg_kernels.contract import Array, Kernel, Matrix, Objective
from logreg_kernels.fused_cpu.kernel import FusedCpu
from logreg_kernels.fused_cuda.kernel import FusedCuda
from logreg_kernels.jax_kernel.kernel import JaxKernel
from logreg_kernels.numpy_kernel.kernel import NumpyKernel
from logreg_kernels.torch_kernels.autograd import TorchAutograd
from logreg_kernels.torch_kernels.compile import TorchCompile
from logreg_kernels.validation import check_dtype, check_l2, check_labels, check_matrix, filled

# A new kernel is one file and one entry here. Tests, suites, tables and plots then have it.
_KERNELS: tuple[Kernel, ...] = (
    NumpyKernel(),
    TorchAutograd(),
    TorchCompile(),
    JaxKernel(),
    FusedCpu(),
    FusedCuda(),
    FusedCuda("fused-cuda-bf16", storage="bfloat16"),
)

KERNELS: Mapping[str, Kernel] = MappingProxyType({kernel.name: kernel for kernel in _KERNELS})


def bind(
    name: str,
    X: Array,
    y: Array,
    l2: float = 0.0,
    device: str = "cpu",
    dtype: str = "float64",
) -> Objective:
    """Check the data, place it on a device, and return the objective that evaluates

        f(w) = 1/n sum_i [softplus(z_i) - y_i z_i] + l2/2 ||w||^2,            z = X w
        f(W) = 1/n sum_i [logsumexp(Z_i) - Z_i[y_i]] + l2/2 ||W||^2,          Z = X W^T

    the first for two classes with w (d,), the second for c > 2 classes with W (c, d).

    Args:
        name: a key of `KERNELS`.
        X: design matrix, shape (n, d): anything NumPy reads, or a torch tensor. Sparse X may have
            any format of SciPy, or torch's COO, CSR or CSC. It is never made dense.
        y: labels in {0, 1}, or in {0, ..., c - 1}, shape (n,).
        l2: penalty >= 0.
        device: "cpu", "cuda", "cuda:1", ... in torch's words.
        dtype: "float32" or "float64".
    Returns:
        objective: data are transferred and code is compiled when this returns.
    Raises:
        ValueError: no such kernel, the kernel can't run here or takes no sparse X, or the data
            can't be fitted.
        TypeError: X or y does not hold real numbers.
    """
    if name not in KERNELS:
        raise ValueError(f"no kernel {name!r}; there are {', '.join(KERNELS)}")
    kernel = KERNELS[name]
    reason = kernel.unavailable(device)
    if reason is not None:
        raise ValueError(f"kernel {name!r} can't run on {device!r}: {reason}")
    checked_dtype = check_dtype(dtype)
    penalty = check_l2(l2, checked_dtype)
    matrix = check_matrix(X, checked_dtype)
    if (refused := why_not_sparse(name, matrix, device)) is not None:
        raise ValueError(f"kernel {name!r} {refused}")
    labels = check_labels(y, matrix.shape[0])
    return kernel.bind(matrix, labels, l2=penalty, device=device, dtype=checked_dtype)


def why_not_sparse(name: str, X: Matrix, device: str = "cpu") -> str | None:
    """None if a kernel takes this X, else the reason and the kernels that take sparse X."""
    if not isinstance(X, csr_array) or KERNELS[name].takes_csr:
        return None
    others = [k.name for k in _KERNELS if k.takes_csr and k.unavailable(device) is None]
    n, d = X.shape
    return (
        f"takes dense X only; got CSR ({n}, {d}), {filled(X)}: "
        f"use {', '.join(others)} (or pass X.toarray())"
    )
