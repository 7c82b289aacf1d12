"""Comparisons of few sessions, for tests whose clock is a fake one."""

from __future__ import annotations

import pytest


@pytest.fixture
def few_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells are judged after four sessions; each of them takes half a second to start."""
    monkeypatch.setattr("bench.compare.sampling.LOOKS", (4,))
