"""The notebook's numbers beside ours: tables and a summary from plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.command import text
from bench.command.tables import write_table

Rows = Sequence[dict[str, Any]]


def write_notebook(
    comparisons: Rows, runs: Rows, steps: Rows, multiclass: Rows, folder: Path
) -> list[Path]:
    """Write `notebook_numbers`, `notebook_runs`, `notebook_multiclass` and `notebook_lbfgs_steps`
    under `tables/`."""
    numbers, run_frame, step_frame, classes = (
        pd.DataFrame(list(rows)) for rows in (comparisons, runs, steps, multiclass)
    )
    written = write_table(numbers, _readable(numbers), folder / "tables" / "notebook_numbers")
    written += write_table(run_frame, _readable(run_frame), folder / "tables" / "notebook_runs")
    written += write_table(classes, _readable(classes), folder / "tables" / "notebook_multiclass")
    return written + write_table(step_frame, None, folder / "tables" / "notebook_lbfgs_steps")


def summary(comparisons: Rows, runs: Rows, steps: Rows, multiclass: Rows) -> list[str]:
    """What to print: the counts, every number beside ours, the two things to see, and the section
    that the notebook left open."""
    agreeing = sum(bool(row["agrees"]) for row in comparisons)
    lines = [
        f"{agreeing} of {len(comparisons)} printed quantities agree, "
        f"{sum(row['entries'] for row in comparisons)} numbers in all",
        "",
    ]
    for row in comparisons:
        name = row["experiment"] + (f" ({row['loss']})" if row["loss"] else "")
        verdict = "agrees" if row["agrees"] else "DIFFERS"
        counted = f", {row['entries']} numbers" if row["entries"] > 4 else ""
        lines += [
            f"  {name}: {row['quantity']}{counted}: {verdict} to {row['rule']}",
            f"      notebook  {row['notebook']}",
            f"      ours      {row['ours']}",
        ]
    lines += ["", "Where the runs ended, against the proved optimum:", ""]
    for row in runs:
        with_loss = f"{row['experiment']} ({row['loss']})"
        lines.append(
            f"  {with_loss:<44} relative gap {text.gap(row['relative_gap']):>8}, "
            f"labels as scikit-learn's {row['label_agreement_with_sklearn']:.0%}"
        )
    first = next((row["experiment"], row["loss"]) for row in steps)
    gaps = [r["relative_gap"] for r in steps if (r["experiment"], r["loss"]) == first]
    shown = ", ".join(f"{step}: {text.gap(value)}" for step, value in enumerate(gaps[:4]))
    lines += ["", f"  LBFGS, relative gap after each call of step: {shown}, ..."]
    lines += [
        "",
        "More than two classes, all three species, which the notebook left to its reader:",
    ]
    for row in multiclass:
        verdict = "agrees" if row["agrees"] else "DIFFERS"
        lines.append(
            f"  {row['fit']:<27} f = {row['f']:.15f}, |W - W*| <= {row['from_optimum']:.1e}, "
            f"|W - W_sklearn| <= {row['from_sklearn']:.1e}: {verdict}"
        )
    return lines


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers in two significant digits, missing ones as a dash."""

    def show(value: Any) -> str:
        if value is None or (isinstance(value, float) and pd.isna(value)):
            return "-"
        return f"{value:.2g}" if isinstance(value, float) else str(value)

    return frame.map(show)
