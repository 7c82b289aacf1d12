"""X as an array that counts how often NumPy reads it.

Two things can't be seen: code that takes the class away first (`np.asarray(X) @ w`), and what
compiled code does with memory that it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Reads:
    """How many entries of X, and of copies of its rows, were read; and in which memory they lie."""

    def __init__(self) -> None:
        self.entries = 0
        self._held: list[NDArray[Any]] = []

    def hold(self, array: NDArray[Any]) -> None:
        """Count this array as X, too. It is kept, so that its memory isn't used anew."""
        self._held.append(plain(array))

    def holds(self, array: Any) -> bool:
        """Whether an array lies in the memory of X or of a copy."""
        return isinstance(array, np.ndarray) and any(
            np.may_share_memory(plain(array), held) for held in self._held
        )


def plain(array: Any) -> Any:
    """An array as NumPy's own class, on the same memory; anything else as it is."""
    return array.view(np.ndarray) if isinstance(array, np.ndarray) else array


# These say something about an array, or make another like it. They read no entry.
_READ_NOTHING = (
    *(np.shape, np.ndim, np.size, np.may_share_memory, np.shares_memory, np.result_type),
    *(np.can_cast, np.empty_like, np.zeros_like, np.ones_like, np.full_like),
)
# Methods that are written in C and call neither a ufunc nor a NumPy function by name.
_READING_METHODS = (
    *("all", "any", "argmax", "argmin", "argsort", "byteswap", "choose", "cumprod", "cumsum"),
    *("dot", "max", "mean", "min", "nonzero", "prod", "round", "searchsorted", "std", "sum"),
    *("tobytes", "tolist", "trace", "var"),
)
# Methods of that kind that return a copy of entries, or a view.
_COPYING_METHODS = ("astype", "compress", "copy", "flatten", "ravel", "repeat", "reshape", "take")


class CountedArray(np.ndarray[Any, Any]):
    """An array on X's memory. NumPy's operations on it are counted, and done without the class.

    Views are counted arrays, too, and so are copies of rows. A mini-batch reads its rows once to
    gather them, and the gathered rows as often as its formulas do.
    """

    reads: Reads | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.reads = getattr(source, "reads", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        _count(inputs)
        if "out" in options:
            options["out"] = tuple(map(plain, options["out"]))
        return getattr(ufunc, method)(*map(plain, inputs), **options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        made = function(*_plain_inside(args), **_plain_inside(kwargs))
        if function in _READ_NOTHING:
            return made
        if self._is_view(made):
            return self._counted(made)
        _count((args, kwargs))
        return made

    def __getitem__(self, key: Any) -> Any:
        return self._view_or_copy(plain(self)[key])

    def _view_or_copy(self, made: Any) -> Any:
        """A view has read nothing; a copy has read every entry that it holds."""
        assert self.reads is not None
        if not isinstance(made, np.ndarray):
            self.reads.entries += 1
            return made
        if not self._is_view(made):
            self.reads.entries += int(made.size)
            self.reads.hold(made)
        return self._counted(made)

    def _is_view(self, made: Any) -> bool:
        return isinstance(made, np.ndarray) and np.may_share_memory(plain(made), plain(self))

    def _counted(self, made: NDArray[Any]) -> CountedArray:
        counted = made.view(CountedArray)
        counted.reads = self.reads
        return counted


def _reading(name: str) -> Callable[..., Any]:
    def method(self: CountedArray, *args: Any, **kwargs: Any) -> Any:
        _count((self, args, kwargs))
        return getattr(plain(self), name)(*_plain_inside(args), **_plain_inside(kwargs))

    return method


def _copying(name: str) -> Callable[..., Any]:
    def method(self: CountedArray, *args: Any, **kwargs: Any) -> Any:
        return self._view_or_copy(getattr(plain(self), name)(*args, **kwargs))

    return method


for _name in _READING_METHODS:
    setattr(CountedArray, _name, _reading(_name))
for _name in _COPYING_METHODS:
    setattr(CountedArray, _name, _copying(_name))


def counted_array(X: NDArray[Any], reads: Reads) -> CountedArray:
    """X as a `CountedArray` on the same memory."""
    counted = X.view(CountedArray)
    counted.reads = reads
    reads.hold(X)
    return counted


def _plain_inside(value: Any) -> Any:
    """Arguments with the class taken off every array in them."""
    if isinstance(value, tuple | list):
        return type(value)(map(_plain_inside, value))
    if isinstance(value, dict):
        return {name: _plain_inside(inner) for name, inner in value.items()}
    return plain(value)


def _count(value: Any) -> None:
    """Count every entry of the counted arrays among arguments."""
    if isinstance(value, CountedArray):
        if value.reads is not None:
            value.reads.entries += int(value.size)
    elif isinstance(value, tuple | list):
        for inner in value:
            _count(inner)
    elif isinstance(value, dict):
        _count(list(value.values()))
