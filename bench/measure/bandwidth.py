"""The time to read data once, a lower bound on the time of any kernel that reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from logreg_kernels.fused_cpu.threads import in_parts, n_parts

_LEAST_SWEEP_BYTES = 1 << 26


def reader(arrays: Sequence[Any]) -> Callable[[], None]:
    """A call that reads arrays once: NumPy arrays on all threads, or CUDA tensors.

    On a CPU each thread adds up one contiguous part with vector instructions. Its speed is that of
    the memory, or of the cache that holds the data. On CUDA it is torch's sum.
    """
    if isinstance(arrays[0], torch.Tensor):
        tensors = [array.reshape(-1) for array in arrays]

        def read_tensors() -> None:
            for tensor in tensors:
                tensor.sum()

        return read_tensors
    flat = [_as_words(array) for array in arrays]
    parts = n_parts(sum(array.nbytes for array in flat))

    def read_part(part: int) -> None:
        for array in flat:
            start, stop = (len(array) * (part + i) // parts for i in (0, 1))
            _total(array[start:stop])

    read_part(0)  # compiled before it is timed

    def read() -> None:
        in_parts(read_part, parts)

    return read


def sweeper(device: str) -> Callable[[], None]:
    """A call that evicts the kernels' data from the device's caches."""
    if device != "cpu":
        properties = torch.cuda.get_device_properties(device)
        n_bytes = max(_LEAST_SWEEP_BYTES, 4 * int(properties.L2_cache_size))
        buffer = torch.zeros(n_bytes // 4, device=device)

        def sweep() -> None:
            buffer.add_(1)

        return sweep
    n_bytes = max(_LEAST_SWEEP_BYTES, 4 * (last_level_cache_bytes() or 0))
    return reader([np.zeros(n_bytes // 8)])


def last_level_cache_bytes(device: str = "cpu") -> int | None:
    """Size of the last cache before memory; None where it is not known."""
    if device != "cpu":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = cache_sizes()
    return max(sizes.values()) if sizes else None


def cache_sizes() -> dict[int, int]:
    """Bytes of the first CPU's data caches, by level; empty where they are not known."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = (
                (index / name).read_text().strip() for name in ("type", "level", "size")
            )
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            found[int(level)] = int(size[:-1]) * 1024
    return found


def _as_words(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory as a flat array of floats, which the reader is compiled for."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat if flat.dtype.kind == "f" else flat.view(f"f{flat.dtype.itemsize}")


@numba.njit(fastmath=True, nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _total(array: Any) -> Any:
    total = array.dtype.type(0)
    for i in range(array.shape[0]):
        total += array[i]
    return total
