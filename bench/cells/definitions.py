"""The named suites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bench import specs
from bench.errors import InputError
from bench.measure.budget import Budget

# The report reads these definitions, and must start fast, without torch.
if TYPE_CHECKING:
    from bench.optimizers import SupportsFit, SupportsRun
    from bench.problems import Problem


@dataclass(frozen=True)
class Suite:
    """Every combination of problems, optimizers, kernels and so on is a cell.

    Args:
        name: in records and reports.
        problems: specs, or problems of the user's own.
        optimizers: specs, or optimizers of the user's own.
        budget: of each run.
        kernels: names in `logreg_kernels.KERNELS`.
        devices: torch's names. If empty: the CPU, and the CUDA device if there is one.
        dtypes: of X, w and the gradient in the run. Scores are always float64.
        seeds: number of seeds 0, 1, ... A seed orders mini-batches, or starts a solver's generator.
        repetitions: runs of each seed, which differ by the machine's noise alone.
        kernel_samples: timing samples of each kernel alone; 0 for none.
    """

    name: str
    problems: tuple[str | Problem, ...]
    optimizers: tuple[str | SupportsRun | SupportsFit, ...]
    budget: Budget
    kernels: tuple[str, ...] = ("numpy", "torch-autograd", "fused-cpu", "fused-cuda")
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float64",)
    seeds: int = 3
    repetitions: int = 1
    kernel_samples: int = 20


_PEERS = (
    "lbfgs",
    "lbfgs:line_search=strong_wolfe",
    "newton",
    "scipy:method=l-bfgs-b",
    "scipy:method=newton-cg",
    "scipy:method=trust-ncg",
    "sklearn:solver=lbfgs",
    "sklearn:solver=newton-cg",
    "sklearn:solver=newton-cholesky",
    "sklearn:solver=liblinear",
    "sklearn:solver=sag",
    "sklearn:solver=saga",
    "glum:solver=lbfgs",
    "glum:solver=irls",
    "snapml",
    "sgd:lr=1",
    "momentum:lr=0.1",
    "adam:lr=0.1",
    "adamw:lr=0.1",
    "nadam:lr=0.1",
    "radam:lr=0.1",
    "adamax:lr=0.1",
    "rmsprop:lr=0.01",
    "adagrad:lr=1",
    "adadelta:lr=1",
    "adafactor:lr=0.1",
    "rprop:lr=0.01",
    "asgd:lr=1",
)

SUITES: Mapping[str, Suite] = MappingProxyType(
    {
        suite.name: suite
        for suite in (
            Suite(
                "quick",
                problems=("iris", "breast_cancer", "digits", "synthetic:n=5000,d=50,cond=1000"),
                optimizers=(
                    "lbfgs",
                    "lbfgs:line_search=strong_wolfe",
                    "sgd:lr=0.1,batch_size=32",
                    "momentum:lr=0.1",
                    "adam:lr=0.1",
                    "adam:lr=0.01,batch_size=32",
                ),
                budget=Budget(passes=500, seconds=0.25),
                repetitions=2,
            ),
            Suite(
                "peers",
                problems=(
                    "iris",
                    "breast_cancer",
                    "wine",
                    "digits10",
                    "synthetic:n=5000,d=50,cond=1000",
                    "synthetic:n=20000,d=100",
                ),
                optimizers=_PEERS,
                budget=Budget(passes=1_000, seconds=1.0),
                kernels=("numpy",),
                repetitions=2,
                kernel_samples=0,
            ),
            Suite(
                "full",
                problems=(
                    "iris",
                    "breast_cancer",
                    "digits",
                    "synthetic",
                    "synthetic:cond=1e4",
                    "synthetic:n=200000,d=54,cond=1e4",
                ),
                optimizers=(
                    "lbfgs",
                    "lbfgs:line_search=strong_wolfe",
                    "sgd:lr=0.1",
                    "sgd:lr=1",
                    "sgd:lr=0.1,batch_size=32",
                    "sgd:lr=0.01,batch_size=32",
                    "momentum:lr=0.1",
                    "momentum:lr=1",
                    "momentum:lr=0.01,batch_size=32",
                    "adam:lr=0.1",
                    "adam:lr=0.01",
                    "adam:lr=0.01,batch_size=32",
                    "adam:lr=0.001,batch_size=256",
                ),
                budget=Budget(passes=5_000, seconds=10),
                dtypes=("float64", "float32"),
                seeds=5,
                kernel_samples=50,
            ),
        )
    }
)


def chosen_suite(name: str | None, replaced: Mapping[str, Any]) -> Suite:
    """The named suite (default: quick), called "custom" if any of its fields is replaced.

    Raises:
        InputError: there is no such suite.
    """
    name = "quick" if name is None else name
    if name not in SUITES:
        raise InputError(specs.unknown("suite", name, [*SUITES, "notebook"]))
    return replace(SUITES[name], name="custom", **replaced) if replaced else SUITES[name]
