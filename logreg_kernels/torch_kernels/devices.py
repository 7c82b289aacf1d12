"""Whether torch has a device, how arrays get onto it, and objectives whose data lie there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from logreg_kernels.contract import Array, DType, Objective
from logreg_kernels.validation import check_coefficients, check_rows

TORCH_DTYPES: dict[DType, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}


def device_unavailable(device: str) -> str | None:
    """None if torch can compute on `device`, else why not."""
    try:
        parsed = torch.device(device)
    except (RuntimeError, TypeError):
        return f"torch knows no device {device!r}: use cpu, cuda, cuda:1, ..."
    if parsed.type == "cpu":
        return None
    backend = getattr(torch, parsed.type, None)
    if backend is None or not hasattr(backend, "is_available") or not backend.is_available():
        return f"torch {torch.__version__} finds no {parsed.type} device on this machine"
    count = backend.device_count() if hasattr(backend, "device_count") else 1
    if parsed.index is not None and parsed.index >= count:
        return f"there are {count} {parsed.type} devices; {device!r} is not one of them"
    return None


def place(array: NDArray[Any], device: str) -> torch.Tensor:
    """The array as a tensor on `device`. On the CPU it shares its memory."""
    with warnings.catch_warnings():
        # Problems hand out read-only arrays, and torch has no read-only tensors. No kernel
        # writes into X or y.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def as_tensor(values: Array, device: str, dtype: torch.dtype) -> torch.Tensor:
    """`values` on `device` as `dtype`. A tensor that is there already is not copied."""
    if isinstance(values, torch.Tensor):
        return values.detach().to(device=device, dtype=dtype)
    # A copy: torch takes neither read-only memory nor negative strides.
    return torch.from_numpy(np.array(values, order="C")).to(device=device, dtype=dtype)


def as_indices(rows: Array, device: str) -> torch.Tensor:
    """Row indices on `device` as int64. A tensor that is that already is not copied.

    Raises:
        ValueError: rows is empty or not one-dimensional.  TypeError: rows are not integers.
    """
    if not isinstance(rows, torch.Tensor):
        rows = np.array(rows, order="C")
    check_rows(rows)
    # torch takes uint8 for a mask, and refuses int16.
    return torch.as_tensor(rows, device=device).to(torch.int64)


def synchronize(device: str) -> None:
    """Wait for the device. A CPU has nothing to wait for."""
    parsed = torch.device(device)
    if parsed.type != "cpu":
        getattr(torch, parsed.type).synchronize(parsed)


@dataclass(frozen=True, kw_only=True)
class TorchData(Objective):
    """X on its device, a tensor or what stands for one, and how coefficients and rows get there."""

    def as_coefficients(self, w: Array) -> torch.Tensor:
        """A copy of `w` on this objective's device."""
        return as_tensor(w, self.device, TORCH_DTYPES[self.dtype]).clone()

    def as_rows(self, rows: NDArray[np.intp]) -> torch.Tensor:
        """The indices on the device, as int64."""
        return as_indices(rows, self.device)

    def synchronize(self) -> None:
        """Wait for the device."""
        synchronize(self.device)

    def checked(self, w: Array, name: str = "w") -> torch.Tensor:
        """`w` on the device, refused if it has another shape. Not copied where it is there."""
        coefficients = as_tensor(w, self.device, TORCH_DTYPES[self.dtype])
        check_coefficients(coefficients, self.coefficient_shape, name)
        return coefficients
