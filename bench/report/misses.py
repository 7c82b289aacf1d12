"""Why a target was missed, in words, from the scores of the runs that missed it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.command import text
from bench.records import TARGETS


def why_missed(runs: pd.DataFrame, targets: Sequence[str]) -> str:
    """One clause for the finest of `targets` that some run missed; empty where none did.

    Args:
        runs: rows of `Results.scores`, of one problem, optimizer and way.
        targets: by name, the finest last.
    """
    finest = targets[-1]
    missed = runs[runs[f"time_to_{finest}_s"].isna()]
    if missed.empty:
        return ""
    if missed["gap"].isna().all() and missed["status"].isin(["converged", "budget"]).all():
        return "no proved optimum to measure against"
    clauses = [_why(row, TARGETS[finest]) for _, row in missed.iterrows()]
    return "; ".join(dict.fromkeys(clauses))


def _why(run: pd.Series, target: float) -> str:
    if run["status"] == "failed":
        return str(run["message"])
    if run["status"] == "diverged":
        return "diverged: it ended above its start"
    if pd.isna(run["relative_gap"]):
        return "the start is the optimum already, to what can be told apart"
    if run["resolution"] > target:
        return f"below what can be told apart ({text.gap(run['resolution'])})"
    if run["status"] == "converged":
        return "its own stopping test ended it"
    if run["passes"] >= run["budget_passes"]:
        return f"{run['budget_passes']:g} passes spent"
    if run["sampling"] == "refits" and run["steps"] >= run["budget_passes"]:
        return f"{run['budget_passes']:g} iterations spent"
    if pd.isna(run["budget_s"]):
        return "its budget is not on record"
    # A solver that is fitted anew is held to the budget fit by fit.
    if run["run_s"] >= 0.9 * run["budget_s"]:
        return f"{text.seconds(run['budget_s'])} spent"
    return "it stopped without meeting its own test"
