"""The tiles of `fused-cuda`, and the memory of its partial sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logreg_kernels.fused_cuda.launch import (
    batch_options,
    block_shape,
    max_batch_features,
    max_coefficients,
    max_features,
    max_programs,
)
from logreg_kernels.validation import DTYPES


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


@pytest.mark.parametrize(
    ("d", "dtype", "tile"),
    [
        (4, "float32", (64, 16, 16, 8)),
        (54, "float64", (32, 16, 64, 8)),
        (1024, "float32", (16, 16, 1024, 8)),
        (256, "float64", (16, 16, 256, 8)),
    ],
)
def test_tiles_of_batches_by_hand(d: int, dtype: Any, tile: tuple[int, ...]) -> None:
    assert d <= max_batch_features(dtype)
    options = batch_options(d, dtype)
    names = ("BLOCK_N", "BLOCK_M", "BLOCK_D", "num_warps")
    assert tuple(options[name] for name in names) == tile


def test_the_partial_sums_stay_within_their_memory() -> None:
    assert max_programs("cpu", (54,), "float64") == max_programs("cpu", (3, 4), "float32") == 4
    assert max_programs("cpu", (4096, 8192), "float64") == 1
    assert max_programs("cpu", (3000, 8192), "float32") == 2
    assert max_coefficients("float32") == 2 * max_coefficients("float64") == 1 << 26
