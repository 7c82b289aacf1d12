"""The cells of a suite, each with the key that says whether it has been run."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from pathlib import Path

from bench.cells.source_digest import source_digest
from bench.measure.budget import Budget
from bench.measure.environment import configuration, version
from bench.measure.refit import run_refits
from bench.optimizers import Optimizer, RefitSolver
from bench.problems import Problem
from bench.records import SCHEMA_VERSION, digest
from logreg_kernels import KERNELS


@dataclass(frozen=True)
class RunCell:
    """One run of an optimizer. For a solver with a loss of its own, `kernel` is its library."""

    problem: Problem
    kernel: str
    optimizer_name: str
    optimizer: Optimizer | RefitSolver
    device: str
    dtype: str
    seed: int
    repetition: int
    budget: Budget
    unavailable: str | None

    @property
    def key(self) -> str:
        """Digest of what the result depends on, the code of kernel and optimizer included."""
        return digest(
            "convergence",
            SCHEMA_VERSION,
            self.problem.fingerprint,
            self.problem.name,
            self.kernel,
            self.optimizer_name,
            self.device,
            self.dtype,
            self.seed,
            self.repetition,
            dataclasses.astuple(self.budget),
            self.unavailable,
            configuration(),
            self._loss,
            source_digest(self.optimizer.implementation),
        )

    @property
    def _loss(self) -> tuple[str | None, ...]:
        """The kernel's code; for a solver, its library's version and the code that samples it."""
        if self.kernel in KERNELS:
            return _kernel_code(self.kernel)
        return version(self.kernel), Path(inspect.getfile(run_refits)).read_text()

    def __str__(self) -> str:
        where = f"{self.kernel} {self.device} {self.dtype}"
        return f"{self.problem.name} · {self.optimizer_name} · {where} · seed {self.seed}"


@dataclass(frozen=True)
class KernelCell:
    """One side-by-side timing of all kernels that can run on a device."""

    problem: Problem
    kernels: tuple[str, ...]
    device: str
    dtype: str
    samples: int

    def key(self, kernel: str) -> str:
        """Digest for one of the kernels, and for the others that it is timed beside."""
        return digest(
            "kernel",
            SCHEMA_VERSION,
            self.problem.fingerprint,
            self.problem.name,
            kernel,
            self.kernels,
            self.device,
            self.dtype,
            self.samples,
            configuration(),
            [part for name in self.kernels for part in _kernel_code(name)],
        )

    def __str__(self) -> str:
        return f"{self.problem.name} · time per call of {', '.join(self.kernels)} · {self.device}"


def _kernel_code(name: str) -> tuple[str | None, ...]:
    """The kernel's source, and the version of its `library` where it has an optional one."""
    kernel = KERNELS[name]
    return (source_digest(type(kernel)), *((version(kernel.library),) if kernel.library else ()))
