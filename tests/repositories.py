"""Small git repositories with cells of their own, whose clock is a fake one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# The call advances the clock by its own cost, so that what a comparison finds depends on nothing
# else; each process has its own small noise, as real ones do.
CELLS = """
import os, random, time

class Clock:
    now = 0.0

time.perf_counter = lambda: Clock.now
noise = random.Random(int(os.environ["BENCH_TREE"][-4:] == "head") + os.getpid())

def costs(seconds):
    def setup():
        def call():
            Clock.now += seconds * (1 + {noise} * noise.uniform(-1, 1))
        return call
    return setup

def cells():
    return {{{entries}}}
"""


def cells_source(noise: float = 0.01, **seconds: float | str) -> str:
    """A file of cells: each takes so many seconds of the fake clock, or is an expression."""
    entries = ", ".join(
        f"{name!r}: {cost if isinstance(cost, str) else f'costs({cost!r})'}"
        for name, cost in seconds.items()
    )
    return CELLS.format(noise=noise, entries=entries)


def git(folder: Path, *arguments: str, text: str = "") -> str:
    """Git without the developer's own settings; the folder is made where it isn't there."""
    folder.mkdir(parents=True, exist_ok=True)
    alone = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{
            f"GIT_{role}_{what}": "t@example.org"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=alone,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(folder: Path, message: str, **files: str) -> str:
    """Write files (`cells` is cells.py) and commit them; returns the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")
