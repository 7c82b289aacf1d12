"""`fused-cuda`: NLL and gradient in one pass over X, by Triton."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import time
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from logreg_kernels.contract import Array, BindTimes, DType, FloatMatrix
from logreg_kernels.torch_devices import (
    TORCH_DTYPES,
    as_indices,
    as_tensor,
    device_unavailable,
    place,
    synchronize,
)
from logreg_kernels.validation import check_coefficients, check_models

_ITEMSIZE: dict[DType, int] = {"float32": 4, "float64": 8}
_VECTOR_BYTES = 16  # the widest load of one lane
_SECTOR_BYTES = 32  # the least that device memory hands out
# What a lane holds of X, and again of the gradient's sums: 128 bytes are 32 registers each,
# with w a third time. Half as much leaves fewer bytes in flight to cover the latency of device
# memory; twice as much, which only rows above 32 KiB take, leaves room for half the warps.
_LANE_BYTES = 128
_MAX_LANE_ROWS = 4  # a lane's exps and logs are unrolled: narrow rows would fill the registers
_MIN_WARPS = 4
_MAX_WARPS = 8  # with 16, a lane may have 128 registers, and float64 spills
_MAX_ROW_BYTES = 1 << 16
_REGISTERS = 1 << 16  # of a multiprocessor
# Warps to keep on a multiprocessor: what those registers hold.
_RESIDENT_WARPS: dict[DType, int] = {"float32": 16, "float64": 12}
# The interpreter runs programs one after the other; with several of them, each with several
# row blocks, it goes through the same loops as a GPU.
_INTERPRETED_PROGRAMS = 4


class BlockShape(NamedTuple):
    """Tile of `nll_and_grad_partials`, (chunks, rows, chunk_columns), each a power of two."""

    chunks: int
    rows: int
    chunk_columns: int
    num_warps: int
    resident_programs: int
    """Programs that a multiprocessor holds at once."""

    @property
    def max_registers(self) -> int:
        """A lane's share, in steps of 8: told it, the assembler doesn't spill to use fewer."""
        lanes = 32 * self.num_warps * self.resident_programs
        return min(_REGISTERS // lanes // 8 * 8, 255)


def max_features(dtype: DType) -> int:
    """The widest X: a row, padded to a power of two, lies in the registers of one program."""
    return _MAX_ROW_BYTES // _ITEMSIZE[dtype]


@functools.cache
def block_shape(n_features: int, dtype: DType) -> BlockShape:
    """The tile for rows of `n_features` entries.

    A lane reads 16 bytes at a time, or what the alignment of a row allows. Neighbouring lanes
    read a chunk of the row, one memory sector at least; the row's other chunks go to the same
    lanes, up to 128 bytes a lane. Short rows leave room for more than one row a lane.
    """
    itemsize = _ITEMSIZE[dtype]
    padded = _power_of_two_from(n_features)
    vector = min(_VECTOR_BYTES // itemsize, n_features & -n_features)
    lanes = max(_SECTOR_BYTES // (vector * itemsize), padded * itemsize // _LANE_BYTES)
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
def reduction_shape(n_features: int, dtype: DType) -> tuple[int, int]:
    """Tile of `reduce_partials`, partials by columns: 16 KiB, in whole lines of 128 bytes."""
    columns = min(_power_of_two_from(n_features), 128 // _ITEMSIZE[dtype])
    return (1 << 14) // (_ITEMSIZE[dtype] * columns), columns


@dataclass(frozen=True)
class FusedCuda:
    """NLL and gradient in one pass over X, on a CUDA device, without atomics.

    Under TRITON_INTERPRET=1 it also runs on "cpu", through Triton's interpreter: the same
    code, thousands of times slower, for tests.
    """

    name: str = "fused-cuda"

    @property
    def interpreted(self) -> bool:
        """Whether Triton's interpreter runs it, on any device: then its times mean nothing."""
        return _triton_installed() and bool(_device_code().INTERPRETED)

    def unavailable(self, device: str = "cpu") -> str | None:
        """None on a CUDA device, or on "cpu" under Triton's interpreter; else why not."""
        reason = device_unavailable(device)
        if reason is not None:
            return reason
        kind = torch.device(device).type
        if kind == "cuda" and not _triton_installed():
            return "Triton is not installed: pip install 'logreg-bench[test]' on Linux x86-64"
        if kind == "cuda" or (kind == "cpu" and self.interpreted):
            return None
        return (
            f"needs a CUDA device; got {device!r} "
            "(TRITON_INTERPRET=1 runs it on a CPU, to test it, never to time it)"
        )

    def bind(
        self, X: FloatMatrix, y: FloatMatrix, *, l2: float, device: str, dtype: DType
    ) -> FusedCudaObjective:
        """Transfer the data, and compile for its width, with and without `rows`.

        Raises:
            ValueError: X has more than `max_features(dtype)` columns.
        """
        n_features = X.shape[1]
        if n_features > max_features(dtype):
            raise ValueError(
                f"fused-cuda takes at most {max_features(dtype)} columns in {dtype}; "
                f"X has {n_features}: use torch-autograd"
            )
        start = time.perf_counter()
        X_placed = place(X, device)
        sign = place(2 * y - 1, device).to(torch.int8)
        penalty = torch.tensor([l2], dtype=TORCH_DTYPES[dtype], device=device)
        synchronize(device)
        transferred = time.perf_counter()
        objective = FusedCudaObjective(
            X=X_placed,
            sign=sign,
            penalty=penalty,
            l2=l2,
            device=device,
            dtype=dtype,
            max_programs=_max_programs(device, block_shape(n_features, dtype)),
        )
        # Triton compiles at the first launch: let both variants be launched here.
        w = X_placed.new_zeros(n_features)
        objective.value_and_grad(w)
        objective.value_and_grad(w, rows=torch.zeros(1, dtype=torch.int64, device=device))
        objective.synchronize()
        times = BindTimes(transferred - start, time.perf_counter() - transferred)
        return replace(objective, bind_times=times)


