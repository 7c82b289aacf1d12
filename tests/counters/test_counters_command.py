"""`python -m bench counters`: exit codes, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import bench.counters.count
from bench.counters.command import counters as command
from bench.counters.counters_file import Counters, as_json, cell_name, read_counters
from bench.errors import InputError

CELL = cell_name("iris", "adam:lr=0.1", "numpy")


def counted(steps: int) -> Counters:
    return Counters(
        runs={CELL: {"status": "budget", "steps": steps}},
        reads_of_x={},
        cuda={},
        settings={},
        environment={"torch": "2.13.0"},
        not_counted={},
    )


NOW, CHANGED = counted(50), counted(51)

Invoke = Callable[..., Any]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the command in an empty folder, with `now` in place of counting."""
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()

    def run(*arguments: str, now: Counters) -> Any:
        monkeypatch.setattr(bench.counters.count, "count_pinned", lambda tell: now)
        return CliRunner().invoke(command, arguments, standalone_mode=False)

    return run


FILE = Path("results/counters.json")


def test_update_then_check(invoke: Invoke) -> None:
    done = invoke("--update", now=NOW)
    assert (done.return_value, done.exception) == (0, None)
    assert "1 runs counted, none were committed" in done.stdout
    assert FILE.read_text() == as_json(NOW)
    assert invoke("--check", now=NOW).return_value == 0
    done = invoke("--check", "--output", "fresh.json", now=CHANGED)
    assert done.return_value == 1
    assert done.stdout.startswith("Counters: changed: 1 of 1 runs (adam:lr=0.1).")
    assert FILE.read_text() == as_json(NOW)
    assert read_counters(Path("fresh.json")) == CHANGED
    done = invoke("--update", now=CHANGED)
    assert (done.return_value, FILE.read_text()) == (0, as_json(CHANGED))
    assert "changed: 1 of 1 runs" in done.stdout
    assert [p.name for p in FILE.parent.iterdir()] == ["counters.json"]


def test_the_summary_is_appended(invoke: Invoke) -> None:
    FILE.write_text(as_json(NOW))
    Path("summary.md").write_text("before\n")
    done = invoke("--check", "--summary", "summary.md", now=CHANGED)
    written = Path("summary.md").read_text()
    assert written.startswith(
        "before\n## Counters\n\nCounters: changed: 1 of 1 runs (adam:lr=0.1).\n\n| what"
    )
    assert done.stdout in written


@pytest.mark.parametrize("arguments", [(), ("--check", "--update")])
def test_one_of_check_and_update(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments, now=NOW)
    assert "give one of --check and --update" in str(done.exception)


@pytest.mark.parametrize("option", ["--summary", "--output"])
def test_a_folder_that_is_not_there_is_said_before_counting(invoke: Invoke, option: str) -> None:
    FILE.write_text(as_json(NOW))
    done = invoke("--check", option, "nowhere/file", now=NOW)
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "no folder for nowhere/file: make nowhere first"


def test_a_broken_file_is_not_overwritten(invoke: Invoke) -> None:
    FILE.write_text("{")
    assert isinstance(invoke("--update", now=NOW).exception, InputError)
    assert FILE.read_text() == "{"
