"""A comparison in words, in Markdown and as a plot: what people read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.compare.comparison import Cell, CellResult, Comparison, Side, as_json
from bench.compare.plot import plot
from bench.compare.report import describe_sides, headline, markdown, readable, write_comparison
from bench.statistics.verdicts import LOOKS

ENVIRONMENT = {
    "cpu": "A CPU",
    "usable_cores": 2,
    "gpus": [],
    "torch_threads": 1,
    "torch": "2.13",
    "numpy": "2.4",
    "python": "3.11",
}


def result(name: str = "a", verdict: str = "SAME", reason: str = "") -> CellResult:
    times = {"base_s": (1e-3, 1e-3), "head_s": (1e-3, 1e-3), "log_ratios": (0.0, 0.0)}
    if verdict in ("FAILED", "NEW", "GONE", "NOT TIMED"):
        return CellResult(Cell(name), verdict, reason=reason)
    return CellResult(Cell(name), verdict, 1.0, 0.97, 1.03, reason=reason, **times)


def comparison(*cells: CellResult, sessions: int = 10) -> Comparison:
    return Comparison(
        base=Side("main", "a" * 40),
        head=Side("topic", "b" * 40),
        cells=cells,
        threshold=0.05,
        confidence=0.95,
        sessions=sessions,
        seconds=60.0,
        environment=ENVIRONMENT,
        created="2026-01-01T00:00:00+00:00",
    )


def tables(source: str) -> list[list[list[str]]]:
    """The body of each table as a reader sees it: rows of fields, read by another library."""
    found: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source)
    for before, token in pairwise(tokens):
        if before.type == "table_open":
            found.append([])
        if before.type == "tr_open" and token.type == "td_open":
            found[-1].append([])
        if before.type == "td_open" and token.type == "inline":
            assert {child.type for child in token.children or []} <= {"text", "text_special"}
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


NAMES = [
    "a|b",
    "a&lt;b",
    "~~x~~",
    "a||b|",
    r"a\|b",
    "*x*",
    "__init__",
    "<lambda>",
    "`x`",
    "[a](b)",
    "snake_case_2",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_or_a_reason_is_read_as_it_is(name: str) -> None:
    shown = markdown(comparison(result(name, "FAILED", reason=f"head: {name}"), result("good")))
    for rows in tables(shown):
        bad = next(row for row in rows if row[0] == "FAILED")
        assert (len(bad), bad[1], bad[5]) == (6, name, f"head: {name}")
    assert len(tables(shown)) == 2
    heading = MarkdownIt("commonmark").enable("strikethrough").parse(shown)[1]
    assert {child.type for child in heading.children or []} <= {"text", "text_special"}
    assert f"{name} (head: {name})" in "".join(c.content for c in heading.children or [])


@given(st.text(alphabet=r"ab\|*_`<>[]() ", min_size=1, max_size=12))
def test_no_name_breaks_a_table(name: str) -> None:
    (rows,) = tables(markdown(comparison(result(f"x{name}x", "INCONCLUSIVE"))))
    assert len(rows) == 1
    assert rows[0][1] == " ".join(f"x{name}x".split())


def test_the_readable_table_is_whole_in_the_terminal_and_in_its_file(tmp_path: Path) -> None:
    cells = [result("a|b", "NEW", reason="base: one\ntwo | three"), result("c")]
    write_comparison(comparison(*cells), tmp_path)
    kept = (tmp_path / "comparison.md").read_text()
    every = kept.partition("<details>")[2]
    for source in (readable(cells).to_markdown(index=False, disable_numparse=True), every):
        (rows,) = tables(source)
        assert [row[1] for row in rows] == ["a|b", "c"]
        assert rows[0][-1] == "base: one two | three"


def test_a_table_without_reasons_has_no_column_for_them() -> None:
    assert list(readable([result()]).columns) == ["verdict", "cell", "head / base", "base", "head"]
    assert list(readable([]).columns) == ["verdict", "cell", "head / base", "base", "head"]


def test_one_session_is_one() -> None:
    assert "1 session of new" in describe_sides(comparison(result(), sessions=1))
    assert "2 sessions of new" in describe_sides(comparison(result(), sessions=2))


def test_what_would_decide_is_what_helps() -> None:
    open_cell = result("a", "INCONCLUSIVE")
    early = describe_sides(comparison(open_cell, sessions=LOOKS[-1] - 1))
    assert "1 cell INCONCLUSIVE: more --minutes help" in early
    late = describe_sides(comparison(open_cell, sessions=LOOKS[-1]))
    assert "after 32 sessions, the most there are" in late
    assert "--minutes" not in late
    assert "a quieter machine, cells that do more work a call, or a larger --threshold" in late
    assert "INCONCLUSIVE" not in describe_sides(comparison(result()))


def test_a_summary_ends_with_how_to_read_it() -> None:
    last = markdown(comparison(result("a", "SLOWER"))).strip().splitlines()[-1]
    assert "SAME: the interval is within 5% of 1. SLOWER: it is above 1, and the ratio is" in last
    assert "nearer to the threshold than to 1. INCONCLUSIVE: neither could be told." in last


def test_confidence_is_claimed_where_it_can_be() -> None:
    claim = "all intervals together hold with 95% confidence"
    assert claim in describe_sides(comparison(result()))
    nothing = comparison(result("a", "NOT TIMED", "base: no memory"))
    assert "confidence" not in describe_sides(nothing)


def test_nothing_decided_is_not_called_no_slow_down() -> None:
    assert headline(comparison(result("a", "INCONCLUSIVE"))) == (
        "Nothing was decided: none of 1 cell is SLOWER; 1 inconclusive."
    )
    assert headline(comparison(result("a", "INCONCLUSIVE"), result("b"))).startswith(
        "No slow-down found: "
    )


def test_an_interval_without_an_end_is_said_and_kept() -> None:
    cell = replace(result("a", "INCONCLUSIVE"), low=0.0, high=math.inf)
    found = comparison(cell)
    kept = json.loads(as_json(found))["cells"][0]
    assert (kept["low"], kept["high"]) == (0.0, None)
    for one in (cell, replace(cell, high=None)):
        assert readable([one])["head / base"][0] == "1.00x [0.00-beyond]"
        plot(comparison(one))


def test_the_times_beside_a_ratio_are_medians_of_the_sessions() -> None:
    row = readable([replace(result(), base_s=(1.0, 2.0, 9.0), head_s=(3.0, 1.0, 8.0))]).iloc[0]
    assert (row["base"], row["head"]) == ("2.00 s", "3.00 s")


@pytest.mark.parametrize("ratio", [1.001, 1.04, 1.3, 3.0, 40.0, 2000.0])
def test_the_plot_s_ticks_don_t_touch(ratio: float) -> None:
    figure = plot(comparison(replace(result(), ratio=ratio, low=ratio / 1.01, high=ratio * 1.01)))
    figure.canvas.draw()
    boxes = [
        label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()
    ]
    assert len(boxes) >= 3
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_a_plot_of_an_earlier_comparison_is_not_left_beside_one_without_a_ratio(
    tmp_path: Path,
) -> None:
    assert any(path.suffix == ".png" for path in write_comparison(comparison(result()), tmp_path))
    written = write_comparison(comparison(result("new", "NEW", reason="base: none")), tmp_path)
    assert not any(path.suffix == ".png" for path in written)
    assert not list(tmp_path.rglob("*.png"))
