"""How far each snapshot of a run is from the optimum: gaps, targets met, and the status."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure.recorder import Trace
from bench.optima.optimum import Optimum
from bench.records import TARGETS
from bench.records.score import Hit

Values = NDArray[np.floating[Any]]

# A run that stops as converged at a larger relative gap has not converged. With the loosest
# stopping test in use (scikit-learn's default tol, 1e-4), runs end below it.
_FALSE_CLAIM = 1e-2


class RefutedOptimum(Exception):  # noqa: N818 - the name says it
    """A run went below the proved minimum, so the proof or the problem is wrong."""


@dataclass(frozen=True)
class Gaps:
    """Distances from the optimum, one for each snapshot.

    Args:
        absolute: upper bounds on f(w) - f*, nats, shape (k,); NaN without a proved optimum.
        relative: the same in units of f(w0) - f*, shape (k,); NaN likewise, or where w0 is an
            optimum.
        resolution: the relative gap below which neither the certificate nor float64 can tell
            one w from another; None where `relative` is NaN.
    """

    absolute: Values
    relative: Values
    resolution: float | None


def gaps(values: Values, optimum: Optimum, value_error: float = 0.0) -> Gaps:
    """Measure objective values against the optimum.

        gap(w)  = max(f(w) - f^, 0) + gap_bound + 2 value_error  >=  f(w) - f*
        r(w)    = gap(w) / (f(w0) - f^)

    with f^ the value of the optimum and gap_bound its proved distance from f*. There is no r where
    w0 can't be told from the optimum.

    Args:
        values: f at each snapshot, float64, shape (k,), the first at w0.
        optimum: of the same problem.
        value_error: bound on the rounding error of `values` near the optimum.
    Raises:
        RefutedOptimum: a value is below f^ by more than gap_bound and rounding explain.
    """
    unknown = np.full(len(values), math.nan)
    if not optimum.exists:
        return Gaps(unknown, unknown, None)
    noise = optimum.gap_bound + 2 * value_error
    allowed = noise + 1e-15 * abs(optimum.f)  # f^ is rounded, too
    lowest = float(np.min(values, where=np.isfinite(values), initial=math.inf))
    if lowest < optimum.f - allowed:
        raise RefutedOptimum(
            f"f* = {optimum.f!r} is refuted: this run reached {lowest!r}, lower by "
            f"{optimum.f - lowest:.1e}, where {allowed:.1e} was proved; nothing is scored"
        )
    absolute = np.maximum(values - optimum.f, 0.0) + noise
    unit = float(values[0] - optimum.f)
    if unit > allowed:
        return Gaps(absolute, absolute / unit, noise / unit)
    return Gaps(absolute, unknown, None)


def first_hits(trace: Trace, relative: Values, n_samples: int) -> dict[str, Hit | None]:
    """For each target t the first snapshot with r(w) <= t; None where there is none.

    A target below `Gaps.resolution` is never met. Hits do not depend on other runs.

    Args:
        trace: the run, k snapshots.
        relative: r at each snapshot, shape (k,).
        n_samples: rows of the training data, the unit of a pass.
    """
    hits: dict[str, Hit | None] = dict.fromkeys(TARGETS)
    for name, target in TARGETS.items():
        met = np.flatnonzero(relative <= target)  # NaN is never <= a target
        if len(met):
            first = met[0]
            calls = finite(trace.oracle_calls[first])
            hits[name] = Hit(
                elapsed_s=float(trace.elapsed_s[first]),
                passes=finite(trace.rows_read[first] / n_samples),
                oracle_calls=None if calls is None else int(calls),
            )
    return hits


def status_of(
    trace: Trace, values: Values, relative: Values, value_error: float = 0.0
) -> tuple[str, str]:
    """A run's status, and a message that says what went wrong; empty if nothing did.

    A run has diverged if its last value is not finite, or above its first. A run that stops as
    converged at r > 1e-2 has failed, as it has not converged.
    """
    if trace.stop == "failed":
        return "failed", trace.message
    if not math.isfinite(values[-1]) or values[-1] > values[0] + 2 * value_error:
        return "diverged", trace.message
    if trace.stop == "converged" and relative[-1] > _FALSE_CLAIM:
        return "failed", (
            f"stopped as converged at a relative gap of {relative[-1]:.1e}: it minimises something "
            "else, or its stopping test is too loose"
        )
    return trace.stop, trace.message


def finite(value: float) -> float | None:
    """The number, or None for one that is not finite."""
    return float(value) if math.isfinite(value) else None
