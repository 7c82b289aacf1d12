"""`torch-compile`: the loss of `torch-autograd`, and inductor's code for it and its gradient."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch.func import grad_and_value
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from logreg_kernels.contract import (
    Array,
    BindTimes,
    DType,
    Kernel,
    Labels,
    Matrix,
    Objective,
    coefficient_shape,
)
from logreg_kernels.torch_kernels.autograd import TorchAutogradObjective
from logreg_kernels.torch_kernels.devices import (
    TORCH_DTYPES,
    as_indices,
    device_unavailable,
    place,
    synchronize,
)

# What is traced first has no size of 1, except for the columns where X has one. It has enough rows
# for inductor to write a loop that it divides among the threads. Code made for few rows stays on
# one thread whatever it is given later, and takes twice as long on two cores. Code divided among
# two threads takes a third longer on 100 rows.
_TRACED_ROWS, _TRACED_COLUMNS, _TRACED_CLASSES = 65_537, 33, 5
# Above this size inductor writes other code: a longer float32 sum is made of sums of 4096.
_LAST_CHANGE = 4096
# torch counts the variants of a function over all binds: dtypes, devices, one column or more,
# numbers of threads. Its default limit is 8.
_MOST_VARIANTS = 64


@dataclass(frozen=True)
class TorchCompile(Kernel):
    """torch's own loss of the logits, value and gradient compiled as one by torch.compile."""

    name: str = "torch-compile"

    def unavailable(self, device: str = "cpu") -> str | None:
        """None where torch finds the device, and inductor finds a compiler."""
        reason = device_unavailable(device)
        if reason is not None:
            return reason
        try:
            torch.compile(backend="inductor")  # compiles nothing, but looks at this Python
        except RuntimeError as error:
            return f"torch {torch.__version__} can't compile here: {_first_line(error)}"
        kind = torch.device(device).type
        if kind == "cpu" and shutil.which(_cpp_compiler()) is None:
            return (
                f"torch.compile needs a C++ compiler, and {_cpp_compiler()!r} is not on the PATH: "
                "install it, or name another in the environment variable CXX"
            )
        if kind == "cuda" and importlib.util.find_spec("triton") is None:
            return "torch.compile needs Triton on CUDA, and it is not installed: pip install triton"
        return None

    def bind(self, X: Matrix, y: Labels, *, l2: float, device: str, dtype: DType) -> Objective:
        """Place the data, and compile. A later bind of the same kind finds the code in place.

        Raises:
            ValueError: torch can't compile it.
        """
        start = time.perf_counter()
        shape = coefficient_shape(y, X.shape[1])
        objective = TorchCompileObjective(
            X=place(X, device),
            y=place(y.astype(dtype) if len(shape) == 1 else y, device),
            penalty=torch.tensor(l2, dtype=TORCH_DTYPES[dtype], device=device),
            l2=l2,
            device=device,
            dtype=dtype,
            coefficient_shape=shape,
            kernel=self.name,
        )
        synchronize(device)
        transferred = time.perf_counter()
        try:
            compile_for(objective)
        except Exception as error:  # from dynamo, inductor, or the compiler that it calls
            raise ValueError(
                f"torch.compile failed on {device!r}: {_first_line(error)}: use torch-autograd"
            ) from None
        times = BindTimes(transferred - start, time.perf_counter() - transferred)
        return replace(objective, bind_times=times)


