"""How often a kernel's calls read X.

One more pass over X inside a kernel changes no number of oracle calls. It changes this ratio:

    reads = entries of X, and of copies of its rows, that a call reads / entries of the rows used

A formula that multiplies by X twice has 2.0. On gathered rows it has 3.0, as gathering reads them.
Counted are the entries that Python gives to NumPy, to SciPy's sparse functions, to torch's
operators, and to the compiled passes of `fused-cpu`. What these do with X inside can't be seen; how
long they take is measured by `python -m bench compare`. torch.compile and XLA make one program of
the whole loss, so that `torch-compile` and `jax` are left out.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, random_array
from torch.utils._pytree import tree_map

from bench.counters.counters_file import cell_name
from bench.counters.reads_numpy import (
    Reads,
    counted_array,
    counted_csr,
    counting_sparse,
    plain,
    replacing,
)
from bench.counters.reads_torch import TorchReads
from logreg_kernels import KERNELS, bind
from logreg_kernels.torch_kernels.devices import TorchData

COUNTED = ("numpy", "torch-autograd", "fused-cpu")
NOT_COUNTED = {
    "reads_of_x of torch-compile": "inductor's code can't be seen reading; its time is compared",
    "reads_of_x of jax": "XLA's code can't be seen reading; its time is compared",
    "reads_of_x inside fused-cpu's compiled passes": "counted is what they are handed",
}

_ROWS, _COLUMNS, _BATCH_ROWS, _MODELS = 300, 7, 96, 3


def count_reads(kernels: Sequence[str] = COUNTED) -> dict[str, dict[str, float]]:
    """Reads of X by each call that a kernel offers, by `cell_name(kernel, data)`.

    The calls are `value_and_grad`, also on `rows`, `value_and_grad_batch` of three models, `hvp`
    and `hessian`. The data are 300 rows in float64 with two classes and with four, dense and, where
    the kernel takes it, CSR.
    """
    shape = (_ROWS, _COLUMNS)
    stored = random_array(shape, density=0.3, format="csr", rng=np.random.default_rng(0))
    layouts = {"dense": np.random.default_rng(0).normal(size=shape), "csr": csr_array(stored)}
    return {
        cell_name(kernel, f"{words} classes, {layout}"): _reads(kernel, X, n_classes)
        for kernel in kernels
        for layout, X in layouts.items()
        if layout == "dense" or KERNELS[kernel].takes_csr
        for n_classes, words in ((2, "two"), (4, "four"))
    }


def _reads(kernel: str, X: Any, n_classes: int) -> dict[str, float]:
    y = np.arange(_ROWS) % n_classes
    objective = bind(kernel, X, y, l2=0.1, device="cpu", dtype="float64")
    rows = np.arange(_BATCH_ROWS) * 3
    w = np.full(objective.coefficient_shape, 0.1)
    calls: dict[str, Callable[[Any], Any]] = {
        "value_and_grad": lambda o: o.value_and_grad(o.as_coefficients(w)),
        "value_and_grad(rows)": lambda o: o.value_and_grad(o.as_coefficients(w), o.as_rows(rows)),
        "hvp": lambda o: o.hvp(o.as_coefficients(w), o.as_coefficients(w)),
        "hessian": lambda o: o.hessian(o.as_coefficients(w)),
    }
    if n_classes == 2:
        calls["value_and_grad_batch"] = lambda o: o.value_and_grad_batch(
            np.full((_MODELS, _COLUMNS), 0.1)
        )
    found = {}
    for name, call in calls.items():
        if name.removesuffix("(rows)") in objective.offers:
            used = X[rows] if name.endswith("(rows)") else X
            found[name] = round(reads_of_call(objective, call) / used.size, 4)
    return found


def reads_of_call(objective: Any, call: Callable[[Any], Any]) -> int:
    """Entries of X that `call(objective)` reads."""
    call(objective)  # compiles what a first call compiles, which is not to be counted
    with counting_reads(objective) as (watched, reads):
        call(watched)
    return int(reads.entries)


@contextmanager
def counting_reads(objective: Any) -> Iterator[tuple[Any, Any]]:
    """The objective with an X that counts, and what holds the count in `entries`."""
    if isinstance(objective, TorchData):
        with TorchReads(objective.X) as mode:
            yield objective, mode
        return
    reads = Reads()
    with ExitStack() as stack:
        if isinstance(objective.X, csr_array):
            stack.enter_context(counting_sparse(reads))
            X: Any = counted_csr(objective.X, reads)
        else:
            X = counted_array(objective.X, reads)
        changed = {"X": X}
        if hasattr(objective, "operand"):
            stack.enter_context(_counting_passes(reads))
            parts = X if not isinstance(X, csr_array) else (X.data, *objective.operand[1:])
            changed["operand"] = parts
        yield dataclasses.replace(objective, **changed), reads


@contextmanager
def _counting_passes(reads: Reads) -> Iterator[None]:
    """Count the rows of X that Python gives to compiled passes of `fused-cpu`.

    Compiled code has its callees inside, and does not see what is replaced here.
    """
    from numba.core.dispatcher import Dispatcher

    def counting(_: str, value: Any) -> Any:
        return _counting(value, reads) if isinstance(value, Dispatcher) else None

    with replacing("logreg_kernels.", counting):
        yield


def _counting(compiled: Any, reads: Reads) -> Callable[..., Any]:
    signature = inspect.signature(compiled.py_func)

    def call(*args: Any) -> Any:
        given = signature.bind(*args).arguments
        for X in given.values():
            values = X[0] if isinstance(X, tuple) and X else X
            if reads.holds(values):
                reads.entries += _entries_given(X, given)
        return compiled(*tree_map(plain, args))

    return call


def _entries_given(X: Any, given: dict[str, Any]) -> int:
    """Entries of X in the rows that a pass was given: of `rows`, or all, from `start` to `stop`."""
    n_rows = len(X[2]) - 1 if isinstance(X, tuple) else len(X)
    rows: NDArray[Any] = np.arange(n_rows) if given.get("rows") is None else given["rows"]
    rows = rows[given.get("start", 0) : given.get("stop", len(rows))]
    if not isinstance(X, tuple):
        return len(rows) * int(X.shape[1])
    starts = X[2]
    return int((starts[rows + 1] - starts[rows]).sum())
