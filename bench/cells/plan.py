"""From a suite to its cells, each with the key that says whether it has been run."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
from scipy.sparse import issparse

from bench import specs
from bench.cells.definitions import Suite
from bench.errors import InputError
from bench.measure.budget import Budget
from bench.measure.clock import clock_for
from bench.measure.environment import configuration, version
from bench.measure.refit import run_refits
from bench.optima.hessian_size import too_large_to_form
from bench.optimizers import OPTIMIZERS, Optimizer, RefitSolver, is_refit, make_optimizer
from bench.problems import Problem, load_problem
from bench.records import SCHEMA_VERSION, digest
from logreg_kernels import KERNELS
from logreg_kernels.registry import why_not_sparse
from logreg_kernels.validation import DTYPES, check_dtype


@dataclass(frozen=True)
class RunCell:
    """One run of an optimizer; of a solver that is fitted anew, `kernel` is its library."""

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
            source_digest(type(self.optimizer)),
        )

    @property
    def _loss(self) -> tuple[str | None, ...]:
        """What the loss depends on: the kernel's source, or the library and how it is sampled."""
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
        """Digest for one of the kernels; it was timed beside the others, so they are part."""
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


def expand(suite: Suite) -> tuple[list[KernelCell], list[RunCell]]:
    """All cells of a suite, in the order in which they are run.

    Optimizers that are compared run one after the other, seed by seed: a machine that slows
    down slows all of them. A kernel that can't run on some of the devices is left out there; one
    that can run on none has unavailable cells, with the reason, for one seed.

    Raises:
        InputError: an unknown name, a bad parameter or device, no seeds.
    """
    _check(suite)
    problems = [load_problem(p) if isinstance(p, str) else p for p in suite.problems]
    problems = list(_by_name("problem", [(p.name, p) for p in problems], _same_problem).values())
    optimizers = _by_name("optimizer", [_named(o) for o in suite.optimizers], operator.eq)
    places = list(dict.fromkeys(_places(suite)))
    runs = [
        RunCell(
            problem, kernel, name, optimizer, device, dtype, seed, repetition, suite.budget, reason
        )
        for repetition in range(suite.repetitions)
        for seed in range(suite.seeds)
        for problem in problems
        for dtype in dict.fromkeys(suite.dtypes)
        for group in _side_by_side(optimizers, _of(problem, places), problem, dtype, suite)
        for name, optimizer, kernel, device, reason in group
        if reason is None or (seed, repetition) == (0, 0)
    ]
    timings = []
    if suite.kernel_samples:
        for problem in problems:
            for dtype in dict.fromkeys(suite.dtypes):
                here = _of(problem, places)
                for device in dict.fromkeys(device for _, device, _ in here):
                    able = tuple(
                        k
                        for k, d, reason in here
                        if d == device and reason is None and dtype_refused(k, dtype) is None
                    )
                    if able:
                        timings.append(
                            KernelCell(problem, able, device, dtype, suite.kernel_samples)
                        )
    return timings, runs


def devices_here() -> tuple[str, ...]:
    """The CPU, and the CUDA device where there is one."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def why_not_timed(kernel: str, device: str) -> str | None:
    """None if the kernel can be timed on the device, else the reason in words."""
    reason = KERNELS[kernel].unavailable(device)
    if reason is None and getattr(KERNELS[kernel], "interpreted", False):
        return "runs in Triton's interpreter, whose times mean nothing: unset TRITON_INTERPRET"
    return reason


def dtype_refused(kernel: str, dtype: str) -> str | None:
    """None if the kernel computes in that dtype, else the reason in words."""
    dtypes: tuple[str, ...] = getattr(KERNELS[kernel], "dtypes", DTYPES)
    return None if dtype in dtypes else f"computes in {', '.join(dtypes)} only, not in {dtype}"


def why_skipped(kernel: str, device: str, dtype: str) -> str | None:
    """None if the kernel can be timed on the device in that dtype, else the reason in words."""
    return why_not_timed(kernel, device) or dtype_refused(kernel, dtype)


def check_kernel(kernel: str, device: str) -> None:
    """Raise InputError unless there is such a kernel and it can be timed on the device."""
    if kernel not in KERNELS:
        raise InputError(specs.unknown("kernel", kernel, KERNELS))
    reason = why_not_timed(kernel, device)
    if reason:
        raise InputError(f"kernel {kernel!r} can't be timed on {device}: {reason}")


def _kernel_code(name: str) -> tuple[str | None, ...]:
    """The kernel's source, and the version of its `library` where it has an optional one."""
    kernel = KERNELS[name]
    library = getattr(kernel, "library", None)
    return (source_digest(type(kernel)), *((version(library),) if library else ()))


