"""How long a run may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """The most that a run may take; it ends at whichever limit comes first.

    Args:
        passes: rows read by the objective, divided by n.
        seconds: of host time, checked when a snapshot is taken.
    """

    passes: float
    seconds: float
