"""Optimizers by name: each a frozen dataclass whose fields are its hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench import specs
from bench.errors import InputError
from bench.optimizers.protocol import OnStep, Optimizer, Shuffler, Stop
from bench.optimizers.torch_optim import LBFGS, SGD, Adam, Momentum

__all__ = [
    "OPTIMIZERS",
    "OnStep",
    "Optimizer",
    "Shuffler",
    "Stop",
    "make_optimizer",
]

# A new optimizer is one file, or one class, and one entry here.
OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = MappingProxyType(
    {"lbfgs": LBFGS, "sgd": SGD, "momentum": Momentum, "adam": Adam}
)


def make_optimizer(spec: str) -> Optimizer:
    """The optimizer that a spec names, e.g. `adam:lr=0.01,batch_size=256`.

    Raises:
        InputError: unknown name or parameter, or a value that makes no sense.
    """
    name, given = specs.parse(spec, OPTIMIZERS, "optimizer")
    try:
        return OPTIMIZERS[name](**given)
    except ValueError as error:
        raise InputError(f"optimizer {spec!r}: {error}") from None
