"""`torch-compile`: all compilation happens in `bind`, and is shared between binds."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters
from variants import VARIANTS, Case, Variant, bind_case, each, random_case

from logreg_kernels import KERNELS, bind
from logreg_kernels.torch_kernels import compile as torch_compile

NAME = "torch-compile"
REASON = KERNELS[NAME].unavailable()
each_here = each([v for v in VARIANTS if v.kernel == NAME])
where_it_runs = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def graphs() -> int:
    """How many graphs dynamo has compiled in this process."""
    return int(counters["stats"]["unique_graphs"])


# Equal sizes would be one symbol to torch if they were traced, and a size of 1 a constant.
SHAPES = [
    *((33, 7, 2), (5000, 7, 2), (7, 7, 2), (2, 2, 2), (40, 1, 2)),
    *((33, 7, 3), (5000, 1, 3), (5, 5, 5), (4, 1, 4), (3, 5, 3)),
]


@each_here
@pytest.mark.parametrize(("n", "d", "c"), SHAPES)
def test_no_call_after_bind_compiles(variant: Variant, n: int, d: int, c: int) -> None:
    case = random_case(n, d, variant.dtype, c=c)
    objective, w = bind_case(variant, case)
    before = graphs()
    assert before > 0
    with torch.compiler.set_stance("fail_on_recompile"):
        objective.value_and_grad(w)
        objective.value_and_grad(case.w.tolist())
        objective.value_and_grad(np.asfortranarray(case.w))
        if c > 2:
            objective.value_and_grad(torch.tensor(case.w.T.copy()).T)
        objective.value_and_grad(torch.stack([w, w], dim=-1)[..., 0])
        objective.value_and_grad(w.clone().requires_grad_(True))
        with torch.no_grad():
            objective.value_and_grad(w)
        for m in {1, 2, 3, d, c, n, n + 1, 2 * n, 31, 33, 1025, 4096, 4097, 70_000}:
            rows = objective.as_rows(np.arange(m) % n)
            objective.value_and_grad(w, rows)
            objective.value_and_grad(w, torch.stack([rows, rows], dim=1)[:, 0])
        if c == 2:
            for k in (1, 2, d, n):
                objective.value_and_grad_batch(np.ones((k, d)))
        objective.hvp(w, w)
        objective.hessian(w)
    assert graphs() == before


# One shape for each side of a size from which on inductor's code is another: 4096 columns, 4096
# coefficients, 32 rows and classes. Binds of other shapes must not be what makes them pass.
@pytest.mark.slow
@each_here
@pytest.mark.parametrize(
    ("n", "d", "c"), [(33, 7, 2), (33, 4100, 2), (33, 7, 3), (33, 2000, 3), (4, 1, 4)]
)
def test_no_call_compiles_whatever_was_compiled_or_dropped_before(
    variant: Variant, n: int, d: int, c: int
) -> None:
    case = random_case(n, d, variant.dtype, c=c)
    bind_case(variant, case)
    torch._dynamo.reset()
    objective, w = bind_case(variant, case)
    with torch.compiler.set_stance("fail_on_recompile"):
        for m in (2, 28, 29, n, 4096, 4097):
            objective.value_and_grad(w, np.arange(m) % n)


@pytest.mark.slow
@each_here
def test_bind_compiles_for_settings_that_changed_since_the_last(variant: Variant) -> None:
    case = random_case(33, 7, variant.dtype)
    bind_case(variant, case)
    torch.use_deterministic_algorithms(True)
    try:
        objective, w = bind_case(variant, case)
        with torch.compiler.set_stance("fail_on_recompile"):
            for m in (2, 4096, 4097):
                objective.value_and_grad(w, np.arange(m) % 33)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.slow
@each_here
def test_a_call_after_a_change_of_threads_compiles_past_torchs_own_limit(variant: Variant) -> None:
    # A process with many problems has more variants in place than torch's default allows.
    torch._dynamo.reset()
    objective, w = bind_case(variant, random_case(33, 7, variant.dtype))
    value, grad = objective.value_and_grad(w)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with torch._dynamo.config.patch(recompile_limit=1):
            again, grad_again = objective.value_and_grad(w)
    finally:
        torch.set_num_threads(threads)
    assert float(again) == pytest.approx(float(value), rel=16 * variant.eps)
    torch.testing.assert_close(grad_again, grad)


@each_here
@pytest.mark.parametrize(("d", "c"), [(7, 2), (1, 2), (7, 3), (1, 3)])
def test_binds_of_a_kind_share_their_code(variant: Variant, d: int, c: int) -> None:
    objective, w = bind_case(variant, random_case(33, d, variant.dtype, c=c))
    before = graphs()
    other, _ = bind_case(variant, random_case(64, d + (d > 1), variant.dtype, c=c + (c > 2)), l2=3)
    assert graphs() == before
    assert other.bind_times.compile_s < 2.0
    assert float(objective.value_and_grad(w)[0]) > 0


@each_here
def test_one_row_is_one_row(variant: Variant) -> None:
    # It is read twice, so that code for two and more rows can run.
    for c in (2, 4):
        case = random_case(9, 3, variant.dtype, c=c)
        expected = bind_case(Variant("numpy", "cpu", variant.dtype), case)[0]
        objective, w = bind_case(variant, case)
        for got, true in zip(
            objective.value_and_grad(w, [4]), expected.value_and_grad(case.w, [4]), strict=True
        ):
            np.testing.assert_allclose(got.cpu(), true, rtol=0, atol=16 * variant.eps)


@each_here
def test_no_penalty_is_none_at_coefficients_whose_square_overflows(variant: Variant) -> None:
    huge = float(np.sqrt(np.finfo(variant.dtype).max)) * 4
    tiny = [[1 / huge], [-1 / huge]]
    value, grad = variant.bind(tiny, [0, 1]).value_and_grad([huge])
    assert float(value) == pytest.approx(np.log1p(np.e), rel=8 * variant.eps)
    assert np.isfinite(float(grad[0]))


@each_here
def test_traffic_is_two_reads(variant: Variant) -> None:
    size = np.dtype(variant.dtype).itemsize
    case: Case = random_case(33, 7, variant.dtype)
    objective: Any = bind_case(variant, case)[0]
    assert objective.traffic_bytes == 33 * (2 * 7 * size + size)
    objective = bind_case(variant, random_case(33, 7, variant.dtype, c=3))[0]
    assert objective.traffic_bytes == 33 * (2 * 7 * size + 8)


def test_without_a_compiler_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    reason = KERNELS[NAME].unavailable("cpu")
    assert reason is not None
    assert "C++ compiler" in reason
    assert "'no-such-compiler'" in reason
    assert "CXX" in reason
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "C++ compiler" in str(KERNELS[NAME].unavailable("cpu"))
    assert "knows no device" in str(KERNELS[NAME].unavailable("gpu"))  # the device comes first


def test_without_triton_it_can_not_run_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_compile, "device_unavailable", lambda device: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "needs Triton on CUDA" in str(KERNELS[NAME].unavailable("cuda"))


def test_a_python_that_torch_can_not_compile_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("torch.compile is not supported on Python 3.15+")

    monkeypatch.setattr(torch, "compile", refuse)
    assert "not supported on Python 3.15+" in str(KERNELS[NAME].unavailable("cpu"))


class WrappedError(Exception):
    """As dynamo wraps an error of its backend."""

    inner_exception = RuntimeError("C++ compile error\n\nCommand:\ng++ and a page more")


@where_it_runs
@pytest.mark.parametrize("error", [WrappedError("backend='inductor' raised:\n..."), RuntimeError()])
def test_a_failed_compilation_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(objective: Any) -> None:
        raise error

    monkeypatch.setattr(torch_compile, "compile_for", fail)
    with pytest.raises(
        ValueError, match=r"^torch.compile failed on 'cpu': RuntimeError: "
    ) as caught:
        bind(NAME, [[0.0], [1.0]], [0, 1])
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).endswith(": use torch-autograd")
    assert caught.value.__suppress_context__
    if isinstance(error, WrappedError):
        assert "C++ compile error" in str(caught.value)


def test_naming_the_kernels_loads_no_compiler() -> None:
    code = (
        "import sys\n"
        "from logreg_kernels import KERNELS\n"
        "for kernel in KERNELS.values():\n"
        "    kernel.unavailable(), kernel.unavailable('cuda')\n"
        "print([m for m in ('jax', 'torch._dynamo', 'torch._inductor') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
