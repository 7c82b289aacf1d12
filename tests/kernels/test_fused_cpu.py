"""What `fused-cpu` promises beyond the contract: threads, memory, compilation, row blocks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from exact import assert_same_but_rounding, check_against_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import VARIANTS, Case, Variant, bits, each, random_case

from logreg_kernels import KERNELS, bind
from logreg_kernels.fused_cpu import threads
from logreg_kernels.fused_cpu.kernel import FusedCpu

each_variant = each([v for v in VARIANTS if v.kernel == "fused-cpu"])
ROOT = Path(__file__).parents[2]


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three parts, however small X is."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(threads, "_MIN_BYTES", 1)
    yield
    torch.set_num_threads(before)


# --- threads ---------------------------------------------------------------------------------


@each_variant
@pytest.mark.parametrize("c", [2, 4])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("n", [5, 128, 129, 1000])
@pytest.mark.usefixtures("three_threads")
def test_parts_add_up(variant: Variant, c: int, sparse: bool, n: int) -> None:
    case = random_case(n, 9, variant.dtype, c=c)
    X = sp.csr_array(case.X) if sparse else case.X
    several = variant.bind(X, case.y, l2=0.1)
    w = several.as_coefficients(case.w)
    got = several.value_and_grad(w)
    rows = np.arange(n)[::-1]
    torch.set_num_threads(1)
    assert_same_but_rounding(variant, case, got, several.value_and_grad(w))
    product, H = several.hvp(w, w), several.hessian(w)
    torch.set_num_threads(3)
    assert_same_but_rounding(variant, case, several.value_and_grad(w, rows=rows), got)
    np.testing.assert_allclose(several.hessian(w), H, rtol=50 * variant.eps, atol=variant.eps)
    tolerance = {"rtol": 50 * variant.eps, "atol": 50 * variant.eps}
    np.testing.assert_allclose(several.hvp(w, w), product, **tolerance)


@each_variant
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.usefixtures("three_threads")
def test_the_same_bits_at_each_call_and_from_any_thread(variant: Variant, sparse: bool) -> None:
    case = random_case(3000, 20, variant.dtype)
    objective = variant.bind(sp.csr_array(case.X) if sparse else case.X, case.y, l2=0.1)
    expected = bits(objective.value_and_grad(case.w))
    W = np.stack([case.w, 2 * case.w])
    of_batch = bits(objective.value_and_grad_batch(W))
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(objective.value_and_grad, [case.w] * 20))
    assert all(bits(each) == expected for each in found)
    assert all(bits(objective.value_and_grad_batch(W)) == of_batch for _ in range(5))


FORK = """
import os, numpy as np, torch
from logreg_kernels import bind
from logreg_kernels.fused_cpu import threads
torch.set_num_threads(3)
threads._MIN_BYTES = 1
X = np.random.default_rng(0).standard_normal((1000, 5))
objective = bind("fused-cpu", X, np.arange(1000) % 2)
expected = objective.value_and_grad(np.ones(5))[1].tobytes()  # there is a pool of threads now
child = os.fork()
if child == 0:
    os._exit(objective.value_and_grad(np.ones(5))[1].tobytes() != expected)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_has_threads_of_its_own() -> None:
    # In a process of its own: others that these tests load can't be forked.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.stdout == "0\n"


def test_a_small_x_takes_one_thread() -> None:
    assert threads.n_parts(1600) == 1
    assert threads.n_parts(1 << 30) == torch.get_num_threads()


# --- shapes ----------------------------------------------------------------------------------


@each_variant
@given(
    n=st.integers(2, 70),
    d=st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 128, 129])),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_any_remainder_of_rows_and_columns(variant: Variant, n: int, d: int, seed: int) -> None:
    case = random_case(n, d, variant.dtype, seed)
    objective = variant.bind(case.X, case.y, l2=0.1)
    check_against_exact(variant, *objective.value_and_grad(case.w), case, l2=0.1)


@each_variant
@pytest.mark.parametrize("k", [1, 15, 16, 17, 64, 100])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
def test_a_batch_is_its_models(variant: Variant, k: int, sparse: bool) -> None:
    case = random_case(150, 7, variant.dtype)
    objective = variant.bind(sp.csr_array(case.X) if sparse else case.X, case.y, l2=0.1)
    W = np.random.default_rng(k).standard_normal((k, 7)).astype(variant.dtype)
    values, grads = objective.value_and_grad_batch(W)
    for w, value, grad in zip(W, values, grads, strict=True):
        alone = Case(X=case.X, y=case.y, w=w)
        assert_same_but_rounding(variant, alone, (value, grad), objective.value_and_grad(w))


