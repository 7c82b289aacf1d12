"""What git says, in one line; and where code comes from, by the folder that it is in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from repositories import commit
from repositories import git as run_git

from bench.compare import worker
from bench.compare.compare_commits import Commits, compare_commits
from bench.compare.sampling import Plan
from bench.compare.worktrees import repository
from bench.errors import InputError
from bench.git import git


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called git that says what is written to a file, and no."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\ncat '{tmp_path / 'words'}' >&2\nexit 128\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return tmp_path / "words"


def test_the_reason_is_told_and_not_the_advice_after_it(tmp_path: Path, says: Path) -> None:
    reason = "detected dubious ownership in repository at '/builds/x'"
    says.write_text(
        f"hint: one\nfatal: {reason}\nTo add an exception for this directory, call:\n\n"
        "\tgit config --global --add safe.directory /builds/x\n"
    )
    with pytest.raises(InputError) as refused:
        git("status", cwd=tmp_path)
    assert str(refused.value) == f"git status: {reason}"
    with pytest.raises(InputError, match="dubious ownership"):
        repository(tmp_path)
    says.write_text("")
    with pytest.raises(InputError, match="git status: it gave no reason"):
        git("status", cwd=tmp_path)


def test_git_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"git can't be run: .*'git'"):
        repository(tmp_path)


def test_git_is_asked_in_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    run_git(tmp_path, "init", "--quiet")
    assert git("-c", "alias.language=!echo $LANGUAGE", "language", cwd=tmp_path) == "en"


def test_a_subject_in_another_encoding_is_no_error(tmp_path: Path) -> None:
    commit(tmp_path, "base", a="1")
    (tmp_path / "message").write_bytes(b"caf\xe9\n")
    run_git(tmp_path, "commit", "--quiet", "--amend", "--file", "message")
    assert git("log", "-1", "--format=%s", cwd=tmp_path).startswith("caf")


def test_a_build_inside_a_hook_finds_the_repository_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = f"git rev-parse --verify HEAD >> {tmp_path / 'log'}"
    source = f"BUILD = {build!r}\ndef cells():\n    return {{'a': lambda: lambda: None}}\n"
    commit(tmp_path, "base", cells=source)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    plan = Plan(minutes=1e-6)
    compare_commits(Commits("HEAD", "HEAD", tmp_path, "cells.py"), (), plan)
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_requirements_that_differ_are_a_note(tmp_path: Path) -> None:
    source = "def cells():\n    return {'a': lambda: lambda: None}\n"
    commit(tmp_path, "base", cells=source, setup="")
    (tmp_path / "setup.py").write_text("# another version\n")
    found = compare_commits(
        Commits("HEAD", folder=tmp_path, file="cells.py"), (), Plan(minutes=1e-6)
    )
    assert found.notes[0].startswith("setup.py differs: both sides ran with the packages installed")


@pytest.mark.parametrize(
    ("tree", "others", "prefixes", "file", "other"),
    [
        # Trees in the temporary folder, a package of the user's checkout.
        ("/tmp/x/head", ["/repo"], ["/repo/.venv", "/usr"], "/repo/src/p/a.py", True),
        ("/tmp/x/head", ["/repo"], ["/repo/.venv", "/usr"], "/tmp/x/head/p/a.py", False),
        ("/tmp/x/head", ["/repo"], ["/repo/.venv", "/usr"], "/repo/.venv/bin/a.py", False),
        ("/tmp/x/head", ["/repo"], ["/usr"], "/repo/.venv/lib/site-packages/a.py", False),
        ("/tmp/x/head", ["/tmp/x/base"], ["/usr"], "/tmp/x/base/p/a.py", True),
        # A temporary folder inside the checkout.
        ("/repo/tmp/x/head", ["/repo"], ["/usr"], "/repo/tmp/x/head/p/a.py", False),
        ("/repo/tmp/x/head", ["/repo"], ["/usr"], "/repo/p/a.py", True),
        # A checkout under Python's own folder, and an environment that is the checkout.
        ("/tmp/x/head", ["/usr/src/app"], ["/usr"], "/usr/src/app/p/a.py", True),
        ("/tmp/x/head", ["/usr/src/app"], ["/usr"], "/usr/lib/python3.11/json/__init__.py", False),
        ("/tmp/x/head", ["/repo"], ["/repo", "/usr"], "/repo/p/a.py", True),
        ("/tmp/x/head", ["/repo"], ["/repo"], "/repo/p/a.py", True),
        ("/tmp/x/head", ["/repo"], ["/repo"], "/repo/lib/python3.11/json/decoder.py", False),
        ("/tmp/x/head", ["/repo"], ["/usr"], "", False),
        ("/tmp/x/head", ["/repo"], ["/usr"], "_ops.py", False),
    ],
)
def test_a_module_is_of_the_innermost_folder(
    monkeypatch: pytest.MonkeyPatch,
    tree: str,
    others: list[str],
    prefixes: list[str],
    file: str,
    other: bool,
) -> None:
    monkeypatch.setenv("BENCH_TREE", tree)
    monkeypatch.setattr(worker, "other_checkouts", lambda: tuple(f"{o}/" for o in others))
    monkeypatch.setattr(worker.sys, "prefix", prefixes[0])
    monkeypatch.setattr(worker.sys, "base_prefix", prefixes[-1])
    monkeypatch.setattr(worker, "folder_of", lambda path: f"{path}/")
    library = f"{prefixes[-1]}/lib/python3.11"
    monkeypatch.setattr(worker.sysconfig, "get_path", lambda name: library)
    assert worker.in_other_checkout(file) is other
