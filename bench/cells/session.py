"""Run, score and record cells in one process; what they share is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells.cell import KernelCell, RunCell
from bench.measure.cell import Bound, bind_and_verify, one_line, run_optimizer, warm_up
from bench.measure.environment import environment
from bench.measure.kernel_time import time_kernels
from bench.measure.recorder import Trace
from bench.measure.refit import run_refits
from bench.measure.verify import KernelMismatch
from bench.optima.cache import load_or_solve
from bench.optima.optimum import Optimum
from bench.optimizers import RefitSolver
from bench.problems import Problem
from bench.records import Record, Score
from bench.score.gaps import RefutedOptimum
from bench.score.score import score


class Session:
    """Runs cells, and keeps what they share: optima, and kernels bound to data."""

    def __init__(self, suite: str, folder: Path | None) -> None:
        self._suite = suite
        self._optima_folder = folder / "optima" if folder else None
        self._optima: dict[str, Optimum] = {}
        self._bound: dict[tuple[str, ...], Bound] = {}
        self._warm: set[tuple[str, ...]] = set()

    def optimum(self, problem: Problem) -> Optimum:
        """The problem's optimum, computed once."""
        if problem.fingerprint not in self._optima:
            self._optima[problem.fingerprint] = load_or_solve(problem, self._optima_folder)
        return self._optima[problem.fingerprint]

    def bound(self, problem: Problem, kernel: str, device: str, dtype: str) -> Bound:
        """The kernel bound to the problem, verified once.

        Raises:
            ValueError, KernelMismatch: see `bind_and_verify`.
        """
        bound_to = (problem.fingerprint, kernel, device, dtype)
        if bound_to not in self._bound:
            self._bound[bound_to] = bind_and_verify(problem, kernel, device, dtype)
        return self._bound[bound_to]

    def run(self, cell: RunCell) -> Record:
        """Run one cell. An error in it becomes its record."""
        if cell.unavailable is not None:
            return self._run_record(cell, "unavailable", cell.unavailable)
        if isinstance(cell.optimizer, RefitSolver):
            trace = run_refits(cell.problem, cell.optimizer, cell.dtype, cell.seed, cell.budget)
            return self.scored(cell, None, trace)
        try:
            bound = self.bound(cell.problem, cell.kernel, cell.device, cell.dtype)
        except (KernelMismatch, ValueError, RuntimeError, MemoryError) as error:
            return self._run_record(cell, "failed", one_line(error))
        lacking = [n for n in cell.optimizer.needs if n not in bound.objective.offers]
        if lacking:
            reason = f"kernel {cell.kernel} has no {lacking[0]}, which {cell.optimizer_name} needs"
            return self._run_record(cell, "unavailable", reason)
        bound_to = (cell.problem.fingerprint, cell.kernel, cell.device, cell.dtype)
        if (*bound_to, cell.optimizer_name) not in self._warm:
            warm_up(bound.objective, cell.optimizer)
            self._warm.add((*bound_to, cell.optimizer_name))
        rng = np.random.default_rng(cell.seed)
        trace = run_optimizer(bound.objective, cell.optimizer, rng, cell.budget)
        return self.scored(cell, bound, trace)

    def scored(self, cell: RunCell, bound: Bound | None, trace: Trace) -> Record:
        """The record of a run.

        Args:
            bound: None for a solver with a loss of its own.
        """
        try:
            optimum = self.optimum(cell.problem)
            setup = bound.setup if bound else None
            result = score(cell.problem, trace, optimum, cell.budget, setup=setup)
        except RefutedOptimum as error:
            return self._run_record(cell, "failed", str(error))
        return self._run_record(cell, result.status, result.message, result)

    def time_kernels(self, cell: KernelCell) -> list[Record]:
        """Time all kernels of the cell in turns, except those that don't match the reference."""
        bound: dict[str, Bound] = {}
        errors: dict[str, str] = {}
        for kernel in cell.kernels:
            try:
                bound[kernel] = self.bound(cell.problem, kernel, cell.device, cell.dtype)
            except (KernelMismatch, ValueError, RuntimeError, MemoryError) as error:
                errors[kernel] = one_line(error)
        times = time_kernels({k: b.objective for k, b in bound.items()}, cell.samples)
        return self.kernel_records(cell, times, errors)

    def kernel_records(
        self,
        cell: KernelCell,
        times: Mapping[str, list[float]],
        errors: Mapping[str, str] | None = None,
    ) -> list[Record]:
        """A record for each kernel of a cell: its samples, or why there are none."""
        errors = errors or {}
        records = []
        for kernel in cell.kernels:
            numbers: dict[str, Any] = {}
            if kernel not in errors:
                bound = self.bound(cell.problem, kernel, cell.device, cell.dtype)
                numbers = vars(bound.setup) | {"timed_beside": ", ".join(cell.kernels)}
            record = self._record(
                cell,
                kind="kernel",
                key=cell.key(kernel),
                kernel=kernel,
                optimizer="",
                seed=0,
                repetition=0,
                sampling="",
                status="failed" if kernel in errors else "ok",
                message=errors.get(kernel, ""),
                score=numbers,
                samples={"seconds_per_call": times.get(kernel, [])},
            )
            records.append(record)
        return records

    def _run_record(
        self, cell: RunCell, status: str, message: str, result: Score | None = None
    ) -> Record:
        sampling = "refits" if isinstance(cell.optimizer, RefitSolver) else "snapshots"
        budget = {"budget_passes": cell.budget.passes, "budget_s": cell.budget.seconds}
        return self._record(
            cell,
            kind="convergence",
            key=cell.key,
            kernel=cell.kernel,
            optimizer=cell.optimizer_name,
            seed=cell.seed,
            repetition=cell.repetition,
            sampling=sampling if result else "",
            status=status,
            message=message,
            score=result.columns() if result else budget,
            samples=result.curve.samples() if result else {},
        )

    def _record(self, cell: KernelCell | RunCell, **fields: Any) -> Record:
        """A record with what all records of this process have in common."""
        return Record(
            problem=cell.problem.name,
            device=cell.device,
            dtype=cell.dtype,
            problem_facts=self._facts(cell.problem),
            environment=environment(),
            suite=self._suite,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            **fields,
        )

    def _facts(self, problem: Problem) -> dict[str, Any]:
        optimum = self.optimum(problem)
        return {
            "n_samples": problem.n_samples,
            "n_features": problem.n_features,
            "n_classes": problem.n_classes,
            "l2": problem.l2,
            "fingerprint": problem.fingerprint,
            "f_star": optimum.f if optimum.exists else None,
            "gap_bound": optimum.gap_bound if optimum.exists else None,
            "exists": optimum.exists,
            "reason": optimum.reason,
        }
