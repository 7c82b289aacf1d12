"""Optimizers by name: each a frozen dataclass whose fields are its hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench import specs
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
        InputError: unknown name or parameter, or a value of the wrong type.
    """
    name, given = specs.parse(spec, OPTIMIZERS, "optimizer")
    return OPTIMIZERS[name](**given)
