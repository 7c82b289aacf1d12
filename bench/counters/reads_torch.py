"""How often torch's operators read X, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from logreg_kernels.torch_kernels.csr import TorchCSR

# Operators that copy entries: they read what they copy, and the copy counts as X, too.
_GATHERING = ("index", "index_select", "gather", "take")
_COPYING = ("clone", "_to_copy", "copy", "contiguous")


class TorchReads(TorchDispatchMode):
    """Counts the entries of X, and of copies of its rows, that operators are given.

    The autograd engine calls the operators of a backward under the same mode. Views read nothing,
    nor do operators that take only a shape and a type. What an operator does inside can't be seen.
    """

    def __init__(self, X: torch.Tensor | TorchCSR) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries = 0
        parts = (X.by_row, X.by_column) if isinstance(X, TorchCSR) else (X,)
        # Kept, so that their memory isn't used anew while the mode is on.
        self._held = list(map(_values, parts))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        read = [values for values in map(_values, given) if self._holds(values)]
        name = func.overloadpacket.__name__
        if not read or func.is_view or name.endswith("_like") or name.startswith("new_"):
            return made
        results = [t for t in tree_leaves(made) if isinstance(t, torch.Tensor)]
        if name in _GATHERING or name in _COPYING:
            for result in map(_values, results):
                self.entries += result.numel()
                self._held.append(result)
        elif not all(self._is_view(result) for result in results):
            self.entries += sum(values.numel() for values in read)
        return made

    def _holds(self, values: torch.Tensor) -> bool:
        where = values.untyped_storage().data_ptr()
        return any(where == held.untyped_storage().data_ptr() for held in self._held)

    def _is_view(self, result: torch.Tensor) -> bool:
        """Whether it shares memory: a CSR tensor does with its parts, though no view made it."""
        return self._holds(_values(result))


def _values(tensor: torch.Tensor) -> torch.Tensor:
    """The entries of a tensor; the stored ones of a sparse tensor."""
    return tensor.values() if tensor.layout in (torch.sparse_csr, torch.sparse_csc) else tensor
