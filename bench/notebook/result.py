"""What the notebook suite found, as plain data: the printed numbers beside ours, and the runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

import numpy as np

Row = dict[str, str | float | bool | None]

# How the notebook printed each quantity. The losses of LBFGS are float32 numbers printed as
# doubles: 6 of their digits do not depend on the order of a sum.
PRINTED_AS = {
    "coef": ".4f",
    "test_probabilities": ".3f",
    "test_loss": ".4f",
    "test_grad": ".4f",
    "losses": "#.6g",
    "label_agreement_with_sklearn": ".2f",
}
# Where float32 does not settle the last printed digit, by how many units of it two honest runs
# may differ. LBFGS stops up to 2e-4 from the minimiser, as its gradient tolerance 1e-7 over the
# smallest curvature 2.5e-4 lets it. With the notebook's own code on torch 2.13, 109 of 300 orders
# of the rows (the same f but for rounding) end at the printed -4.4146, and 191 at -4.4147, the
# notebook's order among these.
_OPEN_UNITS = {("LBFGS", "coef"): 1}
PRINTED_BY_NUMPY = PRINTED_AS | {"coef": ".3f", "test_grad": ".3f", "test_loss": ".8f"}


def printed_figures() -> Mapping[str, Any]:
    """The notebook's printed outputs, by experiment."""
    text = (files("bench.notebook") / "outputs.json").read_text(encoding="utf-8")
    figures: dict[str, Any] = json.loads(text)
    return figures


@dataclass(frozen=True)
class Comparison:
    """One printed quantity, every entry of it, beside ours.

    Args:
        experiment, loss: what was run.
        quantity: "coef", "test_probabilities", "losses", ...
        notebook: the printed entries.
        ours: the computed entries, unrounded.
        printed_as: the format in which the notebook printed them.
        open_units: by how many units of the last printed digit ours may differ; 0 but where
            rounding in float32 decides that digit.
    """

    experiment: str
    loss: str
    quantity: str
    notebook: tuple[float, ...]
    ours: tuple[float, ...]
    printed_as: str
    open_units: int = 0

    @property
    def agrees(self) -> bool:
        """Every entry of ours, in the notebook's format, is the number that it printed.

        Both are rounded in decimal, from their exact binary values: no tie is decided by a
        second rounding, and -0.000 is 0.000.
        """
        return len(self.notebook) == len(self.ours) and all(
            map(self._agree, self.notebook, self.ours)
        )

    @property
    def largest_difference(self) -> float:
        """max_j |ours_j - notebook_j|, before rounding."""
        return float(np.abs(np.subtract(self.ours, self.notebook)).max())

    @property
    def rule(self) -> str:
        """To how many digits they must agree, in words."""
        kind = "decimals" if self.printed_as.endswith("f") else "significant digits"
        exactly = f"{self.printed_as.strip('#.fg')} {kind}"
        return f"{exactly}, the last ± {self.open_units}" if self.open_units else exactly

    def _agree(self, notebook: float, ours: float) -> bool:
        if not math.isfinite(ours):
            return False
        printed, rounded = (Decimal(format(x, self.printed_as)) for x in (notebook, ours))
        unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
        return abs(printed - rounded) <= self.open_units * unit


def compare(
    experiment: str,
    loss: str,
    printed: Mapping[str, Any],
    found: Mapping[str, Any],
    printed_as: Mapping[str, str] = PRINTED_AS,
) -> list[Comparison]:
    """One comparison for every quantity with a printed number; what is text is left out.

    Args:
        experiment, loss: what was run.
        printed: a section of the printed figures.
        found: the computed numbers, by the same keys.
        printed_as: the format of each key.
    Raises:
        KeyError: the notebook printed a quantity that was not computed.
    """
    return [
        Comparison(
            experiment=experiment,
            loss=loss,
            quantity=quantity,
            notebook=floats(figures),
            ours=floats(found[quantity]),
            printed_as=printed_as[quantity],
            open_units=_OPEN_UNITS.get((experiment, quantity), 0),
        )
        for quantity, figures in printed.items()
        if np.asarray(figures).dtype.kind in "fi"
    ]