@each_variant
@pytest.mark.parametrize("c", [3, 16, 17, 300])
def test_many_classes(variant: Variant, c: int) -> None:
    case = random_case(max(40, c), 3, variant.dtype, c=c)
    objective = variant.bind(case.X, case.y, l2=0.1)
    check_against_exact(variant, *objective.value_and_grad(case.w), case, l2=0.1)


def test_float32_sums_do_not_lose_digits_with_n() -> None:
    # Blocks summed in float32 alone are off by up to 9e-7 of the gradient after 400,000 rows.
    X = np.random.default_rng(0).random((400_000, 3), dtype=np.float32)
    y = (np.arange(len(X)) % 8 == 0).astype(int)  # most residuals are positive: the sums grow
    w = np.full(3, 0.5, dtype=np.float32)
    value, grad = bind("fused-cpu", X, y, dtype="float32").value_and_grad(w)
    true_value, true_grad = bind("numpy", X.astype(float), y).value_and_grad(w)
    assert float(value) == pytest.approx(float(true_value), rel=2e-7)
    np.testing.assert_allclose(grad, true_grad, rtol=2e-7)


# --- memory and compilation ------------------------------------------------------------------


@pytest.mark.parametrize("c", [2, 3])
def test_x_is_read_where_it_is(c: int) -> None:
    case = random_case(50, 4, "float32", c=c)
    writable = case.X.copy()
    for X in (case.X, writable, torch.from_numpy(writable)):
        objective: Any = bind("fused-cpu", X, case.y, dtype="float32")
        assert np.shares_memory(objective.operand, np.asarray(X))
    sparse = sp.csr_array(case.X)
    objective = bind("fused-cpu", sparse, case.y, dtype="float32")
    assert np.shares_memory(objective.operand[0], sparse.data)
    assert np.shares_memory(objective.operand[1], sparse.indices)


@each_variant
@pytest.mark.parametrize("c", [2, 3])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
def test_no_call_compiles(variant: Variant, c: int, sparse: bool) -> None:
    from logreg_kernels.fused_cpu import csr_passes, dense_passes

    def compiled() -> int:
        functions = [vars(module).values() for module in (csr_passes, dense_passes)]
        return sum(len(getattr(f, "signatures", ())) for group in functions for f in group)

    case = random_case(300, 6, variant.dtype, c=c)
    objective = variant.bind(sp.csr_array(case.X) if sparse else case.X, case.y, l2=0.1)
    assert objective.bind_times.compile_s > 0
    before = compiled()
    for w in (case.w, torch.tensor(case.w), case.w.tolist(), np.asfortranarray(case.w)):
        objective.value_and_grad(w)
        objective.value_and_grad(w, rows=[1, 2, 3])
        objective.value_and_grad(w, rows=objective.as_rows(np.arange(4, dtype=np.int32)))
    objective.hvp(case.w, case.w)
    objective.hessian(case.w)
    if c == 2:
        objective.value_and_grad_batch(np.stack([case.w] * 3))
    assert compiled() == before


@pytest.mark.slow
def test_what_is_compiled_is_forgotten_when_any_source_changes(tmp_path: Path) -> None:
    package = tmp_path / "logreg_kernels"
    shutil.copytree(ROOT / "logreg_kernels", package, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "from logreg_kernels import bind; import numpy as np;"
        "f, _ = bind('fused-cpu', np.ones((2, 1)), [0, 1]).value_and_grad([0.0]); print(float(f))"
    )

    def value() -> float:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(tmp_path), "PATH": "", "HOME": str(tmp_path)},
        )
        return float(done.stdout)

    assert value() == pytest.approx(np.log(2))
    losses = package / "fused_cpu" / "losses.py"
    source = losses.read_text()
    assert source.count("total += nll\n") == 1
    losses.write_text(source.replace("total += nll\n", "total += nll + nll\n"))
    assert value() == pytest.approx(2 * np.log(2))  # the file of the compiled pass is as it was


def test_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KERNELS["fused-cpu"].unavailable() is None
    assert "CPU only" in str(FusedCpu().unavailable("cuda"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install numba" in str(FusedCpu().unavailable())


def test_a_missing_row_is_an_index_error() -> None:
    case = random_case(10, 3, "float64")
    for X in (case.X, sp.csr_array(case.X)):
        objective = bind("fused-cpu", X, case.y)
        for row in (10, -11, 2**40):
            with pytest.raises(IndexError, match="beyond the rows of X"):
                objective.value_and_grad(case.w, rows=[0, row])
