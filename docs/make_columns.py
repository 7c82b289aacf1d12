"""Write docs/columns.md, what each number of a score means: python docs/make_columns.py"""

from __future__ import annotations

from pathlib import Path

from bench.records import COLUMNS

HEAD = """# The numbers of a score

`Results.scores()`, `tables/scores.csv` and the records have these columns. This page is written by
`python docs/make_columns.py` from `bench/records/score.py`.

| column | meaning |
|---|---|
"""


def page() -> str:
    """The page as Markdown; a bar inside a cell is escaped."""
    rows = (f"| `{name}` | {meaning} |" for name, meaning in COLUMNS.items())
    return HEAD + "\n".join(row.replace("||", "\\|\\|") for row in rows) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("columns.md").write_text(page(), encoding="utf-8")
