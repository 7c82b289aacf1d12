"""What only `fused-cuda` promises: fixed sums, poison, two variants, and builds without spills.

Without a CUDA device it runs through Triton's interpreter, and is compiled ahead of time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import VARIANTS, Variant, each, random_case, to_numpy

from logreg_kernels import KERNELS, bind
from logreg_kernels.fused_cuda import kernel as fused_cuda
from logreg_kernels.fused_cuda.binary import FusedCudaBinary
from logreg_kernels.fused_cuda.kernel import FusedCuda, compile_for
from logreg_kernels.fused_cuda.launch import block_shape, max_features
from logreg_kernels.validation import DTYPES

FUSED = [v for v in VARIANTS if v.kernel == "fused-cuda"]
each_fused = each(FUSED)
each_fused_float64 = each([v for v in FUSED if v.dtype == "float64"])

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)


def fused(variant: Variant, X: Any, y: Any, l2: float = 0.0) -> FusedCudaBinary:
    objective = variant.bind(X, y, l2=l2)
    assert isinstance(objective, FusedCudaBinary)
    return objective


def assert_close(got: Any, expected: Any, rtol: float) -> None:
    """Values to rtol; gradients to rtol of their largest entry."""
    (value, grad), (expected_value, expected_grad) = got, expected
    expected_grad = to_numpy(expected_grad)
    np.testing.assert_allclose(float(value), float(expected_value), rtol=rtol)
    scale = float(np.abs(expected_grad).max())
    np.testing.assert_allclose(to_numpy(grad), expected_grad, rtol=0, atol=rtol * scale)


def run_python(code: str, **environment: str) -> str:
    kept = {name: text for name, text in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- results ---------------------------------------------------------------------------------


@each_fused
@pytest.mark.parametrize("rows", [None, [5, 0, 699, 5]])
def test_two_calls_agree_to_the_last_bit(variant: Variant, rows: list[int] | None) -> None:
    case = random_case(700, 31, variant.dtype)
    first = fused(variant, case.X, case.y, l2=0.1).value_and_grad(case.w, rows=rows)
    objective = fused(variant, case.X, case.y, l2=0.1)
    results = [objective.value_and_grad(w, rows=rows) for w in (case.w, -case.w, case.w)]
    for again in (results[0], results[2]):  # no call writes into an earlier one's result
        assert torch.equal(again[0], first[0])
        assert torch.equal(again[1], first[1])


@each_fused
@pytest.mark.parametrize("max_programs", [1, 2, 7, 1000])
def test_the_number_of_partial_sums_changes_rounding_only(
    variant: Variant, max_programs: int
) -> None:
    case = random_case(700, 54, variant.dtype)
    objective = replace(fused(variant, case.X, case.y, l2=0.1), max_programs=max_programs)
    expected = bind("numpy", case.X, case.y, l2=0.1).value_and_grad(case.w)
    assert_close(objective.value_and_grad(case.w), expected, rtol=64 * variant.eps)


@each_fused
def test_the_reduction_goes_through_several_tiles(variant: Variant) -> None:
    # Launched by itself, with tiles far smaller than those that are shipped.
    from logreg_kernels.fused_cuda.device import reduce_partials

    n_rows, n_programs, d, block_p, block_k, l2 = 50, 19, 11, 4, 2, 0.1
    rng = np.random.default_rng(0)
    sums, nlls = rng.normal(size=(n_programs, d)), rng.random(n_programs)
    w = rng.normal(size=d)

    def place(array: Any) -> torch.Tensor:
        return torch.tensor(array, dtype=getattr(torch, variant.dtype), device=variant.device)

    value, grad = place(np.nan), place(np.full(d, np.nan))
    reduce_partials[(-(-d // block_k) + 1,)](
        place(np.concatenate([sums.ravel(), nlls])),
        place(w),
        place([l2]),
        value,
        grad,
        n_rows,
        n_programs,
        N_COEFFICIENTS=d,
        BLOCK_P=block_p,
        BLOCK_K=block_k,
        BATCH=False,
    )
    expected = nlls.sum() / n_rows + 0.5 * l2 * w @ w, sums.sum(axis=0) / n_rows + l2 * w
    assert_close((value, grad), expected, rtol=16 * variant.eps)


@each_fused_float64
@settings(max_examples=40)
@given(
    n=st.integers(2, 600),
    d=st.integers(1, 70),
    m=st.integers(1, 90),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_matches_the_reference(
    variant: Variant, n: int, d: int, m: int, l2: float, seed: int
) -> None:
    case = random_case(n, d, variant.dtype, seed)
    rows = np.random.default_rng(seed).integers(n, size=m)
    objective, reference = variant.bind(case.X, case.y, l2), bind("numpy", case.X, case.y, l2)
    for subset in (None, rows):
        expected = reference.value_and_grad(case.w, rows=subset)
        assert_close(objective.value_and_grad(case.w, rows=subset), expected, rtol=1e-12)


@each_fused
@pytest.mark.parametrize("d", [127, 784, 1025, 5000])
def test_wide_rows_match_the_reference(variant: Variant, d: int) -> None:
    case = random_case(9, d, variant.dtype, w_scale=0.1)
    objective, reference = variant.bind(case.X, case.y), bind("numpy", case.X, case.y)
    for rows in (None, [8, 8, 1]):
        expected = reference.value_and_grad(case.w, rows=rows)
        assert_close(objective.value_and_grad(case.w, rows=rows), expected, rtol=256 * variant.eps)


@each_fused
@pytest.mark.parametrize("bad", [-1, 40, 2**31, 2**62, -(2**62)])
def test_a_row_out_of_range_poisons_the_result(variant: Variant, bad: int) -> None:
    # X is a window on a larger array, whose other rows must not be read in place of `bad`.
    case = random_case(44, 31, variant.dtype)
    objective = fused(variant, case.X[2:42], case.y[2:42])
    value, grad = objective.value_and_grad(case.w, rows=[*range(40), bad])
    assert torch.isnan(value)
    assert torch.isnan(grad).all()
    value, grad = objective.value_and_grad(case.w, rows=range(40))
    assert torch.isfinite(value)
    assert torch.isfinite(grad).all()


@each_fused
def test_the_penalty_has_the_precision_of_the_data(variant: Variant) -> None:
    # 0.1 as float32 is off by 1.5e-9. X = 0 leaves the penalty alone in the gradient.
    w = np.array([1.0, -3.0], dtype=variant.dtype)
    value, grad = variant.bind(np.zeros((2, 2)), [0, 1], l2=0.1).value_and_grad(w)
    expected = np.asarray(0.1, dtype=variant.dtype) * w
    np.testing.assert_array_equal(to_numpy(grad), expected)
    assert float(value) == pytest.approx(np.log(2.0) + 0.5, rel=2 * variant.eps)


@each_fused
def test_without_a_penalty_the_squared_norm_may_overflow(variant: Variant) -> None:
    huge = float(np.sqrt(np.finfo(variant.dtype).max)) * 10
    value, grad = variant.bind(np.zeros((2, 1)), [0, 1]).value_and_grad([huge])
    assert float(value) == pytest.approx(np.log(2.0), rel=2 * variant.eps)
    assert float(grad[0]) == 0.0


@each_fused
@pytest.mark.parametrize("with_rows", [False, True])
def test_nan_coefficients_give_nan(variant: Variant, with_rows: bool) -> None:
    objective = variant.bind([[1.0, 1.0], [2.0, 2.0]], [0, 1])
    value, grad = objective.value_and_grad([np.nan, 0.0], rows=[1] if with_rows else None)
    assert torch.isnan(value)
    assert torch.isnan(grad).all()


@each_fused
@pytest.mark.parametrize("c", [2, 3])
def test_both_variants_are_launched_to_compile_them(
    variant: Variant, c: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(33, 7, variant.dtype, c=c)
    objective: Any = variant.bind(case.X, case.y)
    launched: list[tuple[int, bool]] = []
    value_and_grad = type(objective).value_and_grad

    def watched(self: Any, w: Any, rows: Any = None) -> Any:
        launched.append((self.n_samples, rows is None))
        return value_and_grad(self, w, rows)

    monkeypatch.setattr(type(objective), "value_and_grad", watched)
    compile_for(objective)
    assert launched == [(1, True), (1, False)]
    launched.clear()
    monkeypatch.setattr(FusedCuda, "interpreted", False)
    monkeypatch.setattr(FusedCuda, "unavailable", lambda self, device: None)
    again = variant.bind(case.X, case.y)
    assert launched == [(1, True), (1, False)]
    assert again.bind_times.compile_s > 0


@each_fused
def test_no_call_after_bind_compiles(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    if FusedCuda().interpreted:
        pytest.skip("the interpreter compiles nothing")
    import triton

    case = random_case(100, 5, variant.dtype)
    objective = fused(variant, case.X, case.y)
    compiled: list[str] = []
    monkeypatch.setattr(
        triton.knobs.compilation, "listener", lambda **event: compiled.append(event["src"].name)
    )
    W = objective.as_coefficients(np.stack([case.w] * 3))  # 5 columns: W[1] is not aligned
    objective.value_and_grad_batch(W)
    rows = objective.as_rows(np.arange(100))
    for m in (1, 2, 16, 99):
        objective.value_and_grad(W[1], rows=rows[-m:])
    objective.hvp(W[1], W[2])
    objective.hessian(W[1])
    assert compiled == []


# --- where it runs ---------------------------------------------------------------------------


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


# --- shapes ----------------------------------------------------------------------------------


@given(d=st.integers(1, 16384), dtype=st.sampled_from(DTYPES))
def test_the_tile_covers_a_row_and_fits_the_registers(d: int, dtype: Any) -> None:
    if d > max_features(dtype):
        d = (d + 1) // 2
    itemsize = np.dtype(dtype).itemsize
    block = block_shape(d, dtype)
    for size in (block.chunks, block.rows, block.chunk_columns, block.num_warps):
        assert size == 1 << (size.bit_length() - 1)
    assert d <= block.chunks * block.chunk_columns < 2 * d or d == 1
    assert 4 <= block.num_warps <= 8
    lanes = 32 * block.num_warps
    tile_bytes = block.chunks * block.rows * block.chunk_columns * itemsize
    assert tile_bytes <= lanes * 128 or block.max_registers == 255
    assert block.max_registers * lanes * block.resident_programs <= 1 << 16


@pytest.mark.parametrize(
    ("d", "dtype", "tile"),
    [
        (4, "float32", (1, 512, 4)),  # a lane a row, four rows a lane
        (31, "float32", (4, 64, 8)),  # rows aligned to 4 bytes: 8 lanes read a sector
        (100, "float32", (8, 32, 16)),
        (784, "float64", (8, 2, 128)),  # two warps a row
        (8192, "float64", (16, 1, 512)),
    ],
)
def test_tiles_by_hand(d: int, dtype: Any, tile: tuple[int, int, int]) -> None:
    assert block_shape(d, dtype)[:3] == tile
