"""How long a run may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """When a run is over at the latest, whichever comes first.

    Args:
        passes: rows read by the oracle, in units of n.
        seconds: of host time, looked at when a snapshot is taken.
    """

    passes: float
    seconds: float
