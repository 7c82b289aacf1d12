"""Where `fused-cuda` runs, and what is too large for it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from fused_cuda_cases import each_fused
from variants import Variant

from logreg_kernels import KERNELS
from logreg_kernels.fused_cuda import kernel as fused_cuda
from logreg_kernels.fused_cuda.kernel import FusedCuda
from logreg_kernels.fused_cuda.launch import max_features

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)


def run_python(code: str, **environment: str) -> str:
    kept = {name: text for name, text in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ASK = """
import json, sys
{before}
from logreg_kernels import KERNELS
imported = "triton" in sys.modules
kernel = KERNELS["fused-cuda"]
answers = [kernel.unavailable("cpu"), kernel.unavailable("no-such-device"), kernel.interpreted]
print(json.dumps([imported, *answers]))
"""


def test_without_triton_it_says_what_is_missing_first() -> None:
    # A None in sys.modules is how Python remembers that an import must fail.
    code = ASK.format(before="sys.modules['triton'] = None")
    _, on_cpu, elsewhere, interpreted = json.loads(run_python(code, TRITON_INTERPRET="1"))
    assert "needs a CUDA device" in on_cpu  # which no installation would bring
    assert "no-such-device" in elsewhere
    assert interpreted is False


def test_on_a_cuda_device_without_triton_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused_cuda, "device_unavailable", lambda device: None)
    monkeypatch.setattr(fused_cuda, "_triton_installed", lambda: False)
    reason = fused_cuda.FusedCuda().unavailable("cuda")
    assert reason is not None
    assert "Triton is not installed" in reason
    assert "logreg-bench[test]" in reason


@needs_triton
def test_compiled_it_needs_a_cuda_device() -> None:
    imported, on_cpu, elsewhere, interpreted = json.loads(run_python(ASK.format(before="")))
    assert imported is False  # a user of the other kernels doesn't wait for Triton
    assert "needs a CUDA device" in on_cpu
    assert "no-such-device" in elsewhere
    assert interpreted is False


@needs_triton
def test_interpreted_it_runs_on_a_cpu_and_says_so() -> None:
    code = ASK.format(before="")
    _, on_cpu, _, interpreted = json.loads(run_python(code, TRITON_INTERPRET="1"))
    assert on_cpu is None
    assert interpreted is True


def test_an_absent_cuda_device_is_named() -> None:
    absent = f"cuda:{torch.cuda.device_count()}"
    reason = KERNELS["fused-cuda"].unavailable(absent)
    assert reason is not None
    assert "cuda" in reason or "Triton" in reason


@each_fused
def test_too_many_columns_are_refused(variant: Variant) -> None:
    widest = max_features(variant.dtype)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=rf"at most {widest} columns.* has {widest + 1}: use"):
        variant.bind(np.zeros((2, widest + 1)), [0, 1])


def test_too_many_coefficients_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_cuda, "max_coefficients", lambda dtype: 11)
    with pytest.raises(
        ValueError, match=r"at most 11 coefficients.* 4 classes have 12: use"
    ) as said:
        FusedCuda().bind(np.ones((4, 3)), np.arange(4), l2=0.0, device="cpu", dtype="float64")
    assert len(str(said.value).splitlines()) == 1
