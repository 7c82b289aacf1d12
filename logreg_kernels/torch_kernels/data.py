"""What the torch-based objectives share: the data on a device, and no mathematics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from logreg_kernels.contract import Array, BindTimes, DType
from logreg_kernels.torch_kernels.devices import TORCH_DTYPES, as_indices, as_tensor, synchronize
from logreg_kernels.validation import check_coefficients


@dataclass(frozen=True, kw_only=True)
class TorchData:
    """X on its device, a tensor or what stands for one, and how coefficients and rows get there."""

    X: Array
    l2: float
    device: str
    dtype: DType
    coefficient_shape: tuple[int, ...]
    kernel: str
    bind_times: BindTimes = field(default_factory=BindTimes)

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])

    @property
    def storage_roundoff(self) -> float:
        """What X's entries were rounded by at most, relatively, where it isn't stored in dtype."""
        stored, dtype = torch.finfo(self.X.dtype), torch.finfo(TORCH_DTYPES[self.dtype])
        return float(stored.eps) / 2 if stored.eps > dtype.eps else 0.0

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
        """`w` on the device, refused if it has another shape; not copied where it is there."""
        coefficients = as_tensor(w, self.device, TORCH_DTYPES[self.dtype])
        check_coefficients(coefficients, self.coefficient_shape, name)
        return coefficients
