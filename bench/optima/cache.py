"""Optima on disk, by the fingerprint of their data. Each is proved again when it is read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from bench.files.whole import write_whole
from bench.optima.optimum import Optimum, contradiction, no_optimum, prove, solve
from bench.optima.separability import prove_separable
from bench.problems import Problem


def load_or_solve(problem: Problem, folder: Path | None) -> Optimum:
    """The optimum of a problem, from `folder` if it is there and its proof still holds.

    Args:
        folder: where optima are kept, one file a fingerprint; None keeps none.
    """
    if folder is None:
        return solve(problem)
    path = folder / f"{problem.fingerprint}.json"
    cached = _read(path, problem)
    if cached is not None:
        return cached
    optimum = solve(problem)
    if optimum.exists is None:
        return optimum  # it has no proof that a reader could check
    content = {
        "w": optimum.w.tolist(),
        "f": optimum.f if math.isfinite(optimum.f) else None,
        "gap_bound": optimum.gap_bound if math.isfinite(optimum.gap_bound) else None,
        "exists": optimum.exists,
        "reason": optimum.reason,
    }
    write_whole(path, f"{json.dumps(content)}\n".encode())
    return optimum


def _read(path: Path, problem: Problem) -> Optimum | None:
    """A cached optimum, proved again; None where it can't be read or its proof does not hold."""
    try:
        content = json.loads(path.read_text())
        gap_bound, f = content["gap_bound"], content["f"]
        cached = Optimum(
            w=np.array(content["w"], dtype=np.float64),
            f=math.nan if f is None else float(f),
            gap_bound=math.inf if gap_bound is None else float(gap_bound),
            exists=content["exists"],
            reason=str(content["reason"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if cached.exists is None or contradiction(problem, cached) is not None:
        return None
    separation = None if cached.exists else prove_separable(problem, cached.w)
    return no_optimum(separation) if separation else prove(problem, cached.w)