@dataclass(frozen=True)
class FusedCudaObjective:
    """f and its gradient from one pass over X: two launches, no synchronisation.

    Two calls with equal input return equal bits. `max_programs`, the number of partial sums,
    follows the device: another one means another order of summation, and agrees to rounding.

    An entry of `rows` outside 0 ... n - 1 (there is no counting from the end) makes value and
    gradient NaN: to raise here, the device would have to be waited for.

    Traffic: n (d itemsize + 1) bytes; a mini-batch of m rows m (d itemsize + 9); and twice the
        partial sums, at most max_programs (d + 1) itemsize, which mostly stay in L2.
    """

    X: torch.Tensor
    sign: torch.Tensor
    penalty: torch.Tensor
    l2: float
    device: str
    dtype: DType
    max_programs: int
    kernel: str = "fused-cuda"
    bind_times: BindTimes = field(default_factory=BindTimes)

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        w = as_tensor(w, self.device, TORCH_DTYPES[self.dtype]).contiguous()
        check_coefficients(w, (self.n_features,))
        if rows is not None:
            rows = as_indices(rows, self.device).contiguous()
        value, grad = self.X.new_empty(()), torch.empty_like(w)
        self._launch(w, rows, value, grad)
        return value, grad

    def value_and_grad_batch(self, W: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """f (k,) and gradients (k, d) of k models, one after the other: X is read k times."""
        W = as_tensor(W, self.device, TORCH_DTYPES[self.dtype]).contiguous()
        check_models(W, self.n_features)
        values, grads = self.X.new_empty(W.shape[0]), torch.empty_like(W)
        for w, value, grad in zip(W, values, grads, strict=True):
            self._launch(w, None, value, grad)
        return values, grads

    def as_coefficients(self, w: Array) -> torch.Tensor:
        """A copy of `w` on this objective's device."""
        return as_tensor(w, self.device, TORCH_DTYPES[self.dtype]).clone()

    def as_rows(self, rows: NDArray[np.intp]) -> torch.Tensor:
        """The indices on the device, as int64."""
        return as_indices(rows, self.device)

    def synchronize(self) -> None:
        """Wait for the device."""
        synchronize(self.device)

    def _launch(
        self, w: torch.Tensor, rows: torch.Tensor | None, value: torch.Tensor, grad: torch.Tensor
    ) -> None:
        device_code = _device_code()
        n_samples, n_features = self.X.shape
        n_rows = n_samples if rows is None else rows.shape[0]
        block = block_shape(n_features, self.dtype)
        n_programs = min((n_rows - 1) // block.rows + 1, self.max_programs)
        # Not kept from call to call: two calls on two streams would write into each other's.
        partials = self.X.new_empty(n_programs * (n_features + 1))
        # The interpreter computes in NumPy, which warns of overflow where a GPU does not.
        with torch.cuda.device_of(self.X), np.errstate(all="ignore"):
            device_code.nll_and_grad_partials[(n_programs,)](
                self.X,
                self.sign,
                w,
                rows,
                partials,
                n_rows,
                n_samples,
                N_FEATURES=n_features,
                CHUNKS=block.chunks,
                BLOCK_N=block.rows,
                BLOCK_K=block.chunk_columns,
                num_warps=block.num_warps,
                maxnreg=block.max_registers,
                enable_fp_fusion=True,
            )
            block_p, block_k = reduction_shape(n_features, self.dtype)
            device_code.reduce_partials[((n_features - 1) // block_k + 2,)](
                partials,
                w,
                self.penalty,
                value,
                grad,
                n_rows,
                n_programs,
                N_FEATURES=n_features,
                BLOCK_P=block_p,
                BLOCK_K=block_k,
                enable_fp_fusion=True,
            )


def _max_programs(device: str, block: BlockShape) -> int:
    if torch.device(device).type == "cpu":
        return _INTERPRETED_PROGRAMS
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    return int(multiprocessors) * block.resident_programs


def _triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _device_code() -> ModuleType:
    # Triton is optional, so that its import waits until the kernel is asked for.
    return importlib.import_module("logreg_kernels.fused_cuda_triton")


def _power_of_two_from(n: int) -> int:
    return 1 << (n - 1).bit_length()
