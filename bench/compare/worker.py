"""One side of a comparison: a process that times cells of its own worktree, a block at a time.

It is run as a file, `python -P worker.py CPU MODULES...`, with the side's worktree first in
PYTHONPATH. `bench` and `logreg_kernels` are then those of the worktree. This file is the same for
both sides, so that commits older than it can be compared, too. It answers each line of JSON on its
standard input with one line on its standard output:

    {"ask": "environment"}                  {"tree": ..., "environment": {...}}
    {"ask": "names", "file": F}             {"names": [...]}, the cells of a file
    {"ask": "prepare", "cell": C,           {"work": W}; what it lacked is found here
     "work": W, "slow_down": s, "pinned": p}
    {"ask": "block"}                        {"seconds": t}, the mean of one call in a block
    {"ask": "fork"}                         {"forked": true}, from a child that answers from now on
    {"ask": "leave"}                        {"ended": 0}, from the parent of a child that ends

A request that fails is answered with {"status": S, "reason": R}. For a child that ends unasked its
parent answers with the exit code: {"ended": 3}.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

if not __package__:  # run as a file: the modules beside it are the same for both sides, too
    __package__ = "bench_side"
    _beside = ModuleType(__package__)
    _beside.__path__ = [str(Path(__file__).parent)]
    sys.modules[__package__] = _beside

from .prepared_cell import PreparedCell
from .workloads import NotTimed, load_cells


def answer(request: Mapping[str, Any], prepared: list[PreparedCell]) -> dict[str, Any]:
    """The reply to one request; `prepared` holds the cell that is set up, if any."""
    if request["ask"] == "block":
        return {"seconds": prepared[0].block_s()}
    if request["ask"] == "names":
        return {"names": list(load_cells(request["file"]))}
    if request["ask"] == "prepare":
        prepared.clear()
        pinned = processors()
        if not request["pinned"]:
            pin(_ALL)
        try:
            cell = PreparedCell(request["cell"], request["work"], request["slow_down"])
            prepared.append(cell)
            check_modules()
        finally:
            pin(pinned)
        return {"work": cell.work}
    from bench.measure.environment import environment

    return {"tree": str(Path(sys.modules["bench"].__file__ or "")), "environment": environment()}


def check_modules() -> None:
    """Check that no module is of another checkout, such as an editable install would bring in.

    Raises:
        NotTimed: one is.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        beside = getattr(module, "__package__", None) == __package__
        if not beside and in_other_checkout(file):
            raise NotTimed(
                "failed",
                f"{name} was imported from {file}, which is not of the commit that is timed: in "
                "the file of cells, BUILD = 'pip install --no-deps --target . .' puts it there",
            )


def in_other_checkout(file: str) -> bool:
    """Whether a module's file is of another checkout, and not installed in an environment there.

    Checkouts and environments may lie within each other. The innermost one counts.
    """
    if not file.startswith(os.sep) or "site-packages" in file or "dist-packages" in file:
        return False  # torch makes up modules with a name alone
    others = other_checkouts()
    library = {folder_of(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    # Where an environment is a whole checkout, its library alone counts.
    environments = {folder_of(path) for path in (sys.prefix, sys.base_prefix)} - set(others)
    known = {folder_of(os.environ["BENCH_TREE"]), *library, *environments, *others}
    at = folder_of(file.rpartition(os.sep)[0])
    return max((folder for folder in known if at.startswith(folder)), key=len, default="") in others


@cache
def folder_of(path: str) -> str:
    """The real path, with a separator at its end. Cached: thousands of modules are looked at."""
    return f"{os.path.realpath(path)}{os.sep}"


@cache
def other_checkouts() -> tuple[str, ...]:
    """Other worktrees of this repository, the user's own among them."""
    tree = folder_of(os.environ["BENCH_TREE"])
    command = ["git", "worktree", "list", "--porcelain"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    listed = [line.split(" ", 1)[1] for line in lines if line.startswith("worktree ")]
    return tuple(folder for folder in map(folder_of, listed) if folder != tree)


def processors() -> set[int]:
    """The processors that this process may use; empty where that can't be told."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


_ALL = processors()


def pin(cpus: set[int]) -> None:
    """Restrict all threads of this process to these processors."""
    if cpus != processors():
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cpus)


def fork() -> dict[str, Any]:
    """Go on in a child, which has nothing of earlier cells; when it has ended, here."""
    child = os.fork()
    if not child:
        return {"forked": True}
    return {"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def main() -> None:
    """Answer requests until there are no more."""
    cpu, modules = sys.argv[1], sys.argv[2:]
    # What libraries print must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in modules:
        # An older tree may lack a module. Where a cell needs one that fails, it fails again, and
        # that is the cell's result.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with contextlib.suppress(NotTimed):
        check_modules()  # fills the caches above, for all children
    # Never collect what was loaded: that takes a third of a second, and copies shared pages.
    gc.collect()
    gc.freeze()
    if cpu:  # only now: to load code, both sides may use all processors
        pin({int(cpu)})
    prepared: list[PreparedCell] = []
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["ask"] == "leave":
                os._exit(0)
            reply = fork() if request["ask"] == "fork" else answer(request, prepared)
        except NotTimed as error:
            reply = {"status": error.status, "reason": str(error)}
        except Exception as error:  # whatever a commit under test raises is its cell's result
            words = " ".join(str(error).split())
            reply = {"status": "failed", "reason": f"{type(error).__name__}: {words}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
