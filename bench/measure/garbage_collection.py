"""No garbage collection while the clock runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect what is young, then keep the collector off inside the block.

    A full collection takes 0.2 s once torch is loaded, more than most runs: it is left to the
    collector's own schedule, outside of such blocks.
    """
    was_on = gc.isenabled()
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
