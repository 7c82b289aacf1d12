"""The score of one run: how soon it came how close to the proved optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure.recorder import Trace
from bench.optima.optimum import Optimum
from bench.records import TARGETS

Values = NDArray[np.floating[Any]]

# A run that stops as converged further from the optimum than this relative gap has claimed
# what is not so: with the loosest stopping test in use (scikit-learn's default tol, 1e-4), runs
# end below it.
_FALSE_CLAIM = 1e-2


class RefutedOptimum(Exception):  # noqa: N818 - the name says it
    """A run went below what was proved to be the minimum: the proof, or the problem, is wrong."""


@dataclass(frozen=True)
class Hit:
    """The first snapshot at which a target was met; None is what the solver does not count."""

    elapsed_s: float
    passes: float | None
    oracle_calls: int | None


@dataclass(frozen=True)
class Score:
    """A pure function of a trace, its objective values and an optimum.

    Args:
        status: "converged", "budget", "diverged" or "failed".
        message: the error of a failed run, or what was wrong with its claim; else empty.
        gap: upper bound on f(w) - f* at the end, nats; None without a proved optimum or a
            finite f.
        relative_gap: the same in units of f(w0) - f*; None likewise.
        resolution: the relative gap below which neither the certificate nor float64 can tell
            one w from another; None without a proved optimum, or where w0 is one.
        hits: a Hit for each target that was met, None for each miss.
        gaps: upper bounds on f(w) - f* at each snapshot; NaN without a proved optimum.
        relative_gaps: the same in units of f(w0) - f*.
    """

    status: str
    message: str
    gap: float | None
    relative_gap: float | None
    resolution: float | None
    hits: dict[str, Hit | None]
    gaps: Values
    relative_gaps: Values


def score(
    trace: Trace, values: Values, optimum: Optimum, n_samples: int, value_error: float = 0.0
) -> Score:
    """Measure a trace against the optimum.

        gap(w)  = max(f(w) - f^, 0) + gap_bound + 2 value_error  >=  f(w) - f*
        r(w)    = gap(w) / (f(w0) - f^)

    with f^ the value found and gap_bound its proved distance from f*. A target t is met at the
    first snapshot with r(w) <= t; one that is never met stays None, and one below what can be told
    apart never is. Nothing here looks at another run.

    A run has diverged where it ends with a value that is not finite, or above that of its start.
    One that stops as converged at r > 1e-2 has failed: its claim is false. Where w0 is the optimum
    already, to what can be told apart, there is no r, and no target.

    Args:
        trace: the run, k snapshots.
        values: f at each snapshot, float64, shape (k,), by the reference.
        optimum: of the same problem.
        n_samples: rows of the training data, the unit of a pass.
        value_error: bound on the rounding error of `values` near the optimum.
    Raises:
        RefutedOptimum: a value is below f^ by more than gap_bound and rounding explain.
    """
    gaps = relative = np.full(len(values), math.nan)
    resolution = None
    if optimum.exists:
        noise = optimum.gap_bound + 2 * value_error
        allowed = noise + 1e-15 * abs(optimum.f)  # f^ is rounded, too
        lowest = float(np.min(values, where=np.isfinite(values), initial=math.inf))
        if lowest < optimum.f - allowed:
            raise RefutedOptimum(
                f"f* = {optimum.f!r} is refuted: this run reached {lowest!r}, lower by "
                f"{optimum.f - lowest:.1e}, where {allowed:.1e} was proved; nothing is scored"
            )
        gaps = np.maximum(values - optimum.f, 0.0) + noise
        unit = float(values[0] - optimum.f)
        if unit > allowed:
            relative, resolution = gaps / unit, noise / unit
    status, message = _status(trace, values, relative[-1], value_error)
    return Score(
        status=status,
        message=message,
        gap=_finite(gaps[-1]),
        relative_gap=_finite(relative[-1]),
        resolution=resolution,
        hits={name: _first_hit(trace, relative, t, n_samples) for name, t in TARGETS.items()},
        gaps=gaps,
        relative_gaps=relative,
    )


def _status(
    trace: Trace, values: Values, relative_gap: float, value_error: float
) -> tuple[str, str]:
    if trace.stop == "failed":
        return "failed", trace.message
    if not math.isfinite(values[-1]) or values[-1] > values[0] + 2 * value_error:
        return "diverged", trace.message
    if trace.stop == "converged" and relative_gap > _FALSE_CLAIM:
        return "failed", (
            f"stopped as converged at a relative gap of {relative_gap:.1e}: it minimises something "
            "else, or its stopping test is too loose"
        )
    return trace.stop, trace.message


def _first_hit(trace: Trace, relative: Values, target: float, n_samples: int) -> Hit | None:
    met = np.flatnonzero(relative <= target)  # NaN is never <= a target
    if not len(met):
        return None
    first = met[0]
    calls = _finite(trace.oracle_calls[first])
    return Hit(
        elapsed_s=float(trace.elapsed_s[first]),
        passes=_finite(trace.rows_read[first] / n_samples),
        oracle_calls=None if calls is None else int(calls),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
