"""Parts of a pass over X on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")

# A thread must get at least this much of X. To wake one takes some 100 microseconds on a virtual
# machine, and below this size one core is as fast as two (measured at 54 columns, float32).
_MIN_BYTES = 1 << 22


def n_parts(n_bytes: int) -> int:
    """How many threads share a pass over this much of X: at most as many as torch has."""
    return max(1, min(torch.get_num_threads(), n_bytes // _MIN_BYTES))


def in_parts(work: Callable[[int], Result], parts: int) -> list[Result]:
    """`[work(0), ..., work(parts - 1)]`, side by side; compiled code runs without Python's lock.

    Rejected: Numba's `prange`. Its threads live in a library that ends the process at a fork
    (OpenMP) or at two calls at once (workqueue). They go on spinning when they are done, which
    slows what runs next.
    """
    others: list[Future[Result]] = [_pool().submit(work, part) for part in range(1, parts)]
    return [work(0), *(other.result() for other in others)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="fused-cpu")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads don't live on in the child
