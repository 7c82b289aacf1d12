"""The contract: which kernels there are, and how they say that they can't run.

The rest of it is in test_contract_values.py (what they compute), test_contract_calls.py (how they
are called), test_contract_input.py (what they take and refuse), test_contract_csr.py (sparse X) and
test_contract_hessian.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from logreg_kernels import KERNELS, Kernel, bind

DEVICES = ["cpu", "cuda", "cuda:99", "mps", "gpu", ""]

each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))


def test_the_kernels_that_outside_code_counts_on() -> None:
    assert {"numpy", "torch-autograd", "fused-cuda"} <= set(KERNELS)
    assert {name: kernel.name for name, kernel in KERNELS.items()} == {
        name: name for name in KERNELS
    }


def test_the_kernels_that_run_anywhere() -> None:
    assert KERNELS["numpy"].unavailable() is None
    assert KERNELS["torch-autograd"].unavailable() is None


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
@pytest.mark.parametrize("device", DEVICES)
def test_unavailable_is_none_or_one_line_of_words(kernel: Kernel, device: str) -> None:
    reason = kernel.unavailable(device=device)
    assert reason is None or (len(reason.split()) >= 3 and len(reason.splitlines()) == 1)


@each_kernel
def test_unavailable_asks_about_the_cpu_by_default(kernel: Kernel) -> None:
    assert kernel.unavailable() == kernel.unavailable("cpu")


@each_kernel
@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_bind_gives_the_reason_of_the_kernel(kernel: Kernel, device: str) -> None:
    reason = kernel.unavailable(device)
    assert reason is not None
    with pytest.raises(
        ValueError, match=f"^kernel '{kernel.name}' can't run on '{device}': "
    ) as caught:
        bind(kernel.name, [[0.0], [1.0]], [0, 1], device=device)
    assert str(caught.value).endswith(reason)
