"""The notebook's numbers beside ours: the tables, and a summary to print."""

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
    """The lines to print: every printed number beside ours, the runs, and the fits."""
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
        f"  {f'{run.experiment} ({run.loss})':<44} relative gap {text.gap(run.relative_gap):>8}, "
        f"labels as scikit-learn's {run.label_agreement_with_sklearn:.0%}"
        for run in result.runs
    ]
    lbfgs = next(run for run in result.runs if run.optimizer.startswith("lbfgs"))
    gaps = [text.gap(gap / lbfgs.gaps[0]) for gap in lbfgs.gaps[:4]]
    shown = ", ".join(f"{step}: {gap}" for step, gap in enumerate(gaps))
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
    """The fields of a run but for its steps; the target that is meant has its name in the table."""
    row = asdict(run) | {"w": _numbers(run.w, ".4f")}
    names = {name: name for name in row if name not in ("step", "gaps")}
    names["passes_to_target"] = "passes_to_1e-6"
    return {names[name]: row[name] for name in names}


def _step_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    return [
        {
            "experiment": run.experiment,
            "loss": run.loss,
            "step": step,
            "gap": gap,
            "relative_gap": gap / run.gaps[0],
        }
        for run in runs
        if run.optimizer.startswith("lbfgs")
        for step, gap in zip(run.step, run.gaps, strict=True)
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
