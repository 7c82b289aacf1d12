"""Run git, with its error in one line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.errors import InputError

# A git hook sets these to the repository and the index of the commit that is being made.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")

# git's reasons begin like this in English, the language that is set for it.
_REASONS = ("fatal: ", "error: ")


def git(*arguments: str, cwd: Path, text: str = "", **environment: str) -> str:
    """What a git command prints, stripped.

    Args:
        cwd: a folder in the repository.
        text: standard input.
        environment: variables to set for it.
    Raises:
        InputError: git can't be run, or it fails; with git's own reason.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env={**without_hook(os.environ), "LANGUAGE": "en", **environment},
            input=text,
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise InputError(f"git can't be run: {error}") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["it gave no reason"]
        # There may be hints before the reason, and advice after it.
        reason = next((line for line in lines if line.startswith(_REASONS)), lines[-1])
        raise InputError(f"git {arguments[0]}: {reason.removeprefix('fatal: ')}") from None
    return done.stdout.strip()


def without_hook(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without a hook's variables, so that git finds the folder's repository."""
    return {name: value for name, value in environment.items() if name not in _OF_A_HOOK}
