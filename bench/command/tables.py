"""Tables as every command writes them: CSV with full numbers, Markdown for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.files.whole import write_whole


def write_table(frame: pd.DataFrame, readable: pd.DataFrame | None, path: Path) -> list[Path]:
    """A table as CSV with full numbers, and, where given, as Markdown for people."""
    written = [write_whole(path.with_suffix(".csv"), frame.to_csv(index=False).encode())]
    if readable is not None:
        markdown = readable.to_markdown(index=False, disable_numparse=True) + "\n"
        written.append(write_whole(path.with_suffix(".md"), markdown.encode()))
    return written


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries by column name."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
