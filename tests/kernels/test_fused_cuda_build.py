"""`fused-cuda` compiled ahead of time for sm_80 and sm_90, which takes no GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from logreg_kernels.fused_cuda.build import (
    CAPABILITIES,
    SHAPES,
    WITH_ROWS,
    build,
    launched_kernels,
    main,
)
from logreg_kernels.fused_cuda.build import KERNELS as DEVICE_FUNCTIONS
from logreg_kernels.fused_cuda.launch import block_shape, max_features
from logreg_kernels.validation import DTYPES

# On the tiles of `block_shape`; beside the number of loads of a row's chunks that each makes.
READ_X = {
    "nll_and_grad_partials": 1,
    "softmax_partials": 3,
    "hvp_partials": 3,
    "softmax_hvp_partials": 5,
    "curvatures": 1,
}
MODULE = "logreg_kernels.fused_cuda.build"
pytestmark = pytest.mark.slow


def run_module(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m` it, compiling unless `environment` says otherwise: this session may interpret."""
    kept = {name: text for name, text in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", MODULE, *arguments]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def builds() -> list[dict[str, Any]]:
    """Every shipped device function, compiled for sm_80 and sm_90: about half a minute."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    done = run_module("--json")
    assert done.returncode == 0, done.stderr
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


def label(built: dict[str, Any]) -> str:
    return " ".join(str(value) for name, value in built.items() if name != "ptx")


def test_every_variant_is_built(builds: list[dict[str, Any]]) -> None:
    keys = ("dtype", "n_classes", "n_features", "capability")
    found = {tuple(b[key] for key in keys) for b in builds}
    expected = {
        (dtype, c, d, capability)
        for dtype in DTYPES
        for c, d in SHAPES
        for capability in CAPABILITIES
        if d <= max_features(dtype)
    }
    assert found == expected
    assert {4, 31, 54, 100, 784, 4096} <= {d for _, c, d, _ in found if c == 2}
    assert {(3, 4), (3, 13), (10, 64), (1000, 784)} <= {(c, d) for _, c, d, _ in found}
    for dtype, c, d, capability in expected:
        kernels = launched_kernels(c, d, dtype)
        half = {"bfloat16"} if dtype == "float32" else set()
        variants = [
            (k, rows, storage)
            for k in kernels
            for rows in {False, k in WITH_ROWS}
            for storage in {dtype} | (half if k != "reduce_partials" else set())
        ]
        built = [
            (b["kernel"], b["rows"], b["storage"])
            for b in builds
            if tuple(b[key] for key in keys) == (dtype, c, d, capability)
        ]
        assert sorted(built) == sorted(variants)
    assert {b["kernel"] for b in builds} == set(DEVICE_FUNCTIONS)
    for partials, classes in (("nll_and_grad", "2"), ("softmax", "3 10 1000")):
        found_c = {b["n_classes"] for b in builds if b["kernel"] == f"{partials}_partials"}
        assert found_c == {int(c) for c in classes.split()}
    assert {f".target sm_{b['capability']}" in b["ptx"] for b in builds} == {True}


def test_no_build_spills_a_register(builds: list[dict[str, Any]]) -> None:
    assert [label(b) for b in builds if b["spilled_bytes"]] == []
    assert all(b["registers"] > 0 for b in builds)


def test_as_many_programs_are_resident_as_the_launch_counts_on(
    builds: list[dict[str, Any]],
) -> None:
    for built in builds:
        if built["kernel"] in READ_X:
            stored_bytes = 2 if built["storage"] == "bfloat16" else None
            block = block_shape(built["n_features"], built["dtype"], stored_bytes)
            allocated = -(-built["registers"] // 8) * 8 * 32 * block.num_warps
            assert allocated * block.resident_programs <= 1 << 16, label(built)
            assert built["shared_bytes"] * block.resident_programs <= 100 << 10, label(built)


def test_no_build_has_an_atomic(builds: list[dict[str, Any]]) -> None:
    atomic = re.compile(r"^\s*(?:@!?%\w+\s+)?(?:atom|red)\.", re.MULTILINE)
    assert atomic.search("\t@%p1 atom.global.add.f32 %f1, [%rd1], %f2;")
    assert [label(b) for b in builds if atomic.search(b["ptx"])] == []


def test_loads_are_as_wide_as_the_alignment_of_rows_allows(builds: list[dict[str, Any]]) -> None:
    for built in builds:
        itemsize = {"bfloat16": 2, "float32": 4, "float64": 8}[built["storage"]]
        row_bytes = built["n_features"] * itemsize
        # Of rows of 16 bytes that are picked by index, Triton 3.6 loads 8 at a time.
        narrow = built["rows"] and built["n_features"] <= 4
        if built["kernel"] != "reduce_partials" and not narrow:
            aligned = min(16, row_bytes & -row_bytes)
            assert built["load_bytes"] >= aligned, label(built)


def test_loads_of_aligned_rows_are_16_bytes_wide(builds: list[dict[str, Any]]) -> None:
    wide = re.compile(r"ld\.global\.(?:v4\.b32|v2\.b64)")
    for built in builds:
        aligned = built["n_features"] * np.dtype(built["dtype"]).itemsize % 16 == 0
        if built["storage"] == "bfloat16":
            continue
        if built["kernel"] in READ_X and aligned and built["n_features"] > 4:
            chunks = block_shape(built["n_features"], built["dtype"]).chunks
            # Those of w and v, besides, once in each loop over the classes.
            loads = READ_X[built["kernel"]] * chunks
            assert len(wide.findall(built["ptx"])) >= loads, label(built)


def test_products_of_blocks_in_float64_run_on_tensor_cores(builds: list[dict[str, Any]]) -> None:
    tensor_cores = re.compile(r"mma\.sync\.aligned\.\w+\.row\.col\.f64")
    products = ("batch_partials", "gram_partials")
    found = [b for b in builds if b["kernel"] in products and b["dtype"] == "float64"]
    assert found
    assert [label(b) for b in found if not tensor_cores.search(b["ptx"])] == []


def test_shared_memory_leaves_room_for_a_program(builds: list[dict[str, Any]]) -> None:
    assert all(b["shared_bytes"] <= 163 << 10 for b in builds)  # of an A100's multiprocessor


def test_the_table_has_a_line_a_build(builds: list[dict[str, Any]]) -> None:
    done = run_module("-d", "54", "--dtype", "float32", "--capability", "90")
    headings, *lines = done.stdout.splitlines()
    assert headings.split()[-4:] == ["registers", "spilled_bytes", "shared_bytes", "load_bytes"]
    expected = [
        str(b["registers"])
        for b in builds
        if (b["n_features"], b["dtype"], b["capability"]) == (54, "float32", 90)
    ]
    assert [line.split()[-4] for line in lines] == expected


def test_under_the_interpreter_it_says_what_to_unset() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    done = run_module("-d", "4", TRITON_INTERPRET="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "fused_cuda.build: Triton's interpreter is on: unset TRITON_INTERPRET to compile"
    ]


def test_a_width_that_no_dtype_takes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-d", "16385"]) == 2
    assert "more than 16384 columns" in capsys.readouterr().err


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="no kernel 'nll'; there are nll_and_grad_partials, "):
        build("nll", "float32", 4)
    with pytest.raises(ValueError, match=r"in 1 \.\.\. 8192 in float64; got 0"):
        build("reduce_partials", "float64", 0)
    with pytest.raises(ValueError, match=r"in 2 \.\.\. 4096 at d = 8192 in float64; got 1"):
        build("reduce_partials", "float64", 8192, n_classes=1)
    with pytest.raises(ValueError, match=r"in 2 \.\.\. 4096 at d = 8192 in float64; got 4097"):
        build("softmax_partials", "float64", 8192, n_classes=4097)
