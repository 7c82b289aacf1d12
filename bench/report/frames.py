"""The data frames that a report's tables, plots and answers are made of."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.records.results import Results
from bench.report.tables import times_to_target
from bench.report.tables_summary import scored, summary


@dataclass(frozen=True)
class Frames:
    """The frames of `Results`, `times_to_target`, `scored` and `summary`, each computed once."""

    scores: pd.DataFrame
    curves: pd.DataFrame
    problems: pd.DataFrame
    kernel_samples: pd.DataFrame
    times: pd.DataFrame
    scored: pd.DataFrame
    summary: pd.DataFrame


def frames_of(results: Results) -> Frames:
    """The frames of a set of records."""
    scores, problems = results.scores(), results.problems()
    runs = scored(scores, problems)
    return Frames(
        scores=scores,
        curves=results.curves(),
        problems=problems,
        kernel_samples=results.kernel_times(),
        times=times_to_target(scores),
        scored=runs,
        summary=summary(runs),
    )