@dataclass(frozen=True)
class Run:
    """One run's score against the proved optimum.

    Args:
        status: "converged", "budget", "diverged" or "failed"; message: the error of a failed run.
        steps: of the optimizer; for LBFGS calls of `step`.
        passes: rows read in units of n, which for a run on mini-batches are its epochs; None for
            scikit-learn, which does not say.
        w: where it ended.
        gap, relative_gap: upper bound on f(w) - f* in nats, and in units of f(w0) - f*.
        passes_to_target: passes until the relative gap was 1e-6; None where it never was.
        label_agreement, label_agreement_with_sklearn: fraction of test rows that get the label
            that the optimum, or scikit-learn's w, gives them.
        step, gaps: the gap after each step that was kept, the first at w0.
    """

    experiment: str
    loss: str
    optimizer: str
    status: str
    message: str
    steps: int
    passes: float | None
    w: tuple[float, ...]
    gap: float | None
    relative_gap: float | None
    passes_to_target: float | None
    label_agreement: float | None
    label_agreement_with_sklearn: float
    step: tuple[int, ...]
    gaps: tuple[float, ...]


@dataclass(frozen=True)
class NotebookResult:
    """Every printed number beside ours, and every run's score."""

    comparisons: tuple[Comparison, ...]
    runs: tuple[Run, ...]

    @property
    def agrees(self) -> bool:
        """Whether all printed numbers came out."""
        return all(comparison.agrees for comparison in self.comparisons)


def comparison_rows(result: NotebookResult) -> list[Row]:
    """One row a printed quantity; long vectors are shown by their first entries and their last."""
    return [
        {
            "experiment": comparison.experiment,
            "loss": comparison.loss,
            "quantity": comparison.quantity,
            "entries": len(comparison.notebook),
            "notebook": _text(comparison.notebook, comparison.printed_as),
            "ours": _text(comparison.ours, comparison.printed_as),
            "largest_difference": comparison.largest_difference,
            "rule": comparison.rule,
            "agrees": comparison.agrees,
        }
        for comparison in result.comparisons
    ]


def run_rows(result: NotebookResult) -> list[Row]:
    """One row a run, with where it ended; None is a miss or not applicable."""
    return [
        {
            "experiment": run.experiment,
            "loss": run.loss,
            "optimizer": run.optimizer,
            "status": run.status,
            "message": run.message,
            "steps": run.steps,
            "passes": run.passes,
            "w": _text(run.w, ".4f"),
            "gap": run.gap,
            "relative_gap": run.relative_gap,
            "passes_to_1e-6": run.passes_to_target,
            "label_agreement": run.label_agreement,
            "label_agreement_with_sklearn": run.label_agreement_with_sklearn,
        }
        for run in result.runs
    ]


def step_rows(result: NotebookResult) -> list[Row]:
    """One row a call of `step` of each run of LBFGS, from w0 on: how soon it is there."""
    return [
        {
            "experiment": run.experiment,
            "loss": run.loss,
            "step": step,
            "gap": gap,
            "relative_gap": gap / run.gaps[0],
        }
        for run in result.runs
        if run.optimizer.startswith("lbfgs")
        for step, gap in zip(run.step, run.gaps, strict=True)
    ]


def floats(values: Any) -> tuple[float, ...]:
    """Numbers in any form (a number, a list, an array) as a tuple."""
    return tuple(np.atleast_1d(np.asarray(values, dtype=np.float64)).tolist())


def _text(entries: tuple[float, ...], printed_as: str) -> str:
    shown = [format(entry, printed_as) for entry in entries]
    return " ".join(shown if len(shown) <= 4 else [*shown[:3], "...", shown[-1]])
