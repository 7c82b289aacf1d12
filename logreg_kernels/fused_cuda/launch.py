"""How `fused-cuda` is launched: tiles, number of programs, and the reduction at the end."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from logreg_kernels.contract import DType

_ITEMSIZE: dict[DType, int] = {"float32": 4, "float64": 8}
_VECTOR_BYTES = 16  # the widest load of one lane
_SECTOR_BYTES = 32  # the smallest transfer from device memory
# What a lane holds of X, of the gradient's sums (with more than two classes, of one class's
# products) and of w: 128 bytes are 32 registers each. Half as much leaves fewer bytes in flight to
# cover the latency of device memory. Twice as much, which only rows above 32 KiB take, leaves room
# for half the warps.
_LANE_BYTES = 128
_MAX_LANE_ROWS = 4  # a lane's exps and logs are unrolled, and would fill the registers
_MIN_WARPS = 4
_MAX_WARPS = 8  # with 16, a lane may have 128 registers, and float64 spills
_MAX_ROW_BYTES = 1 << 16
_REGISTERS = 1 << 16  # of a multiprocessor
# Warps that those registers hold.
_RESIDENT_WARPS: dict[DType, int] = {"float32": 16, "float64": 12}
# Memory for the partial sums of all programs. Only a W of more than 0.5 MB leads to fewer programs.
# If all sums had to be in L2, 1000 classes at d = 784 would leave most multiprocessors idle.
_MAX_PARTIALS_BYTES = 1 << 28
# The interpreter runs programs one after the other. With several of them, each with several row
# blocks, it goes through the same loops as a GPU.
_INTERPRETED_PROGRAMS = 4

# A block of the Hessian, 64 x 64: 16 registers a lane in float32, 32 in float64, with as many
# again for the operands. 4 warps spill in float32 on sm_80.
_GRAM_COLUMNS = 64
_GRAM_ENTRIES = 1 << 11  # of X: 8 a lane, that is two loads at least
_GRAM_WARPS = 8
_GRAM_RESIDENT_PROGRAMS = 2

# Models that one reading of X serves: the least that a dot product of blocks takes. X's tile is an
# operand of both products. It lies in shared memory, beside 16 rows of sums. The limits are those
# of the builds. 8 warps hold a tile of 16 KiB, or of 16 longer rows, without a spill, and 4 don't.
# The widest take 131 of the 163 KiB of shared memory on sm_80, or 69 in float64 by Triton 3.6.
_BATCH_MODELS = 16
_BATCH_TILE_BYTES = 1 << 14
_BATCH_MAX_ROWS: dict[DType, int] = {"float32": 64, "float64": 32}
_BATCH_MAX_ROW_BYTES: dict[DType, int] = {"float32": 1 << 12, "float64": 1 << 11}
_BATCH_WARPS = 8


def max_registers(num_warps: int, resident_programs: int) -> int:
    """A lane's share, in steps of 8. With this limit the assembler does not spill to use fewer."""
    return min(_REGISTERS // (32 * num_warps * resident_programs) // 8 * 8, 255)


class BlockShape(NamedTuple):
    """Tile of X that a program has in registers, (chunks, rows, chunk_columns): powers of two."""

    chunks: int
    rows: int
    chunk_columns: int
    num_warps: int
    resident_programs: int
    """Programs that a multiprocessor holds at once."""

    @property
    def max_registers(self) -> int:
        """A lane's share."""
        return max_registers(self.num_warps, self.resident_programs)

    def launch_options(self, n_features: int) -> dict[str, Any]:
        """What every launch on such tiles passes by name."""
        return {
            "N_FEATURES": n_features,
            "CHUNKS": self.chunks,
            "BLOCK_N": self.rows,
            "BLOCK_K": self.chunk_columns,
            "num_warps": self.num_warps,
            "maxnreg": self.max_registers,
            "enable_fp_fusion": True,
        }


def max_features(dtype: DType) -> int:
    """The widest X: a row, padded to a power of two, lies in the registers of one program."""
    return _MAX_ROW_BYTES // _ITEMSIZE[dtype]


@functools.cache
def block_shape(n_features: int, dtype: DType, stored_bytes: int | None = None) -> BlockShape:
    """The tile for rows of `n_features` entries, of `stored_bytes` each, or as `dtype` has.

    A lane reads 16 bytes at a time, or what the alignment of a row allows. Neighbouring lanes
    read a chunk of the row, one memory sector at least. The row's other chunks go to the same
    lanes, up to 128 bytes a lane. Short rows leave room for more than one row a lane.
    """
    itemsize = _ITEMSIZE[dtype]
    stored = stored_bytes or itemsize
    padded = _power_of_two_from(n_features)
    vector = min(_VECTOR_BYTES // stored, n_features & -n_features)
    lanes = max(_SECTOR_BYTES // (vector * stored), padded * itemsize // _LANE_BYTES)
    lanes = min(lanes, padded // vector, 32 * _MAX_WARPS)
    lane_bytes = padded * itemsize // lanes
    num_warps = max(_MIN_WARPS, lanes // 32)
    resident_warps = _RESIDENT_WARPS[dtype] * min(_LANE_BYTES, lane_bytes) // lane_bytes
    return BlockShape(
        chunks=padded // (lanes * vector),
        rows=32 * num_warps // lanes * max(1, min(_LANE_BYTES // lane_bytes, _MAX_LANE_ROWS)),
        chunk_columns=lanes * vector,
        num_warps=num_warps,
        resident_programs=max(1, resident_warps // num_warps),
    )


@functools.cache
def reduction_options(n_coefficients: int, dtype: DType, batch: bool) -> dict[str, Any]:
    """What a launch of `reduce_partials` passes by name.

    Its tile, partials by columns, is 16 KiB, in whole lines of 128 bytes.
    """
    columns = min(_power_of_two_from(n_coefficients), 128 // _ITEMSIZE[dtype])
    return {
        "N_COEFFICIENTS": n_coefficients,
        "BLOCK_P": (1 << 14) // (_ITEMSIZE[dtype] * columns),
        "BLOCK_K": columns,
        "BATCH": batch,
        "enable_fp_fusion": True,
    }


@functools.cache
def gram_options(n_features: int) -> dict[str, Any]:
    """What a launch of `gram_partials` passes by name.

    Its tile of X is BLOCK_N rows by BLOCK_D columns: powers of two, 16 at least.
    """
    columns = max(16, min(_GRAM_COLUMNS, _power_of_two_from(n_features)))
    return {
        "N_FEATURES": n_features,
        "BLOCK_N": _GRAM_ENTRIES // columns,
        "BLOCK_D": columns,
        "num_warps": _GRAM_WARPS,
        "maxnreg": max_registers(_GRAM_WARPS, _GRAM_RESIDENT_PROGRAMS),
        "enable_fp_fusion": True,
    }


def max_batch_features(dtype: DType) -> int:
    """The widest X that `batch_partials` takes."""
    return _BATCH_MAX_ROW_BYTES[dtype] // _ITEMSIZE[dtype]


@functools.cache
def batch_options(n_features: int, dtype: DType) -> dict[str, Any]:
    """What a launch of `batch_partials` passes by name; d is at most `max_batch_features(dtype)`.

    Its tile is BLOCK_N rows of X, BLOCK_M models and BLOCK_D columns: powers of two, 16 at least.
    """
    columns = max(16, _power_of_two_from(n_features))
    rows = _BATCH_TILE_BYTES // (columns * _ITEMSIZE[dtype])
    return {
        "N_FEATURES": n_features,
        "BLOCK_N": max(16, min(rows, _BATCH_MAX_ROWS[dtype])),
        "BLOCK_M": _BATCH_MODELS,
        "BLOCK_D": columns,
        "num_warps": _BATCH_WARPS,
        "maxnreg": 255,  # or else the assembler aims at fewer, and spills for it
        "enable_fp_fusion": True,
    }


def max_coefficients(dtype: DType) -> int:
    """The most entries of w or W: the sums of one program have to be within the memory limit."""
    return _MAX_PARTIALS_BYTES // _ITEMSIZE[dtype]


def max_programs(
    device: str, coefficient_shape: tuple[int, ...], dtype: DType, stored_bytes: int | None = None
) -> int:
    """As many programs as fill the device, or fewer where their sums would exceed the memory."""
    if torch.device(device).type == "cpu":
        resident = _INTERPRETED_PROGRAMS
    else:
        properties = torch.cuda.get_device_properties(device)
        block = block_shape(coefficient_shape[-1], dtype, stored_bytes)
        resident = int(properties.multi_processor_count) * block.resident_programs
    return min(resident, max_coefficients(dtype) // math.prod(coefficient_shape))


@functools.cache
def device_code() -> ModuleType:
    """The Triton kernels. Triton is optional: its import waits until they are asked for."""
    from logreg_kernels.fused_cuda import device

    return device


@contextlib.contextmanager
def launching(X: torch.Tensor) -> Iterator[None]:
    """Launch on the device of `X`, which Triton does not do by itself.

    The interpreter computes in NumPy, which warns of overflow where a GPU does not.
    """
    with torch.cuda.device_of(X), np.errstate(all="ignore"):
        yield


def aligned(w: torch.Tensor) -> torch.Tensor:
    """`w`, copied if it is a view at an odd offset, which wide loads can't read."""
    return w.clone() if w.data_ptr() % _VECTOR_BYTES else w


def _power_of_two_from(n: int) -> int:
    return 1 << (n - 1).bit_length()
