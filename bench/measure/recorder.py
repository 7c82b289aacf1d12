"""What is done on the clock besides the optimizer: count, copy w, take a time stamp."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Re-exported, as `compare` also times commits in which Budget is defined here.
from bench.measure.budget import Budget as Budget
from bench.measure.clock import Clock
from logreg_kernels import Objective

# Every step up to this one is kept, then steps 1/16 apart. That makes 130 snapshots for 10,000
# steps. A time to target is too long by at most 6%. Steps are chosen by number, not by time, so two
# runs of one cell keep the same ones.
_EVERY_STEP_UNTIL = 32
_SPACING = 1 / 16


@dataclass(frozen=True)
class Trace:
    """The snapshots of one run, the first at w0, the last at the end.

    Args:
        step: steps of the optimizer, shape (k,).
        elapsed_s: seconds since the start of the run, shape (k,); for a solver that is fitted
            anew, seconds of that fit alone.
        oracle_calls: calls of the objective up to here, shape (k,); NaN where the solver does not
            count them.
        rows_read: rows that those calls read, shape (k,); NaN likewise.
        w: the iterates, float64, shape (k, d) or (k, c, d).
        stop: "converged", "budget" or "failed".
        message: the error of a failed run, else empty.
        run_s: seconds of the whole run, the final synchronisation included; for a solver that is
            fitted anew, of its longest fit.
        spent_s: seconds on the clock: `run_s`, or the sum over all fits.
    """

    step: NDArray[np.int64]
    elapsed_s: NDArray[np.float64]
    oracle_calls: NDArray[np.float64]
    rows_read: NDArray[np.float64]
    w: NDArray[np.float64]
    stop: str
    message: str
    run_s: float
    spent_s: float


class BudgetSpent(Exception):  # noqa: N818 - the end of a run, not an error
    """Raised by the recorder inside `on_step`. It ends the run in any library."""


class CountingObjective:
    """An objective that counts its calls and the rows that they read.

    A value with its gradient, a Hessian-vector product and a Hessian each count as one call that
    reads each row once. Their arithmetic differs, a Hessian's by a factor of d.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.n_samples = objective.n_samples
        self.oracle_calls = 0
        self.rows_read = 0

    def value_and_grad(self, w: Any, rows: Any = None) -> tuple[Any, Any]:
        """The objective's own, counted as one oracle call."""
        self.oracle_calls += 1
        self.rows_read += self.n_samples if rows is None else len(rows)
        return self._objective.value_and_grad(w, rows)

    def hvp(self, w: Any, v: Any) -> Any:
        """The objective's own, counted as one call over all rows."""
        self._count_all_rows()
        return self._objective.hvp(w, v)

    def hessian(self, w: Any) -> Any:
        """The objective's own, counted as one call over all rows."""
        self._count_all_rows()
        return self._objective.hessian(w)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def _count_all_rows(self) -> None:
        self.oracle_calls += 1
        self.rows_read += self.n_samples


class Recorder:
    """Keeps snapshots of one run, and ends it when its budget is spent."""

    def __init__(self, objective: CountingObjective, clock: Clock, budget: Budget) -> None:
        self._objective = objective
        self._clock = clock
        self._max_rows = budget.passes * objective.n_samples
        self._deadline_s = budget.seconds
        self._step = 0
        self._next = 1
        self._snapshots: list[tuple[int, Any, int, int, Any]] = []
        self._last_w: Any = None

    def start(self, w0: Any) -> None:
        """The clock runs from here."""
        self._last_w = w0
        self._deadline_s += time.perf_counter()
        self._snapshot()

    def on_step(self, w: Any) -> None:
        """To be called with the current w after every step.

        Raises:
            BudgetSpent: the run is over.
        """
        self._step += 1
        self._last_w = w
        if self._step >= self._next:
            self._snapshot()
            if time.perf_counter() > self._deadline_s:
                raise BudgetSpent
        if self._objective.rows_read >= self._max_rows:
            raise BudgetSpent

    def finish(self, stop: str, message: str = "") -> Trace:
        """Close the run and make its trace; copies leave the device here, off the clock."""
        if self._snapshots[-1][0] != self._step:
            self._snapshot()
        stamps = [stamp for _, stamp, _, _, _ in self._snapshots]
        end = self._clock.stamp()
        self._clock.finish()
        *elapsed, run_s = self._clock.seconds([*stamps, end])
        step, _, calls, rows, w = zip(*self._snapshots, strict=True)
        return Trace(
            step=np.array(step),
            elapsed_s=np.array(elapsed),
            oracle_calls=np.array(calls, dtype=np.float64),
            rows_read=np.array(rows, dtype=np.float64),
            w=np.array([to_float64(iterate) for iterate in w]),
            stop=stop,
            message=message,
            run_s=run_s,
            spent_s=run_s,
        )

    def _snapshot(self) -> None:
        self._snapshots.append(
            (
                self._step,
                self._clock.stamp(),
                self._objective.oracle_calls,
                self._objective.rows_read,
                _copy(self._last_w),
            )
        )
        spacing = 1 if self._step < _EVERY_STEP_UNTIL else int(self._step * _SPACING)
        self._next = self._step + spacing


def _copy(w: Any) -> Any:
    """A copy of `w` on its device, without waiting for the device."""
    if not hasattr(w, "detach"):
        return w.copy()
    # On a CPU NumPy's copy takes half the time of torch's between two steps.
    return w.detach().numpy().copy() if w.device.type == "cpu" else w.detach().clone()


def to_float64(w: Any) -> NDArray[np.float64]:
    """Any kernel's array as a float64 NumPy array on the host."""
    return np.asarray(w.cpu() if hasattr(w, "cpu") else w, dtype=np.float64)
