"""Commands run in the tests' own process, with what they print and their exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bench.__main__
import bench.report.__main__
from bench.command.line import main

BENCH, REPORT = "bench", "bench.report"
COMMANDS = {BENCH: bench.__main__.bench, REPORT: bench.report.__main__.report}


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    def is_one_line(self, *says: str) -> None:
        """Bad input: exit code 2 and one line of error that holds all of `says`.

        Before it stands at most one line: what takes its time, such as an import of torch.
        """
        assert self.code == 2, self.err
        assert self.out == ""
        *announced, line = self.err.splitlines()
        assert len(announced) <= 1
        assert all(one.startswith("bench: ") for one in announced)
        assert line.startswith("error: ")
        assert "Traceback" not in self.err
        assert len(line) < 400
        for part in says:
            assert part in line


Command = Callable[..., Done]


def commands_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """What runs a command in a folder; any exception but SystemExit escapes."""
    monkeypatch.chdir(folder)

    def run(*arguments: Any, module: str = BENCH) -> Done:
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(COMMANDS[module], f"python -m {module}")
        out, err = capfd.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out, err)

    return run
