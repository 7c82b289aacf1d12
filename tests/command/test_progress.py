"""How far a command is: one line of 80 columns on a terminal, a line for each tenth elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.command.progress import Progress, _bar_on, announce, progress_bar

LONG = "synthetic:n=200000,d=54,cond=1e4 · adam:lr=0.01,batch_size=32 · fused-cpu cpu float64"


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("cell", ["iris", LONG, LONG * 3])
def test_a_bar_is_one_line_that_fits(width: int, cell: str) -> None:
    console = Console(width=width, force_terminal=True, file=io.StringIO())
    bar = _bar_on(console)
    bar.add_task(cell, total=12_345, completed=2_345)
    (line,) = console.render_lines(bar.get_renderable(), pad=False)
    shown = "".join(segment.text for segment in line)
    assert len(shown) <= width
    assert shown.startswith(cell[:8])
    assert " 2345/12345 " in shown
    assert "-:--:--" in shown
    assert (cell in shown) == (len(cell) < width - 40)


def test_a_log_has_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as show:
        for done in range(100):
            show(Progress(done, 100, f"cell {done}"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["0 of 100 cells: cell 0", "10 of 100 cells: cell 10"]
    assert len(lines) == 10


def test_what_is_not_certain_is_said_to_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    announce("importing torch")
    assert capsys.readouterr() == ("", "")
    announce("3 records", certain=True)
    assert capsys.readouterr() == ("", "bench: 3 records\n")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    announce("importing torch")
    assert capsys.readouterr() == ("", "bench: importing torch\n")
