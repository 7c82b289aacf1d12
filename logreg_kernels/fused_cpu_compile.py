"""How `fused-cpu` is compiled, and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])

# Sums may be reordered into vector lanes, and products and sums contracted: both happen when
# the code is compiled, so that every run of it rounds alike. NaN and inf keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Function) -> Function:
    """Compile for this processor at the first call with each dtype, or load what was compiled.

    The code runs without Python's lock, so that threads run it side by side.
    """
    dispatcher = numba.njit(fastmath=_FASTMATH, nogil=True, error_model="numpy")(function)
    try:
        dispatcher._cache = _Cache(function)
    except RuntimeError:
        pass  # no folder that can be written: it is compiled in each process anew
    return cast(Function, dispatcher)


def inlined(function: Function) -> Function:
    """As `compiled`, for what only compiled code calls: it is kept as a part of its callers."""
    return cast(Function, numba.njit(fastmath=_FASTMATH, error_model="numpy")(function))


class _Cache(FunctionCache):
    """Numba's cache on disk, which forgets what it compiled when *any* source file has changed.

    Numba looks at the function's own file only, and would go on running what was compiled with
    an older version of a function from another file.
    """

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(signature, codegen), _sources())


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("fused_cpu*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
