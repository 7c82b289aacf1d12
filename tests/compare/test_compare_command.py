"""`python -m bench compare` as a command: its modes, what each refuses, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from command_cases import Command, commands_in
from comparison_files import cells_found
from repositories import cells_source, commit, git

import bench.compare.command
import bench.compare.compare_commits
import bench.compare.error_rates
from bench.compare.error_rates import ErrorRates
from logreg_kernels import KERNELS

pytestmark = pytest.mark.usefixtures("few_sessions")
ROOT = Path(__file__).parents[2]
OWN = ("--cells", "cells.py")
SUITE = {"--problem": "iris", "--optimizer": "lbfgs", "--kernel": "numpy"}
VALUES = {
    "--base": "HEAD",
    "--head": "HEAD",
    "--cells": "cells.py",
    "--minutes": "1",
    "--threshold": "0.05",
    "--results": "elsewhere",
    **SUITE,
}
# Which arguments make the mode, how a refusal calls it, and the options that it does not use.
MODES: dict[str, tuple[tuple[str, ...], str, set[str]]] = {
    "own cells": (OWN, "of your own cells (--cells)", {*SUITE}),
    "commits": ((), "of two commits", set()),
}


class Reached(Exception):  # noqa: N818 - it is the expected way out
    """What measures was called: nothing was refused."""


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """`python -m bench compare` in an empty folder."""
    run = commands_in(tmp_path, monkeypatch, capfd)
    return lambda *arguments: run("compare", *arguments)


@pytest.fixture
def selfcheck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """`python -m bench selfcheck compare` in an empty folder."""
    run = commands_in(tmp_path, monkeypatch, capfd)
    return lambda *arguments: run("selfcheck", "compare", *arguments)


@pytest.fixture
def nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, and `Reached` instead of what measures."""
    (tmp_path / "old").mkdir()

    def reached(*_: Any, **__: Any) -> None:
        raise Reached

    monkeypatch.setattr(bench.compare.compare_commits, "compare_commits", reached)
    monkeypatch.setattr(bench.compare.error_rates, "measure_error_rates", reached)


def test_every_option_is_one_of_those_above_and_they_are_under_ten() -> None:
    known = {max(parameter.opts, key=len) for parameter in bench.compare.command.compare.params}
    assert known == {*VALUES}
    assert len(known) < 10


