"""Tables of the notebook's numbers and ours, and a summary to print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.command import text
from bench.command.tables import write_table
from bench.notebook.result import NotebookResult, Reproduction, Run


def write_notebook(result: NotebookResult, folder: Path) -> list[Path]:
    """Write the tables of the notebook suite under `tables/`; return their paths.

    `notebook_numbers` has a row for each printed quantity, `notebook_runs` for each run,
    `notebook_multiclass` for each fit of three classes, and `notebook_lbfgs_steps` for each call of
    `step` of each run of LBFGS.
    """
    tables = folder / "tables"
    written: list[Path] = []
    for name, rows in (
        ("numbers", map(_number_row, result.reproductions)),
        ("runs", map(_run_row, result.runs)),
        ("multiclass", map(asdict, result.multiclass)),
    ):
        frame = pd.DataFrame(rows)
        written += write_table(frame, frame.map(_readable), tables / f"notebook_{name}")
    steps = pd.DataFrame(_step_rows(result.runs))
    return written + write_table(steps, None, tables / "notebook_lbfgs_steps")


def summary(result: NotebookResult) -> list[str]:
    """The lines to print: every printed number and ours, the runs, and the fits."""
    found = result.reproductions
    lines = [
        f"{sum(one.agrees for one in found)} of {len(found)} printed quantities agree, "
        f"{sum(len(one.notebook) for one in found)} numbers in all",
        "",
    ]
    for one in found:
        name = one.experiment + (f" ({one.loss})" if one.loss else "")
        counted = f", {len(one.notebook)} numbers" if len(one.notebook) > 4 else ""
        row = _number_row(one)
        lines += [
            f"  {name}: {one.quantity}{counted}: {_verdict(one.agrees)} to {one.rule}",
            f"      notebook  {row['notebook']}",
            f"      ours      {row['ours']}",
        ]
    lines += ["", "Where the runs ended, against the proved optimum:", ""]
    lines += [
        f"  {f'{run.experiment} ({run.loss})':<44} "
        f"relative gap {text.gap(run.score.relative_gap):>8}, "
        f"labels as scikit-learn's {run.label_agreement_with_sklearn:.0%}"
        for run in result.runs
    ]
    steps = _step_rows(result.runs)[:4]
    shown = ", ".join(f"{row['step']}: {text.gap(row['relative_gap'])}" for row in steps)
    lines += ["", f"  LBFGS, relative gap after each call of step: {shown}, ...", ""]
    lines += ["More than two classes, all three species, which the notebook left to its reader:"]
    lines += [
        f"  {fit.fit:<27} f = {fit.f:.15f}, |W - W*| <= {fit.from_optimum:.1e}, "
        f"|W - W_sklearn| <= {fit.from_sklearn:.1e}: {_verdict(fit.agrees)}"
        for fit in result.multiclass
    ]
    return lines


def _number_row(found: Reproduction) -> dict[str, Any]:
    return {
        "experiment": found.experiment,
        "loss": found.loss,
        "quantity": found.quantity,
        "entries": len(found.notebook),
        "notebook": _numbers(found.notebook, found.printed_as),
        "ours": _numbers(found.ours, found.printed_as),
        "largest_difference": found.largest_difference,
        "rule": found.rule,
        "agrees": found.agrees,
    }


def _run_row(run: Run) -> dict[str, Any]:
    score, target = run.score, run.score.hits["1e-6"]
    return {
        "experiment": run.experiment,
        "loss": run.loss,
        "optimizer": run.optimizer,
        "status": score.status,
        "message": score.message,
        "steps": score.steps,
        "passes": score.passes,
        "w": _numbers(run.w, ".4f"),
        "gap": score.gap,
        "relative_gap": score.relative_gap,
        "passes_to_1e-6": target.passes if target else None,
        "label_agreement": score.quality.label_agreement,
        "label_agreement_with_sklearn": run.label_agreement_with_sklearn,
    }


def _step_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    return [
        {
            "experiment": run.experiment,
            "loss": run.loss,
            "step": step,
            "gap": gap,
            "relative_gap": gap / run.score.curve.gap[0],
        }
        for run in runs
        if run.optimizer.startswith("lbfgs")
        for step, gap in zip(run.score.curve.step, run.score.curve.gap, strict=True)
    ]


def _numbers(entries: tuple[float, ...], printed_as: str) -> str:
    """The entries of a vector; a long one by its first three and its last."""
    shown = [format(entry, printed_as) for entry in entries]
    return " ".join(shown if len(shown) <= 4 else [*shown[:3], "...", shown[-1]])


def _verdict(agrees: bool) -> str:
    return "agrees" if agrees else "DIFFERS"


def _readable(value: Any) -> str:
    """A number in two significant digits, a missing one as a dash."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "-"
    return f"{value:.2g}" if isinstance(value, float) else str(value)
