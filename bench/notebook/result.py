"""The results of the notebook suite: the printed numbers, ours, and the score of each run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

import numpy as np

from bench.records.score import Score

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
# By how many units of the last printed digit a correct run may differ, because float32 does not
# determine that digit. LBFGS stops up to 2e-4 from the minimiser: its gradient tolerance is 1e-7,
# and the smallest curvature 2.5e-4. The notebook's own code on torch 2.13 was run on 300 orders of
# the rows, for which f differs by rounding alone. 109 runs end at the printed -4.4146. The other
# 191, the notebook's order among them, end at -4.4147.
_OPEN_UNITS = {("LBFGS", "coef"): 1}
PRINTED_BY_NUMPY = PRINTED_AS | {"coef": ".3f", "test_grad": ".3f", "test_loss": ".8f"}


def printed_figures() -> Mapping[str, Any]:
    """The notebook's printed outputs, by experiment."""
    text = (files("bench.notebook") / "outputs.json").read_text(encoding="utf-8")
    figures: dict[str, Any] = json.loads(text)
    return figures


@dataclass(frozen=True)
class Reproduction:
    """One quantity that the notebook printed, and the same quantity computed here.

    Args:
        experiment, loss: what was run.
        quantity: "coef", "test_probabilities", "losses", ...
        notebook: the printed entries.
        ours: the computed entries, unrounded.
        printed_as: the format in which the notebook printed them.
        open_units: by how many units of the last printed digit ours may differ. It is 0 unless
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
        """Whether each of our entries, in the notebook's format, is the number that it printed.

        Both are rounded in decimal from their exact binary values, so that no tie is decided by a
        second rounding. -0.000 is 0.000.
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
        """The number of digits that must agree, in words."""
        kind = "decimals" if self.printed_as.endswith("f") else "significant digits"
        exactly = f"{self.printed_as.strip('#.fg')} {kind}"
        return f"{exactly}, the last ± {self.open_units}" if self.open_units else exactly

    def _agree(self, notebook: float, ours: float) -> bool:
        if not math.isfinite(ours):
            return False
        printed, rounded = (Decimal(format(x, self.printed_as)) for x in (notebook, ours))
        unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
        return abs(printed - rounded) <= self.open_units * unit


def reproductions(
    experiment: str,
    loss: str,
    printed: Mapping[str, Any],
    found: Mapping[str, Any],
    printed_as: Mapping[str, str] = PRINTED_AS,
) -> list[Reproduction]:
    """One for every quantity that was printed as numbers; text is left out.

    `printed` is a section of the printed figures. `found` and `printed_as` have the computed
    numbers and their formats, by the same keys.

    Raises:
        KeyError: the notebook printed a quantity that was not computed.
    """
    return [
        Reproduction(
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
        experiment, loss, optimizer: what was run.
        w: where the run ended.
        score: its steps are those of the optimizer; for LBFGS calls of `step`.
        label_agreement_with_sklearn: fraction of test rows that get scikit-learn's label.
    """

    experiment: str
    loss: str
    optimizer: str
    w: tuple[float, ...]
    score: Score
    label_agreement_with_sklearn: float


@dataclass(frozen=True)
class MulticlassFit:
    """Where one of the fits of three classes ended.

    Args:
        fit: what was fitted.
        f: objective there, nats.
        relative_gap: upper bound on (f - f*) / (f(0) - f*).
        from_optimum, from_sklearn: largest |W - W*| and |W - W_sklearn| over all entries.
        test_accuracy: on the notebook's test rows.
        label_agreement: fraction of test rows that get the optimum's label.
        agrees: whether both distances are within what the stopping tests explain.
    """

    fit: str
    f: float
    relative_gap: float
    from_optimum: float
    from_sklearn: float
    test_accuracy: float | None
    label_agreement: float | None
    agrees: bool


@dataclass(frozen=True)
class NotebookResult:
    """Every printed number and ours, every run's score, and the fits of three classes."""

    reproductions: tuple[Reproduction, ...]
    runs: tuple[Run, ...]
    multiclass: tuple[MulticlassFit, ...]

    @property
    def agrees(self) -> bool:
        """Whether all printed numbers came out, and all fits of three classes agree."""
        printed, fits = self.reproductions, self.multiclass
        return all(one.agrees for one in printed) and all(fit.agrees for fit in fits)


def floats(values: Any) -> tuple[float, ...]:
    """Numbers in any form (a number, a list, an array) as a tuple."""
    return tuple(np.atleast_1d(np.asarray(values, dtype=np.float64)).tolist())