@pytest.mark.parametrize("option", VALUES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("nothing_is_measured")
def test_an_option_is_used_or_refused(command: Command, mode: str, option: str) -> None:
    arguments, called, unused = MODES[mode]
    if option in arguments or (mode == "commits" and option == "--cells"):
        return  # it makes the mode
    if option in unused:
        done = command(*arguments, option, VALUES[option])
        done.is_one_line(option, "does nothing", called, "leave it out")
    else:
        with pytest.raises(Reached):
            command(*arguments, option, VALUES[option])


@pytest.mark.usefixtures("nothing_is_measured")
def test_all_that_is_refused_is_named_at_once(command: Command) -> None:
    done = command(*OWN, "-p", "iris", "-p", "wine", "-k", "numpy", "-o", "lbfgs")
    done.is_one_line(
        "--optimizer", "--kernel", "-p/--problem", "do nothing in a comparison of your"
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("nothing_is_measured")
def test_what_a_workflow_sets_for_all_is_no_mistake_of_one(
    command: Command, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    arguments, _, unused = MODES[mode]
    for option in unused:
        variable = f"BENCH_COMPARE_{option.removeprefix('--').replace('-', '_').upper()}"
        monkeypatch.setenv(variable, VALUES[option])
    with pytest.raises(Reached):
        command(*arguments)


# ------------------------------------------------------------------------------ before measuring


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--results", "file"], ["--results", "file"]),
        (["--results", "file/below"], ["--results", "file/below", "is not a folder"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("nothing_is_measured")
def test_what_can_t_be_written_is_said_before_anything_is_measured(
    command: Command, mode: str, arguments: list[str], says: list[str]
) -> None:
    Path("file").write_text("keep me")
    command(*MODES[mode][0], *arguments).is_one_line(*says)
    assert Path("file").read_text() == "keep me"
    assert sorted(path.name for path in Path().iterdir()) == ["file", "old"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--summary", "nowhere/summary.md"], ["nowhere/summary.md", "make nowhere first"]),
        (["--summary", "old"], ["--summary", "old", "directory"]),
        (["--summary", ""], ["--summary", "is a folder"]),
        (["--results", "file/below"], ["--results", "file/below", "is not a folder"]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("nothing_is_measured")
def test_a_selfcheck_says_before_it_measures_what_can_t_be_written(
    selfcheck: Command, arguments: list[str], says: list[str]
) -> None:
    Path("file").write_text("keep me")
    selfcheck(*arguments).is_one_line(*says)
    assert Path("file").read_text() == "keep me"


def test_results_that_are_saved_are_not_compared(command: Command, tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    (tmp_path / "old").mkdir()
    command("--base", "old", *OWN).is_one_line("old is a folder", "`python -m bench history`")


# ------------------------------------------------------------------------------ what it leaves


def test_a_slow_down_is_exit_1_and_is_in_the_report(command: Command, tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    commit(tmp_path, "a second pass", cells=cells_source(a=2e-3))
    done = command("--base", "HEAD~1", "--head", "HEAD", *OWN)
    assert done.code == 1, done.err
    assert done.out.startswith("1 SLOWER of 1 cell: a takes 2.0")
    assert "a second pass" in done.out
    report = (tmp_path / "results" / "comparison.md").read_text()
    assert report.startswith("## Compare: 1 SLOWER of 1 cell")
    assert (tmp_path / "results" / "comparison.json").exists()
    again = command("--base", "HEAD", "--head", "HEAD", *OWN)
    assert again.code == 0, again.err


def test_a_commit_that_is_not_there_is_one_line(command: Command, tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    command("--base", "x", *OWN).is_one_line("git knows no commit 'x'")


def test_where_nothing_could_be_timed_the_error_is_all_that_is_said(
    command: Command, tmp_path: Path
) -> None:
    commit(tmp_path, "base", cells=cells_source(a="lambda: 1 / 0"))
    (tmp_path / "cells.py").write_text(cells_source(a=1e-3))
    done = command("--base", "HEAD", *OWN)
    assert (done.code, done.out) == (2, "")
    says = "no cell could be timed on both sides, the first because: base: ZeroDivisionError"
    assert done.err.splitlines()[-1].startswith(f"error: {says}")
    assert sum(line.startswith("error: ") for line in done.err.splitlines()) == 1
    assert "comparison.md" in done.err
    assert "ZeroDivisionError" in Path("results/comparison.md").read_text()
    (cell,) = cells_found(Path("results"))
    assert cell.verdict == "NOT TIMED"
    assert "Nothing was decided" in Path("results/comparison.md").read_text()


@pytest.mark.parametrize("ended", [0, 2])
def test_an_interrupted_comparison_says_what_it_left(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int
) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    plain, kept = bench.compare.command.keep, []

    def interrupted(so_far: Any, path: Path) -> None:
        if len(kept) == ended:
            raise KeyboardInterrupt
        plain(so_far, path)
        kept.append(so_far)

    monkeypatch.setattr(bench.compare.command, "keep", interrupted)
    done = command("--base", "HEAD", *OWN)
    assert done.code == 130
    assert done.out == ""
    if ended:
        left = "sessions kept in results/comparison.json: 2"
        assert json.loads(Path("results/comparison.json").read_text())["sessions"] == 2
    else:
        left = "no session has ended"
        assert not Path("results/comparison.json").exists()
    says = f"error: interrupted; {left}; the same command starts anew"
    assert done.err.splitlines()[-1] == says
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1


# ------------------------------------------------------------------------------ selfcheck compare


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_the_rates_are_appended_to_the_summary(
    selfcheck: Command, monkeypatch: pytest.MonkeyPatch, passed: bool, code: int
) -> None:
    found = ErrorRates("| injected | cells |\n\nRequired: met.", passed)
    monkeypatch.setattr(bench.compare.error_rates, "measure_error_rates", lambda *_: found)
    Path("summary.md").write_text("before\n")
    done = selfcheck("--summary", "summary.md")
    assert (done.code, done.out) == (code, f"{found.words}\n")
    written = f"before\n## Selfcheck: compare\n\n{found.words}\n"
    assert Path("summary.md").read_text() == written


@pytest.mark.parametrize("ended", [False, True])
def test_an_interrupted_selfcheck_says_what_it_left(
    selfcheck: Command, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    kept = Path("results/compare_selfcheck.csv")
    kept.parent.mkdir()
    kept.write_text("an earlier one's")
    os.utime(kept, (0, 0))

    def interrupted(*_: Any) -> None:
        if ended:
            kept.write_text("this one's")
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.compare.error_rates, "measure_error_rates", interrupted)
    done = selfcheck()
    left = f"comparisons that ended are in {kept}" if ended else "no comparison has ended"
    assert done.code == 130
    assert f"error: interrupted; {left}; the same command starts anew\n" in done.err


@pytest.mark.skipif(
    KERNELS["fused-cuda"].unavailable("cuda") is None and not os.environ.get("TRITON_INTERPRET"),
    reason="needs a kernel that can't be timed here",
)
def test_a_selfcheck_of_nothing_is_refused(selfcheck: Command, tmp_path: Path) -> None:
    commit(tmp_path, "base", cells="")
    done = selfcheck("-k", "fused-cuda", "-p", "iris")
    done.is_one_line("there is nothing to test with")


# ------------------------------------------------------------------------------ the build

EXTENSION = """
#include <Python.h>
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{name}", 0, -1, 0}};
PyMODINIT_FUNC PyInit_{name}(void) {{ return PyModule_Create(&module); }}
"""
SETUP = """
from setuptools import Extension, setup
setup(
    name="mine",
    packages=["mine"],
    package_dir={{"mine": "{folder}mine"}},
    ext_modules=[Extension("mine.built", ["{folder}mine/built.c"])],
)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("folder", ["", "src/"], ids=["flat", "src"])
def test_the_build_of_the_page_s_example_is_what_the_sides_import(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    pytest.importorskip("setuptools")
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    (build,) = re.findall(r'^BUILD = "python .+"$', page, flags=re.MULTILINE)
    package = tmp_path / folder / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "built.c").write_text(EXTENSION.format(name="built"))
    (tmp_path / ".gitignore").write_text("*.so\nbuild/\nresults/\n")
    cells = "import mine.built\n" + cells_source(a=1e-3)
    commit(tmp_path, "without", cells=cells, setup=SETUP.format(folder=folder))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    without = command("--base", "HEAD", *OWN)
    without.is_one_line("No module named 'mine.built'")
    commit(tmp_path, "with", cells=f"{build}\n{cells}")
    done = command("--base", "HEAD", *OWN)
    assert done.code == 0, done.err
    (cell,) = cells_found(Path("results"))
    assert cell.verdict == "SAME"
    assert git(tmp_path, "status", "--porcelain") == ""
