"""X in arrays that count how often NumPy, and SciPy's sparse functions, read it.

Two things can't be seen: code that takes the class away first (`np.asarray(X) @ w`), and what
compiled code does with memory that it was given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import _sparsetools, csr_array
from torch.utils._pytree import tree_leaves, tree_map


class Reads:
    """How many entries of X, and of copies of its rows, were read; and in which memory they are."""

    def __init__(self) -> None:
        self.entries = 0
        self._held: list[NDArray[Any]] = []

    def hold(self, array: NDArray[Any]) -> None:
        """Count this array as X, too. It is kept, so that its memory isn't used anew."""
        if not self.holds(array):
            self._held.append(plain(array))

    def holds(self, array: Any) -> bool:
        """Whether an array is in the memory of X or of a copy."""
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

    reads: Reads

    def __array_finalize__(self, source: Any) -> None:
        self.reads = getattr(source, "reads", Reads())

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        _count(inputs)
        return getattr(ufunc, method)(*tree_map(plain, inputs), **tree_map(plain, options))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        made = function(*tree_map(plain, args), **tree_map(plain, kwargs))
        if function in _READ_NOTHING:
            return made
        if self.reads.holds(made):
            return counted_array(made, self.reads)
        _count((args, kwargs))
        return made

    def __getitem__(self, key: Any) -> Any:
        return self._view_or_copy(plain(self)[key])

    def _view_or_copy(self, made: Any) -> Any:
        """A view has read nothing; a copy has read every entry that it has."""
        if not isinstance(made, np.ndarray):
            self.reads.entries += 1
            return made
        if not self.reads.holds(made):
            self.reads.entries += int(made.size)
        return counted_array(made, self.reads)


def _reading(name: str) -> Callable[..., Any]:
    def method(self: CountedArray, *args: Any, **kwargs: Any) -> Any:
        _count((self, args, kwargs))
        return getattr(plain(self), name)(*tree_map(plain, args), **tree_map(plain, kwargs))

    return method


def _copying(name: str) -> Callable[..., Any]:
    def method(self: CountedArray, *args: Any, **kwargs: Any) -> Any:
        return self._view_or_copy(getattr(plain(self), name)(*args, **kwargs))

    return method


for _name in _READING_METHODS:
    setattr(CountedArray, _name, _reading(_name))
for _name in _COPYING_METHODS:
    setattr(CountedArray, _name, _copying(_name))


def _count(arguments: Any) -> None:
    """Count every entry of the counted arrays among arguments."""
    for value in tree_leaves(arguments):
        if isinstance(value, CountedArray):
            value.reads.entries += int(value.size)


def counted_array(X: NDArray[Any], reads: Reads) -> CountedArray:
    """X as a `CountedArray` on the same memory."""
    counted = X.view(CountedArray)
    counted.reads = reads
    reads.hold(X)
    return counted


def counted_csr(X: csr_array, reads: Reads) -> csr_array:
    """X on the same memory, with values in a `CountedArray`; for use within `counting_sparse`."""
    counted = csr_array(X.shape, dtype=X.dtype)
    counted.indices, counted.indptr = X.indices, X.indptr
    counted.data = counted_array(X.data, reads)
    return counted


@contextmanager
def counting_sparse(reads: Reads) -> Iterator[None]:
    """Count the values that SciPy's compiled functions are given.

    They don't ask an array's class, so that the functions themselves are replaced, in every module
    of scipy.sparse that has them.
    """
    functions = dict(vars(_sparsetools))

    def counting(name: str, value: Any) -> Any:
        is_compiled = callable(value) and functions.get(name) is value
        return _counting(name, value, reads) if is_compiled and name[0] != "_" else None

    with replacing("scipy.sparse", counting):
        yield


# Those of SciPy's compiled functions that copy entries of X. What they wrote counts as X, too.
_COPYING = ("csr_row_index", "csr_row_slice", "get_csr_submatrix", "csr_tocsc")


def _counting(name: str, function: Any, reads: Reads) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        given = [a for a in args if reads.holds(a)]
        made = function(*map(plain, args))
        if name not in _COPYING or not given:
            reads.entries += sum(int(a.size) for a in given)
            return made
        for a in tree_leaves((args, made)):
            if isinstance(a, np.ndarray) and a.dtype == given[0].dtype and not reads.holds(a):
                reads.entries += int(a.size)
                reads.hold(a)
        return made

    return call


@contextmanager
def replacing(package: str, replacement: Callable[[str, Any], Any]) -> Iterator[None]:
    """Replace names in every loaded module of a package, and put them back at the end.

    Args:
        package: the beginning of the modules' names.
        replacement: called with a name and its value; returns what to put there, or None.
    """
    with ExitStack() as stack:
        for module in [m for name, m in sys.modules.items() if name.startswith(package)]:
            for name, value in list(vars(module).items()):
                other = replacement(name, value)
                if other is not None:
                    stack.enter_context(patch.object(module, name, other))
        yield
