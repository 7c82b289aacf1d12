"""What a suite may ask for."""

from __future__ import annotations

import torch

from bench import specs
from bench.cells.definitions import Suite
from bench.errors import InputError
from bench.measure.clock import clock_for
from bench.optimizers import as_optimizer
from bench.problems import Problem
from logreg_kernels import KERNELS
from logreg_kernels.validation import check_dtype


def check_suite(suite: Suite) -> None:
    """Raise InputError for what no cell can be made of, before any data are loaded."""
    for problem in suite.problems:
        if not isinstance(problem, str | Problem):
            raise InputError(f"a problem is a spec or a Problem; got {problem!r}")
    for optimizer in suite.optimizers:
        if not isinstance(optimizer, str):
            as_optimizer(optimizer)
    for kernel in suite.kernels:
        if kernel not in KERNELS:
            raise InputError(specs.unknown("kernel", kernel, KERNELS))
    for device in suite.devices:
        try:
            parsed = str(torch.device(device))
            clock_for(parsed)
            if parsed.startswith("cpu:"):
                raise RuntimeError  # torch takes it for "cpu"
        except (RuntimeError, TypeError):
            raise InputError(f"torch knows no device {device!r}: use cpu, cuda, cuda:1") from None
        except ValueError as error:
            raise InputError(str(error)) from None
    for dtype in suite.dtypes:
        try:
            check_dtype(dtype)
        except ValueError as error:
            raise InputError(str(error)) from None
    for what, count in (("seeds", suite.seeds), ("repetitions", suite.repetitions)):
        if not isinstance(count, int):
            raise InputError(f"{what} must be an integer; got {count!r}")
        if count < 1:
            raise InputError(f"{what} must be at least 1; got {count}")
    if not (suite.budget.passes > 0 and suite.budget.seconds > 0):
        raise InputError(f"a budget must be above 0; got {suite.budget}")
