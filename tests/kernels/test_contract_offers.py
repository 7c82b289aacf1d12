"""The contract: what a kernel can do stands in its base class, whose defaults offer nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from variants import Variant, each_variant

from bench.measure.recorder import CountingObjective
from logreg_kernels import KERNELS, Kernel, Objective


@dataclass(frozen=True, kw_only=True)
class Least(Objective):
    """An objective with what every objective must have."""

    kernel: str = "least"

    def value_and_grad(self, w: Any, rows: Any = None) -> tuple[Any, Any]:
        return np.float64(0.0), np.zeros_like(w)

    def as_coefficients(self, w: Any) -> Any:
        return np.array(w)


class LeastKernel(Kernel):
    """A kernel with what every kernel must have."""

    def unavailable(self, device: str = "cpu") -> str | None:
        return None

    def bind(self, X: Any, y: Any, *, l2: float, device: str, dtype: Any) -> Objective:
        return least(X=X, l2=l2, device=device, dtype=dtype)


def least(shape: tuple[int, ...] = (3,), **fields: Any) -> Objective:
    data: dict[str, Any] = {"X": np.zeros((5, 3)), "l2": 0.1, "dtype": "float64"}
    return Least(coefficient_shape=shape, **data | fields)


def test_the_defaults_of_an_objective() -> None:
    objective = least()
    assert (objective.n_samples, objective.n_features, objective.device) == (5, 3, "cpu")
    assert (objective.bind_times.transfer_s, objective.bind_times.compile_s) == (0.0, 0.0)
    assert (objective.traffic_bytes, objective.storage_roundoff) == (None, 0.0)
    assert objective.offers == {"value_and_grad"}
    assert objective.as_rows(np.arange(2)).tolist() == [0, 1]
    objective.synchronize()


def test_the_defaults_of_a_kernel() -> None:
    kernel = LeastKernel("least")
    assert (kernel.takes_csr, kernel.library, kernel.interpreted) == (False, None, False)
    assert kernel.dtypes == ("float32", "float64")


def test_what_is_not_offered_says_so() -> None:
    w = np.zeros(3)
    with pytest.raises(NotImplementedError, match=r"^kernel 'least' has no hvp$"):
        least().hvp(w, w)
    with pytest.raises(NotImplementedError, match=r"^kernel 'least' has no hessian$"):
        least().hessian(w)
    with pytest.raises(NotImplementedError, match=r"^kernel 'least' has no value_and_grad_batch$"):
        least().value_and_grad_batch(w[None])


def test_a_wrapper_offers_what_is_inside() -> None:
    wrapped: Any = CountingObjective(least())
    assert wrapped.offers == {"value_and_grad"}


@each_variant
@pytest.mark.parametrize("n_classes", [2, 3])
def test_offered_is_what_has_been_overridden(variant: Variant, n_classes: int) -> None:
    objective = variant.bind(np.eye(n_classes), np.arange(n_classes))
    batch = {"value_and_grad_batch"} if n_classes == 2 else set()
    assert objective.offers == {"value_and_grad", "hvp", "hessian"} | batch
    assert objective.traffic_bytes is not None
    rounded = variant.kernel == "fused-cuda-bf16"
    assert objective.storage_roundoff == (2**-8 if rounded else 0.0)


def test_every_kernel_and_objective_has_the_base_class() -> None:
    for kernel in KERNELS.values():
        assert isinstance(kernel, Kernel)
