"""What the torch-based objectives share: the data on a device, and no mathematics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from logreg_kernels.contract import Array, Objective
from logreg_kernels.torch_kernels.devices import TORCH_DTYPES, as_indices, as_tensor, synchronize
from logreg_kernels.validation import check_coefficients


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
