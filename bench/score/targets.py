"""The score of one run: how soon it came how close to the proved optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure.recorder import Trace
from bench.records import TARGETS
from bench.score.optimum import Optimum

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Hit:
    """The first snapshot at which a target was met."""

    elapsed_s: float
    passes: float
    oracle_calls: int


@dataclass(frozen=True)
class Score:
    """A pure function of a trace, its objective values and an optimum.

    Args:
        status: "converged", "budget", "diverged" or "failed".
        gap: upper bound on f(w) - f* at the end, nats; None without a proved optimum or a
            finite f.
        relative_gap: the same in units of f(w0) - f*; None likewise.
        hits: a Hit for each target that was met, None for each miss.
        gaps: upper bounds on f(w) - f* at each snapshot; NaN without a proved optimum.
    """

    status: str
    gap: float | None
    relative_gap: float | None
    hits: dict[str, Hit | None]
    gaps: Values


def score(trace: Trace, values: Values, optimum: Optimum, n_samples: int) -> Score:
    """Measure a trace against the optimum.

        gap(w)  = max(f(w) - f^, 0) + gap_bound  >=  f(w) - f*
        r(w)    = gap(w) / (f(w0) - f^)

    with f^ the value found and gap_bound its proved distance from f*. A target t is met at the
    first snapshot with r(w) <= t; one that is never met stays None.

    A run has diverged where it ends with a value that is not finite, or above that of its start.

    Args:
        trace: the run, k snapshots.
        values: f at each snapshot, float64, shape (k,), by the reference.
        optimum: of the same problem.
        n_samples: rows of the training data, the unit of a pass.
    """
    gaps = np.full(len(values), math.nan)
    relative = gaps
    if optimum.exists:
        gaps = np.maximum(values - optimum.f, 0.0) + optimum.gap_bound
        relative = gaps / max(values[0] - optimum.f, np.finfo(np.float64).tiny)
    return Score(
        status=_status(trace, values),
        gap=_finite(gaps[-1]),
        relative_gap=_finite(relative[-1]),
        hits={name: _first_hit(trace, relative, t, n_samples) for name, t in TARGETS.items()},
        gaps=gaps,
    )


def _status(trace: Trace, values: Values) -> str:
    if trace.stop == "failed":
        return "failed"
    if not math.isfinite(values[-1]) or values[-1] > values[0]:
        return "diverged"
    return trace.stop


def _first_hit(trace: Trace, relative: Values, target: float, n_samples: int) -> Hit | None:
    met = np.flatnonzero(relative <= target)  # NaN is never <= a target
    if not len(met):
        return None
    first = met[0]
    return Hit(
        elapsed_s=float(trace.elapsed_s[first]),
        passes=float(trace.rows_read[first]) / n_samples,
        oracle_calls=int(trace.oracle_calls[first]),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
