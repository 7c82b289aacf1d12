"""What `compare` left in a results folder, read by tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FoundCell:
    """A cell in `comparison.json`: the parts of its name, and its verdict."""

    problem: str
    optimizer: str
    verdict: str


def cells_found(results: Path) -> list[FoundCell]:
    """The cells of a results folder's `comparison.json`."""
    document = json.loads((results / "comparison.json").read_text(encoding="utf-8"))
    return [
        FoundCell(one["cell"]["problem"], one["cell"]["optimizer"], one["verdict"])
        for one in document["cells"]
    ]
