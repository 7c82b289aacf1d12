"""The doors: light to import, the same by every name, with help that fits and can be completed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from command_cases import BENCH, REPORT, Command, commands_in

import bench.__main__
from bench.command.doors import commands_of

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "pandas", "torch", "matplotlib", "scipy", "sklearn", "jinja2", "logreg_kernels")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in this process, in an empty folder."""
    return commands_in(tmp_path, monkeypatch, capfd)


def every_command(
    command: click.Command = bench.__main__.bench, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that name it, the group itself first."""
    yield words, command
    for name, below in commands_of(command).items():
        yield from every_command(below, (*words, name))


ALL = dict(every_command())


def in_a_process(
    code: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_command_is_seen() -> None:
    top = {words[0] for words in ALL if len(words) == 1}
    assert top == {
        *("report", "run", "list", "compare", "counters", "history", "roofline", "selfcheck"),
    }
    assert ("selfcheck", "timing") in ALL


def test_no_help_loads_what_is_slow_to_load() -> None:
    """Seen in one process of its own, after the help of every command."""
    code = (
        "import json, sys\n"
        "from bench.__main__ import bench\n"
        f"for words in {[list(words) for words in ALL]!r}:\n"
        "    bench.main([*words, '--help'], prog_name='bench', standalone_mode=False)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    done = in_a_process(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: bench") == len(ALL)
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    "words", [words for words, one in ALL.items() if commands_of(one)], ids=" ".join
)
def test_lists_of_commands_are_whole_and_fit_80_columns(
    command: Command, words: tuple[str, ...]
) -> None:
    done = command(*words, "--help")
    assert max(map(len, done.out.splitlines())) <= 80
    listed = done.out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert "..." not in "".join(listed)
    assert len(listed) == len(commands_of(ALL[words]))  # a line each


@pytest.mark.parametrize("words", ALL, ids=lambda words: " ".join(words) or "bench")
def test_h_is_help(command: Command, words: tuple[str, ...]) -> None:
    asked = command(*words, "--help")
    assert (asked.code, asked.err) == (0, "")
    assert command(*words, "-h") == asked


def test_version(command: Command) -> None:
    done = command("--version")
    assert (done.code, done.out, done.err) == (0, "logreg-bench, version 0.1.0\n", "")


def test_report_is_the_same_by_every_name(command: Command) -> None:
    for arguments in (["--help"], ["--no-run"], ["--seeds", "0"]):
        below = command("report", *arguments)
        alone = command(*arguments, module=REPORT)
        assert alone.code == below.code
        assert alone.out == below.out.replace("python -m bench report", "python -m bench.report", 1)
        assert alone.err == below.err.replace("python -m bench report", "python -m bench.report")


def test_the_console_script_is_the_same_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    script = EntryPoint("bench", project["scripts"]["bench"], "console_scripts")
    monkeypatch.setattr(sys, "argv", [BENCH, "--help"])
    with pytest.raises(SystemExit) as ended:
        script.load()()
    assert ended.value.code == 0
    assert capfd.readouterr().out.startswith("Usage: bench [OPTIONS] COMMAND")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_console_script_completes(shell: str) -> None:
    code = "from bench.__main__ import console; console()"
    script = in_a_process(code, _BENCH_COMPLETE=f"{shell}_source")
    assert script.returncode == 0, script.stderr
    assert "_BENCH_COMPLETE" in script.stdout
    asked = {"COMP_WORDS": "bench ro", "COMP_CWORD": "1" if shell != "fish" else "ro"}
    found = in_a_process(code, _BENCH_COMPLETE=f"{shell}_complete", **asked)
    assert "roofline" in found.stdout
    assert "compare" not in found.stdout
