"""How `fused-cpu` is compiled and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

# Sums may be reordered into vector lanes, and a product and a sum may become one instruction. Both
# happen at compilation, so that every run rounds alike. NaN and inf keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Any) -> Any:
    """Compile for this processor at the first call with each dtype, or load what was compiled.

    The code runs without Python's lock, so that threads run it side by side.
    """
    dispatcher = numba.njit(fastmath=_FASTMATH, nogil=True, error_model="numpy")(function)
    # Where no folder can be written, each process compiles anew.
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = _Cache(function)
    return dispatcher


def inlined(function: Any) -> Any:
    """As `compiled`, for what only compiled code calls. It is kept with its callers."""
    return numba.njit(fastmath=_FASTMATH, error_model="numpy")(function)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, which is invalid when *any* source file of this folder has changed.

    Numba looks at a function's own file only. It would go on running code compiled with an older
    version of a function from another file. Compiled code takes nothing from other folders.
    """

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(signature, codegen), _sources())


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
