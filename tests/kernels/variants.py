"""Every kernel in every dtype on every device of this machine: what the contract suite runs on.

A test that is marked `each_variant` gets a new kernel for free. A variant that can't run here is
skipped with the kernel's own reason, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from logreg_kernels import KERNELS, Objective, bind

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
# Built on torch's own loss, since that is what people write: (1 - y) z - logsigmoid(z), and
# sigmoid(z) - y for its gradient, cancel in the tails. Every other kernel is exact there.
WITH_THE_LOSS_OF_TORCH = frozenset({"torch-autograd", "torch-compile"})
# Built on JAX's own: the slope of its softplus, exp(x - softplus(x)), is off by u |x| at x >> 0,
# and its log_softmax and softmax(Z) - onehot(y) cancel as torch's do.
WITH_THE_LOSS_OF_JAX = frozenset({"jax"})
# inductor writes logsigmoid as log(exp(-m) + exp(-x - m)), m = max(-x, 0), whose slope cancels
# where torch's own keeps its digits: a gradient of two rows was off by 1.6e-16 at a loss of 9e-5,
# where rounding explains 5e-17. It rounds more often, too: at most 13.1 times `one_rounding` of a
# softmax gradient in 24 random cases of 1025 rows, where plain torch had 6.3 and numpy 6.2.
WITH_THE_FORMULAS_OF_INDUCTOR = frozenset({"torch-compile"})
# A fifth of a second for each shape: tests of any shape give these only a few.
COMPILED_FOR_EACH_SHAPE = frozenset({"jax"})


@dataclass(frozen=True)
class Variant:
    """One kernel, on one device, in one dtype."""

    kernel: str
    device: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.kernel}-{self.device}-{self.dtype}"

    @property
    def eps(self) -> float:
        """Distance from 1 to the next number in this dtype."""
        return float(np.finfo(self.dtype).eps)

    def near_zero(self, logit: float) -> float:
        """What a loss or its slope of (nearly) 0 may be off by, absolutely, at this logit."""
        if self.kernel in WITH_THE_LOSS_OF_TORCH | WITH_THE_LOSS_OF_JAX:
            return 2 * self.eps * max(1.0, abs(logit))
        return float(np.finfo(self.dtype).tiny)

    @property
    def roundings(self) -> float:
        """Rounding errors in each logit, loss and product that it may make; see `exact`."""
        return 16.0 if self.kernel in WITH_THE_FORMULAS_OF_INDUCTOR else 4.0

    @property
    def cancelled(self) -> float:
        """What each loss and residual may be off by, absolutely, where plain torch's is exact."""
        return 2 * self.eps if self.kernel in WITH_THE_FORMULAS_OF_INDUCTOR else 0.0

    def any_of(self, size: int, *few: int) -> int:
        """A size of the data: itself, or the next of a few where each takes a compilation."""
        return min(s for s in few if s >= size) if self.kernel in COMPILED_FOR_EACH_SHAPE else size

    @property
    def unavailable(self) -> str | None:
        """The kernel's own reason why it can't run here."""
        return KERNELS[self.kernel].unavailable(self.device)

    def bind(self, X: Any, y: Any, l2: float = 0.0) -> Objective:
        """`logreg_kernels.bind` with this kernel, device and dtype."""
        return bind(self.kernel, X, y, l2=l2, device=self.device, dtype=self.dtype)


VARIANTS = tuple(
    Variant(name, device, dtype)
    for name, kernel in KERNELS.items()
    for device in DEVICES
    for dtype in kernel.dtypes
)


def each(variants: Sequence[Variant]) -> pytest.MarkDecorator:
    """Parametrize a test by `variant`."""
    params = []
    for variant in variants:
        reason = variant.unavailable
        marks = [] if reason is None else [pytest.mark.skip(reason=reason)]
        params.append(pytest.param(variant, id=str(variant), marks=marks))
    return pytest.mark.parametrize("variant", params)


each_variant = each(VARIANTS)
each_variant_on_cpu = each([v for v in VARIANTS if v.device == "cpu"])
each_float64_variant = each([v for v in VARIANTS if v.dtype == "float64"])
each_csr_variant = each([v for v in VARIANTS if KERNELS[v.kernel].takes_csr])
each_c = pytest.mark.parametrize("c", [2, 4])
"""Two classes, with w (d,), and more, with W (c, d): every kernel has code of its own for each."""


@dataclass(frozen=True, eq=False)
class Case:
    """Data with all classes, and coefficients, all of them exact in the dtype asked for."""

    X: NDArray[Any]
    y: NDArray[np.intp]
    w: NDArray[Any]
    """(d,) for two classes, (c, d) for more."""


@lru_cache(maxsize=16)
def random_case(
    n: int, d: int, dtype: str, seed: int = 0, w_scale: float = 1.0, c: int = 2
) -> Case:
    """Normal X and w, labels by chance; n >= c, and the first c rows have all classes.

    X has 8 significant bits, so that a kernel which stores it in bfloat16 has it exactly, too.

    Each kernel is handed the same read-only arrays, whose exact results are kept for the next.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(c, size=n)
    if c == 2:
        y[1] = 1 - y[0]
    else:
        y[:c] = rng.permutation(c)
    X = to_8_bits(rng.standard_normal((n, d))).astype(dtype)
    w = (w_scale * rng.standard_normal(d if c == 2 else (c, d))).astype(dtype)
    return Case(X=read_only(X), y=read_only(y), w=read_only(w))


@lru_cache(maxsize=16)
def rows_of(case: Case, *rows: int) -> Case:
    """These rows alone; kept for the next kernel, as their exact results are."""
    picked = list(rows)
    return Case(X=case.X[picked], y=case.y[picked], w=case.w)


def whole_case(variant: Variant, c: int = 4) -> Case:
    """Entries of few bits, so that adding to w rounds nothing."""
    rng = np.random.default_rng(0)
    X = rng.integers(-8, 9, size=(65, 5)) / 8
    y = np.append(rng.permutation(c), rng.integers(c, size=65 - c))
    w = rng.integers(-16, 17, size=5 if c == 2 else (c, 5)) / 4
    return Case(X.astype(variant.dtype), y, w.astype(variant.dtype))


def to_8_bits(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest numbers that bfloat16 has, too (none here is near the ends of its range)."""
    fraction, exponent = np.frexp(X)
    return np.asarray(np.ldexp(np.round(fraction * 256) / 256, exponent))


def bind_case(variant: Variant, case: Case, l2: float = 0.1) -> tuple[Objective, Any]:
    """The objective, and the case's w where the kernel wants it."""
    objective = variant.bind(case.X, case.y, l2=l2)
    return objective, objective.as_coefficients(case.w)


def offers(objective: Any, method: str) -> bool:
    """Whether it has this optional method: hvp or hessian."""
    return method in objective.offers


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that can't be written into."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def bits(result: tuple[Any, ...]) -> list[bytes]:
    """Value and gradient, or other results, to the last bit."""
    return [to_numpy(part).tobytes() for part in result]


def overwrite(array: Any, value: float) -> None:
    """Set all of a kernel's array, in place; JAX's arrays can't be written into."""
    if not hasattr(array, "at"):
        array[:] = value


def to_numpy(array: Any) -> NDArray[Any]:
    """A kernel's result on the host; a copy."""
    return np.array(array.cpu().numpy() if isinstance(array, torch.Tensor) else array)


def assert_one_line_with(error: BaseException, words: tuple[str, ...]) -> None:
    """A refusal is one line that holds all of these."""
    message = str(error)
    assert len(message.splitlines()) == 1
    assert [word for word in words if word not in message] == [], message
