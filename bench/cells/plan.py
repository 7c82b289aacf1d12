"""From a suite to its cells, in the order in which they are run."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from scipy.sparse import issparse

from bench import specs
from bench.cells.cell import KernelCell, RunCell
from bench.cells.definitions import Suite
from bench.errors import InputError
from bench.measure.clock import clock_for
from bench.optima.hessian_size import too_large_to_form
from bench.optimizers import OPTIMIZERS, Optimizer, RefitSolver, as_optimizer, make_optimizer
from bench.problems import Problem, load_problem
from logreg_kernels import KERNELS
from logreg_kernels.registry import why_not_sparse
from logreg_kernels.validation import check_dtype


@dataclass(frozen=True)
class Backend:
    """Where a loss is computed.

    Args:
        kernel: a kernel's name, or the library of a solver with a loss of its own.
        device: torch's name of it.
        unavailable: None, or why nothing can be run there.
    """

    kernel: str
    device: str
    unavailable: str | None


def expand(suite: Suite) -> tuple[list[KernelCell], list[RunCell]]:
    """All cells of a suite, in the order in which they are run.

    Optimizers that are compared run one after the other, seed by seed, so a machine that slows
    down slows all of them. A kernel that can't run on some of the devices is left out there. One
    that can't run on any has unavailable cells, with the reason, for one seed.

    Raises:
        InputError: an unknown name, a bad parameter or device, no seeds.
    """
    _check_suite(suite)
    problems = [load_problem(p) if isinstance(p, str) else p for p in suite.problems]
    problems = list(
        _by_name(
            "problem", [(p.name, p) for p in problems], lambda a, b: a.fingerprint == b.fingerprint
        ).values()
    )
    optimizers = _by_name("optimizer", [_named(o) for o in suite.optimizers], operator.eq)
    settings = [
        (problem, dtype, _backends(suite, problem, dtype))
        for problem in problems
        for dtype in dict.fromkeys(suite.dtypes)
    ]
    runs = [
        RunCell(
            problem=problem,
            kernel=backend.kernel,
            optimizer_name=name,
            optimizer=optimizer,
            device=backend.device,
            dtype=dtype,
            seed=seed,
            repetition=repetition,
            budget=suite.budget,
            unavailable=backend.unavailable,
        )
        for repetition in range(suite.repetitions)
        for seed in range(suite.seeds)
        for problem, dtype, backends in settings
        for name, optimizer, backend in _side_by_side(optimizers, backends, problem, dtype, suite)
        if backend.unavailable is None or (seed, repetition) == (0, 0)
    ]
    timings = [
        KernelCell(problem, kernels, device, dtype, suite.kernel_samples)
        for problem, dtype, backends in settings
        for device, kernels in _able(backends).items()
        if suite.kernel_samples
    ]
    return timings, runs


def devices_here() -> tuple[str, ...]:
    """The CPU, and the CUDA device where there is one."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def why_not_timed(kernel: str, device: str) -> str | None:
    """None if the kernel can be timed on the device, else the reason in words."""
    reason = KERNELS[kernel].unavailable(device)
    if reason is None and KERNELS[kernel].interpreted:
        return "runs in Triton's interpreter, whose times mean nothing: unset TRITON_INTERPRET"
    return reason


def dtype_refused(kernel: str, dtype: str) -> str | None:
    """None if the kernel computes in that dtype, else the reason in words."""
    dtypes = KERNELS[kernel].dtypes
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


def _check_suite(suite: Suite) -> None:
    """Raise InputError for what can't be run, before any data are loaded."""
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


def _backends(suite: Suite, problem: Problem, dtype: str) -> list[Backend]:
    """Where each kernel can run on the problem, or why it can't.

    A kernel that can run on some devices is left out on the others.
    """
    backends = []
    for kernel in dict.fromkeys(suite.kernels):
        reasons = {d: why_not_timed(kernel, d) for d in suite.devices or devices_here()}
        ready = [device for device, reason in reasons.items() if reason is None]
        for device in ready or reasons:
            reason = (
                reasons[device]
                or why_not_sparse(kernel, problem.X, device)
                or dtype_refused(kernel, dtype)
            )
            backends.append(Backend(kernel, device, reason))
    return backends


def _able(backends: Sequence[Backend]) -> dict[str, tuple[str, ...]]:
    """By device, the kernels that can run there."""
    able: dict[str, tuple[str, ...]] = {}
    for backend in backends:
        if backend.unavailable is None:
            able[backend.device] = (*able.get(backend.device, ()), backend.kernel)
    return able


def _side_by_side(
    optimizers: dict[str, Optimizer | RefitSolver],
    backends: Sequence[Backend],
    problem: Problem,
    dtype: str,
    suite: Suite,
) -> Iterator[tuple[str, Optimizer | RefitSolver, Backend]]:
    """Every optimizer, by name, on every backend; then the solvers with a loss of their own."""
    for backend in backends:
        for name, optimizer in optimizers.items():
            if isinstance(optimizer, Optimizer):
                reason = backend.unavailable or _too_large(optimizer, problem)
                yield name, optimizer, Backend(backend.kernel, backend.device, reason)
    for name, solver in optimizers.items():
        if isinstance(solver, RefitSolver):
            reason = _why_not_fitted(solver, problem, dtype, suite)
            yield name, solver, Backend(solver.library, "cpu", reason)


def _why_not_fitted(solver: RefitSolver, problem: Problem, dtype: str, suite: Suite) -> str | None:
    """None if the solver can minimise this problem here, else the reason in words."""
    if suite.devices and "cpu" not in suite.devices:
        return f"{solver.library} computes on the CPU only"
    reason = solver.unavailable(l2=problem.l2, n_classes=problem.n_classes, dtype=dtype)
    if reason is None and issparse(problem.X) and not solver.takes_csr:
        return f"{solver.library} is given dense X only, and X is sparse"
    return reason or _too_large(solver, problem)


def _too_large(optimizer: Optimizer | RefitSolver, problem: Problem) -> str | None:
    """None, or why its Hessian would not fit into memory."""
    return too_large_to_form(problem) if "hessian" in optimizer.needs else None


_T = TypeVar("_T")


def _by_name(
    what: str, named: list[tuple[str, _T]], same: Callable[[_T, _T], bool]
) -> dict[str, _T]:
    """The things by name, each once. Two that differ can't have one name in a table."""
    found: dict[str, _T] = {}
    for name, thing in named:
        if name in found and not same(found[name], thing):
            raise InputError(f"two different {what}s are called {name!r}: give them other names")
        found.setdefault(name, thing)
    return found


def _named(given: Any) -> tuple[str, Optimizer | RefitSolver]:
    """An optimizer and its name in tables: the spec, or one made of its class and fields."""
    if isinstance(given, str):
        return given.strip(), make_optimizer(given)
    owner = type(given)
    names = [name for name, factory in OPTIMIZERS.items() if factory is owner]
    fields = dataclasses.asdict(given) if dataclasses.is_dataclass(owner) else {}
    return specs.spell(names[0] if names else owner.__name__, fields, owner), as_optimizer(given)
