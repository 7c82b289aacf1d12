"""One side of a comparison: a process that times cells of its own tree, a block at a time.

Run as a file, `python -P worker.py CPUS THREADS MODULES...`, with the side's tree first in
PYTHONPATH: `bench` and `logreg_kernels` are then that tree's, while this file is the same for both
sides, so that commits older than it can be compared, too. It answers each line of JSON on its
standard input with one line on its standard output:

    {"ask": "environment"}                  {"tree": ..., "environment": {...}}
    {"ask": "names", "file": F}             {"names": [...]}, of a file of cells
    {"ask": "open", "cell": C, "work": W,   {"work": W}, found here where it was null
     "slow_down": s, "pinned": p}
    {"ask": "block"}                        {"seconds": t}, of one unit of the cell's work
    {"ask": "fork"}                         {"forked": true}, from a child that answers from here on
    {"ask": "leave"}                        {"ended": 0}, from its parent, which goes on

What can't be done is answered with {"status": S, "reason": R}. For a child that ends unasked its
parent answers with its exit code: {"ended": 3}.
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
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

if not __package__:  # run as a file: what lies beside it is the same for both sides, too
    __package__ = "bench_side"
    _beside = ModuleType(__package__)
    _beside.__path__ = [str(Path(__file__).parent)]
    sys.modules[__package__] = _beside

from .open_cell import OpenCell
from .units import NotTimed, load_cells


def answer(request: Mapping[str, Any], opened: list[OpenCell]) -> dict[str, Any]:
    """The reply to one request; `opened` holds the open cell, if any."""
    if request["ask"] == "block":
        return {"seconds": opened[0].block()}
    if request["ask"] == "names":
        return {"names": list(load_cells(request["file"]))}
    if request["ask"] == "open":
        opened.clear()
        pinned = processors()
        if not request["pinned"]:
            pin(_ALL)
        try:
            opened.append(OpenCell(request["cell"], request["work"], request["slow_down"]))
            check_modules()
        finally:
            pin(pinned)
        return {"work": opened[0].work}
    from bench.measure.environment import environment

    return {"tree": str(Path(sys.modules["bench"].__file__ or "")), "environment": environment()}


def check_modules() -> None:
    """What is timed must be of this side's tree: an editable install leads to another checkout.

    Raises:
        NotTimed: a module came from there.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        beside = getattr(module, "__package__", None) == __package__
        if not beside and in_other_checkout(file):
            raise NotTimed(
                "failed",
                f"{name} was imported from {file}, which is not of the commit that is timed: put "
                "it where the commit's files are, by --build 'pip install --no-deps --target . .'",
            )


def in_other_checkout(file: str) -> bool:
    """Whether a module's file is of another checkout, and not installed in an environment there.

    Each may lie in any other: the innermost folder is what a file is of.
    """
    if not file.startswith(os.sep) or "site-packages" in file or "dist-packages" in file:
        return False  # torch makes up modules with a name alone
    at = folder_of(file.rpartition(os.sep)[0])
    known = (own_tree(), *installed(), *other_checkouts())
    innermost = max((folder for folder in known if at.startswith(folder)), key=len, default="")
    return innermost in other_checkouts()


@cache
def folder_of(path: str) -> str:
    """With its separator and without links; kept, as thousands of modules are asked about."""
    return f"{os.path.realpath(path)}{os.sep}"


def own_tree() -> str:
    """This side's tree."""
    return folder_of(os.environ["BENCH_TREE"])


def installed() -> tuple[str, ...]:
    """Where Python, its library and its environment are; of an environment that is a whole
    checkout its library alone."""
    library = {folder_of(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    prefixes = {folder_of(path) for path in (sys.prefix, sys.base_prefix)}
    return tuple(library | prefixes - set(other_checkouts()))


@lru_cache(maxsize=1)
def other_checkouts() -> tuple[str, ...]:
    """Where else this repository is checked out, the user's own working tree among them."""
    command = ["git", "worktree", "list", "--porcelain"]
    done = subprocess.run(command, cwd=own_tree(), capture_output=True, text=True)
    lines = done.stdout.splitlines()
    listed = [line.split(" ", 1)[1] for line in lines if line.startswith("worktree ")]
    folders = [folder_of(path) for path in listed]
    return tuple(folder for folder in folders if folder != own_tree())


def processors() -> set[int]:
    """Those that this process may use; empty where that can't be told."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


_ALL = processors()


def pin(cpus: set[int]) -> None:
    """Use these processors alone, in all threads there are."""
    if cpus != processors():
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cpus)


def fork() -> dict[str, Any]:
    """Reply from a child, in which nothing that earlier cells left behind is; and when that has
    ended, from here."""
    child = os.fork()
    if not child:
        return {"forked": True}
    return {"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def main() -> None:
    """Answer requests until there are no more."""
    cpus, threads, modules = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    # What libraries print must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in modules:
        # An older tree may have other modules; what fails fails again where a cell needs it, and
        # is that cell's result.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    with contextlib.suppress(NotTimed):
        check_modules()  # so that children know all folders
    # What was loaded stays: a full collection would take a third of a second, and copy its pages.
    gc.collect()
    gc.freeze()
    if cpus:  # from here on: to load code, both sides may use all there are
        pin({int(cpu) for cpu in cpus.split(",")})
    opened: list[OpenCell] = []
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["ask"] == "leave":
                os._exit(0)
            reply = fork() if request["ask"] == "fork" else answer(request, opened)
        except NotTimed as error:
            reply = {"status": error.status, "reason": str(error)}
        except Exception as error:  # whatever a commit under test raises is its cell's result
            words = " ".join(str(error).split())
            reply = {"status": "failed", "reason": f"{type(error).__name__}: {words}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