@lru_cache(maxsize=64)
def source_digest(owner: type) -> str:
    """Digest of the source of a kernel or an optimizer, so that an edit is measured anew.

    It covers the owner's module, all modules of the same package that it imports, directly or not,
    and files whose names begin like one of them (`fused_cuda*.py`: some are imported late).
    """
    try:
        path = Path(inspect.getfile(owner))
        files = {
            file for found in _imported(path) for file in path.parent.glob(f"{found.stem}*.py")
        }
        return digest(*(file.read_text() for file in sorted(files)))
    except (OSError, TypeError, SyntaxError):
        return "no source"


def _imported(path: Path) -> set[Path]:
    """A module's file, and those of its folder that it imports, directly or not."""
    found, pending = set[Path](), [path]
    while pending:
        file = pending.pop()
        if file in found or not file.exists():
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                pending.append(path.parent / f"{node.module.rpartition('.')[2]}.py")
    return found


def _places(suite: Suite) -> list[tuple[str, str, str | None]]:
    """(kernel, device, None or why it can't run there)."""
    places = []
    for kernel in suite.kernels:
        devices = suite.devices or devices_here()
        reasons = [(kernel, device, why_not_timed(kernel, device)) for device in devices]
        able = [place for place in reasons if place[2] is None]
        places += able or reasons
    return places


def _of(
    problem: Problem, places: Sequence[tuple[str, str, str | None]]
) -> list[tuple[str, str, str | None]]:
    """The same places, with a reason also where the kernel can't take this problem's X."""
    return [
        (kernel, device, reason or why_not_sparse(kernel, problem.X, device))
        for kernel, device, reason in places
    ]


_T = TypeVar("_T")


def _by_name(
    what: str, named: list[tuple[str, _T]], same: Callable[[_T, _T], bool]
) -> dict[str, _T]:
    """By name, what is given twice once; two that differ can't have one name in a table."""
    found: dict[str, _T] = {}
    for name, thing in named:
        if name in found and not same(found[name], thing):
            raise InputError(f"two different {what}s are called {name!r}: give them other names")
        found.setdefault(name, thing)
    return found


def _same_problem(a: Problem, b: Problem) -> bool:
    return a.fingerprint == b.fingerprint


_Placed: TypeAlias = tuple[str, Optimizer | RefitSolver, str, str, str | None]


def _side_by_side(
    optimizers: Mapping[str, Optimizer | RefitSolver],
    places: Sequence[tuple[str, str, str | None]],
    problem: Problem,
    dtype: str,
    suite: Suite,
) -> Iterator[list[_Placed]]:
    """Groups of (name, optimizer, kernel, device, None or why not), run one after the other.

    A group for each kernel and device, and one for the solvers that bring a loss of their own.
    """
    for kernel, device, reason in places:
        yield [
            (
                name,
                optimizer,
                kernel,
                device,
                reason or dtype_refused(kernel, dtype) or _too_large(optimizer, problem),
            )
            for name, optimizer in optimizers.items()
            if not is_refit(optimizer)
        ]
    own: list[_Placed] = []
    for name, solver in optimizers.items():
        if is_refit(solver):
            reason = solver.unavailable(l2=problem.l2, n_classes=problem.n_classes, dtype=dtype)
            if issparse(problem.X) and not getattr(solver, "takes_csr", False):
                reason = reason or f"{solver.library} is given dense X only, and X is sparse"
            reason = reason or _too_large(solver, problem)
            if suite.devices and "cpu" not in suite.devices:
                reason = f"{solver.library} computes on the CPU only"
            own.append((name, solver, solver.library, "cpu", reason))
    yield own


def _too_large(optimizer: Optimizer | RefitSolver, problem: Problem) -> str | None:
    """None, or why its Hessian would not fit into memory."""
    return too_large_to_form(problem) if "hessian" in getattr(optimizer, "needs", ()) else None


def _check(suite: Suite) -> None:
    for problem in suite.problems:
        if not isinstance(problem, str | Problem):
            raise InputError(f"a problem is a spec or a Problem; got {problem!r}")
    for optimizer in suite.optimizers:
        if isinstance(optimizer, str) or hasattr(optimizer, "run"):
            continue
        lacking = [n for n in ("fit", "unavailable", "library") if not hasattr(optimizer, n)]
        if lacking:
            raise InputError(
                "an optimizer is a spec, or has a run method, or fit, unavailable and library; "
                f"got {optimizer!r}, without {lacking[0]}"
            )
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


def _named(optimizer: str | Optimizer | RefitSolver) -> tuple[str, Optimizer | RefitSolver]:
    if isinstance(optimizer, str):
        return optimizer.strip(), make_optimizer(optimizer)
    owner = type(optimizer)
    names = [name for name, factory in OPTIMIZERS.items() if factory is owner]
    given: dict[str, Any] = (
        dataclasses.asdict(optimizer) if dataclasses.is_dataclass(optimizer) else {}
    )
    return specs.spell(names[0] if names else owner.__name__, given, owner), optimizer
