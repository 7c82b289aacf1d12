"""Which kernels there are, and how they say that they can't run."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from logreg_kernels import KERNELS, Kernel, bind

X, Y = [[0.0], [1.0]], [0, 1]
each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))


def test_the_kernels_that_outside_code_counts_on() -> None:
    assert {"numpy", "torch-autograd", "fused-cuda"} <= set(KERNELS)
    assert {name: kernel.name for name, kernel in KERNELS.items()} == {
        name: name for name in KERNELS
    }


def test_the_kernels_that_run_anywhere() -> None:
    assert KERNELS["numpy"].unavailable() is None
    assert KERNELS["torch-autograd"].unavailable() is None


def test_the_kernels_that_take_csr() -> None:
    takes = {name for name, kernel in KERNELS.items() if kernel.takes_csr}
    assert {"numpy", "torch-autograd"} <= takes
    assert "fused-cuda" not in takes


def test_the_map_is_read_only() -> None:
    kernels: Any = KERNELS
    with pytest.raises(TypeError):
        kernels["mine"] = KERNELS["numpy"]
    with pytest.raises(TypeError):
        del kernels["numpy"]


@each_kernel
def test_a_kernel_is_immutable(kernel: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        kernel.name = "mine"


@each_kernel
def test_unavailable_is_none_or_one_line_of_words(kernel: Kernel) -> None:
    for device in ("cpu", "cuda", "cuda:99", "mps", "gpu", ""):
        reason = kernel.unavailable(device=device)
        assert reason is None or (len(reason.split()) >= 3 and len(reason.splitlines()) == 1)
    assert kernel.unavailable() == kernel.unavailable("cpu")


@each_kernel
@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_bind_gives_the_reason_of_the_kernel(kernel: Kernel, device: str) -> None:
    reason = kernel.unavailable(device)
    assert reason is not None
    with pytest.raises(
        ValueError, match=f"^kernel '{kernel.name}' can't run on '{device}': "
    ) as caught:
        bind(kernel.name, X, Y, device=device)
    assert str(caught.value).endswith(reason)


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("no kernel 'cuda-fused'; there are numpy, ")):
        bind("cuda-fused", X, Y)


def test_bind_by_default_is_float64_on_the_cpu_without_penalty() -> None:
    objective = bind("numpy", X, Y)
    assert (objective.device, objective.dtype, objective.l2) == ("cpu", "float64", 0.0)
