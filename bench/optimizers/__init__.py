"""Optimizers by name: each a frozen dataclass whose fields are its hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench import specs
from bench.errors import InputError
from bench.optimizers.contract import (
    Fit,
    OnStep,
    Optimizer,
    RefitSolver,
    Shuffler,
    Stop,
    SupportsFit,
    SupportsRun,
    as_optimizer,
)
from bench.optimizers.glum_refit import GlumRefit
from bench.optimizers.newton import Newton
from bench.optimizers.scipy_minimize import ScipyMinimize
from bench.optimizers.sklearn_refit import SklearnRefit
from bench.optimizers.snapml_refit import SnapMLRefit
from bench.optimizers.torch_adam import Adam, Adamax, AdamW, NAdam, RAdam
from bench.optimizers.torch_adaptive import Adadelta, Adafactor, Adagrad, RMSprop, Rprop
from bench.optimizers.torch_first_order import ASGD, SGD, Momentum
from bench.optimizers.torch_lbfgs import LBFGS

__all__ = [
    "OPTIMIZERS",
    "Fit",
    "OnStep",
    "Optimizer",
    "RefitSolver",
    "Shuffler",
    "Stop",
    "SupportsFit",
    "SupportsRun",
    "as_optimizer",
    "make_optimizer",
    "make_reporting_optimizer",
]

# A new optimizer is one file, or one class, and one entry here.
OPTIMIZERS: Mapping[str, Callable[..., Optimizer | RefitSolver]] = {
    "lbfgs": LBFGS,
    "sgd": SGD,
    "momentum": Momentum,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rprop": Rprop,
    "asgd": ASGD,
    "adafactor": Adafactor,
    "newton": Newton,
    "scipy": ScipyMinimize,
    "sklearn": SklearnRefit,
    "glum": GlumRefit,
    "snapml": SnapMLRefit,
}


def make_optimizer(spec: str) -> Optimizer | RefitSolver:
    """The optimizer that a spec names, e.g. `adam:lr=0.01,batch_size=256`.

    Raises:
        InputError: unknown name or parameter, or a value that makes no sense.
    """
    name, given = specs.parse(spec, OPTIMIZERS, "optimizer")
    try:
        return OPTIMIZERS[name](**given)
    except ValueError as error:
        raise InputError(f"optimizer {spec!r}: {error}") from None


def make_reporting_optimizer(spec: str) -> Optimizer:
    """As `make_optimizer`, for an optimizer that reports on the way.

    Raises:
        InputError: as `make_optimizer`, and for a solver that is fitted anew.
    """
    optimizer = make_optimizer(spec)
    if isinstance(optimizer, RefitSolver):
        raise InputError(f"optimizer {spec!r} can't report on the way, which is needed here")
    return optimizer