@dataclass(frozen=True, kw_only=True)
class TorchCompileObjective(TorchAutogradObjective):
    """f and its gradient in one compiled function, which all binds of a kind share.

    Sizes are arguments of the code, so that mini-batches of any length run the same. One column is
    a kind of its own. torch gathers `rows` before the call. Batches of models, Hessian products and
    the Hessian are those of `torch-autograd`, not compiled. After a change of torch's number of
    threads the next call compiles anew.

    What is compiled is torch.func.grad_and_value. Rejected: a loss to call `backward()` on. It
    makes two functions of the same loops, with autograd's engine between them at every call.

    Its accuracy is that of torch's loss (see `TorchAutogradObjective`). inductor writes logsigmoid
    as a logarithm of 1 + e, and so loses the tail on the other side, too.

    Traffic: X is read twice, once for the logits and once for the gradient.
    """

    X: torch.Tensor
    penalty: torch.Tensor
    """l2, 0-d. A number of Python's would be compiled in."""

    def value_and_grad(
        self, w: Array, rows: Array | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        w = self.checked(w)
        if w.stride() != (self.n_features, 1)[-w.ndim :]:  # other strides would need other code
            w = w.clone(memory_format=torch.contiguous_format)
        X, y = self.X, self.y
        if rows is not None:
            rows = as_indices(rows, self.device)
            if len(rows) == 1:
                rows = rows.expand(2)  # the same mean. A length of 1 would need other code
            X, y = X[rows], y[rows]
        try:
            grad, value = _call(w, X, y, self.penalty)
        except torch._dynamo.exc.FailOnRecompileLimitHit:  # torch's limit, not `_MOST_VARIANTS`
            compile_for(self)
            grad, value = _call(w, X, y, self.penalty)
        return value, grad


def _binary(w: torch.Tensor, X: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor) -> Any:
    return grad_and_value(_binary_loss)(w, X, y, penalty)


def _softmax(w: torch.Tensor, X: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor) -> Any:
    return grad_and_value(_softmax_loss)(w, X, y, penalty)


def _binary_loss(
    w: torch.Tensor, X: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor
) -> torch.Tensor:
    return binary_cross_entropy_with_logits(X @ w, y) + 0.5 * ((penalty * w) @ w)


def _softmax_loss(
    w: torch.Tensor, X: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor
) -> torch.Tensor:
    flat = w.flatten()
    return cross_entropy(X @ w.T, y) + 0.5 * ((penalty * flat) @ flat)


@cache
def compiled(dimensions: int) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Gradient and value for w (d,) or W (c, d), to be compiled at its first call of a kind."""
    # Not at import: torch.compile loads dynamo, which takes as long as torch itself.
    function = _binary if dimensions == 1 else _softmax
    return torch.compile(function, dynamic=True, fullgraph=True)


def _call(
    w: torch.Tensor, X: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient and value, by code in place or compiled now."""
    with torch.no_grad():  # with gradients on, it would be other code
        return compiled(w.ndim)(w, X, y, penalty)


def compile_for(objective: TorchCompileObjective) -> None:
    """Compile for any number of rows, by calls of all the lengths that may need code of their own.

    inductor looks at sizes, too. Some of its code holds from 4097 rows, columns or coefficients
    on, some up to 32 rows and classes, and Triton's up to 2^31 entries of X. Batches may be longer
    than the data, so the rows are made up.

    A call compiles nothing where valid code is in place, but only a call can tell. torch keeps
    code for each number of threads, and for deterministic algorithms on and off, and
    torch._dynamo.reset() drops all of it.
    """
    import torch._dynamo
    import torch.fx.experimental._config

    shapes: Any = torch.fx.experimental._config
    shape = objective.coefficient_shape
    traced = (_TRACED_CLASSES, 1 if objective.n_features == 1 else _TRACED_COLUMNS)
    with (
        warnings.catch_warnings(),
        torch._dynamo.config.patch(recompile_limit=_MOST_VARIANTS),
        shapes.patch(use_duck_shape=False),  # or equal sizes would be taken to be one
    ):
        # inductor loads torch.utils.mkldnn, which is written with what torch deprecates.
        warnings.filterwarnings("ignore", message="`torch.jit.script_method` is deprecated")
        _call_made_up(objective, _TRACED_ROWS, traced[-len(shape) :])
        # 4097 rows of wider data might not fit into memory. These stand for them.
        shape = tuple(min(size, _LAST_CHANGE + 1) for size in shape)
        length = 2
        while length <= _LAST_CHANGE:
            _call_made_up(objective, length, shape)
            length *= 2
        w = objective.penalty.new_zeros(objective.coefficient_shape)
        _call(w, objective.X, objective.y, objective.penalty)
        _call_made_up(objective, _LAST_CHANGE + 1, shape)
        objective.synchronize()


def _call_made_up(objective: TorchCompileObjective, n: int, shape: tuple[int, ...]) -> None:
    """Call the objective's function on n rows of zeros, with w of this shape."""
    y, penalty = objective.y.new_zeros(n), objective.penalty
    _call(penalty.new_zeros(shape), penalty.new_zeros((n, shape[-1])), y, penalty)


def _cpp_compiler() -> str:
    """What inductor calls, torch._inductor.config.cpp.cxx, without loading inductor."""
    by_default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return os.environ.get("CXX", by_default)


def _first_line(error: BaseException) -> str:
    """The type and first line of an error, or of the one that dynamo has wrapped."""
    error = getattr(error, "inner_exception", error)
    lines = str(error).strip().splitlines() or ["without a word"]
    return f"{type(error).__name__}: {lines[0].strip().rstrip(':.')}"
