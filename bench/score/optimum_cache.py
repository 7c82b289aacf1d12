"""Optima on disk, by the fingerprint of the data: proved again whenever they are read."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np

from bench.problems import Problem
from bench.score.optimum import Optimum, certify, prove_separable, solve

# Two evaluations of the same sum may differ by a few roundings, a wrong optimum differs by more.
_AGREEMENT = 1e-13


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
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    content = {
        "w": optimum.w.tolist(),
        "f": optimum.f,
        "gap_bound": optimum.gap_bound if math.isfinite(optimum.gap_bound) else None,
        "exists": optimum.exists,
        "reason": optimum.reason,
    }
    scratch.write_text(json.dumps(content) + "\n")
    scratch.replace(path)
    return optimum


def _read(path: Path, problem: Problem) -> Optimum | None:
    """A cached optimum that passes its own proof again; None makes it be computed anew."""
    try:
        content = json.loads(path.read_text())
        w = np.array(content["w"], dtype=np.float64)
        f, exists, reason = float(content["f"]), content["exists"], str(content["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if w.shape != (problem.n_features,) or not np.isfinite(w).all():
        return None
    if exists is None:
        return Optimum(w=w, f=f, gap_bound=math.inf, exists=None, reason=reason)
    if exists is False:
        return prove_separable(problem, w)
    proved = certify(problem, w)
    agrees = abs(proved.f - f) <= _AGREEMENT * max(abs(f), 1e-300)
    tight = proved.gap_bound <= 1e-12 * max(proved.f, 1e-300) or (
        content["gap_bound"] is not None and proved.gap_bound <= 2 * content["gap_bound"]
    )
    return proved if proved.exists and agrees and tight else None
