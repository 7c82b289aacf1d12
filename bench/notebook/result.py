"""What the notebook suite found: the printed numbers beside ours, and the score of each run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

import numpy as np

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
# By how many units of the last printed digit a correct run may differ, where float32 does not
# settle that digit. LBFGS stops up to 2e-4 from the minimiser: its gradient tolerance is 1e-7, and
# the smallest curvature 2.5e-4. The notebook's own code on torch 2.13 was run on 300 orders of the
# rows, for which f differs by rounding alone. 109 runs end at the printed -4.4146. The other 191,
# the notebook's order among them, end at -4.4147.
_OPEN_UNITS = {("LBFGS", "coef"): 1}
PRINTED_BY_NUMPY = PRINTED_AS | {"coef": ".3f", "test_grad": ".3f", "test_loss": ".8f"}


def printed_figures() -> Mapping[str, Any]:
    """The notebook's printed outputs, by experiment."""
    text = (files("bench.notebook") / "outputs.json").read_text(encoding="utf-8")
    figures: dict[str, Any] = json.loads(text)
    return figures


@dataclass(frozen=True)
class Reproduction:
    """One quantity that the notebook printed, beside the same quantity computed here.

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


def reproductions(
    experiment: str,
    loss: str,
    printed: Mapping[str, Any],
    found: Mapping[str, Any],
    printed_as: Mapping[str, str] = PRINTED_AS,
) -> list[Reproduction]:
    """One for every quantity that was printed as numbers; text is left out.

    Args:
        experiment, loss: what was run.
        printed: a section of the printed figures.
        found: the computed numbers, by the same keys.
        printed_as: the format of each key.
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
        status: "converged", "budget", "diverged" or "failed".
        message: the error of a failed run.
        steps: of the optimizer; for LBFGS calls of `step`.
        passes: rows read, in units of n; None for scikit-learn, which does not say.
        w: where the run ended.
        gap, relative_gap: upper bound on f(w) - f*, in nats and in units of f(w0) - f*.
        passes_to_target: passes until the relative gap was 1e-6; None where it never was.
        label_agreement: fraction of test rows that get the optimum's label.
        label_agreement_with_sklearn: fraction of test rows that get scikit-learn's label.
        step, gaps: steps that were kept, with the gap after each. The first is at w0.
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
    """Every printed number beside ours, every run's score, and the fits of three classes."""

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
