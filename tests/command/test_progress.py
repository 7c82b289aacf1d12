"""How far a command is: one line of 80 columns on a terminal, a line for each tenth elsewhere."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

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


def test_what_is_announced_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    announce("importing torch")
    assert capsys.readouterr() == ("", "bench: importing torch\n")


@pytest.mark.parametrize(
    "arguments",
    [
        *("report", "report -p iris", "report --suite notebook", "run", "run -p iris", "list"),
        *("compare", "compare -p iris", "counters --check", "roofline -p iris"),
        "selfcheck compare",
    ],
)
def test_the_first_line_comes_before_anything_heavy(tmp_path: Path, arguments: str) -> None:
    """Each command ends at its first import of one of these, having said what it does."""
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['pandas'] = sys.modules['numpy'] = None\n"
        "from bench.__main__ import bench\n"
        f"bench.main({arguments.split()}, standalone_mode=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout + done.stderr).startswith(("bench: ", "Suites\n"))
    assert "ModuleNotFoundError" in done.stderr
