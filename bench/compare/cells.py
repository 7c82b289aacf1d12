"""The cells that a comparison times: those of a suite, or the user's own from a file."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bench.cells.definitions import chosen_suite
from bench.cells.plan import expand
from bench.compare.comparison import Cell, Side
from bench.compare.processes import SideProcess
from bench.compare.workloads import NotTimed
from bench.errors import InputError
from bench.git import git, without_hook


def suite_cells(
    problems: tuple[str, ...], optimizers: tuple[str, ...], kernels: tuple[str, ...]
) -> list[Cell]:
    """The value and gradient of each kernel, and the run of each optimizer.

    Seeds and repetitions make no cells of their own here, since sampling repeats each cell itself.
    Cells that share a process are next to each other, so that it can keep its problem and kernel.

    Args:
        problems, optimizers, kernels: where none are named, those of the quick suite.
    Raises:
        InputError: see `expand`.
    """
    named = {"problems": problems, "optimizers": optimizers, "kernels": kernels}
    suite = chosen_suite(None, {field: names for field, names in named.items() if names})
    timings, runs = expand(suite)
    cells = [
        Cell(timing.problem.name, kernel, "", timing.device, timing.dtype)
        for timing in timings
        for kernel in timing.kernels
    ]
    cells += [
        Cell(run.problem.name, run.kernel, run.optimizer_name, run.device, run.dtype)
        for run in runs
        if run.unavailable is None
    ]
    keys = list(dict.fromkeys(cell.process_key for cell in cells))
    return sorted(dict.fromkeys(cells), key=lambda cell: keys.index(cell.process_key))


def path_in_repository(file: str, root: Path, folder: Path, sides: Sequence[Side]) -> str:
    """The path, relative to `root`, of a file that is given relative to `root` or to `folder`.

    The first path that a side has is taken.

    Raises:
        InputError: it is outside the repository.
    """
    paths = [path.resolve() for path in (root / file, folder / file)]
    inside = [path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)]
    if not inside:
        raise InputError(
            f"--cells {file} is not in the repository {root}: both commits are to have it"
        )
    for one in sides:
        for path in inside:
            if git("ls-tree", "--name-only", one.commit, "--", path, cwd=root):
                return path
    return inside[0]


def own_cells(file: str, trees: tuple[Path, Path]) -> list[Cell]:
    """The cells of a file, built: those of head, then those that base alone has.

    Raises:
        InputError: a build failed, or neither worktree has cells there. The message gives head's
            reason.
    """
    for tree in trees:
        _build(tree, file)
    names: list[str] = []
    reasons: list[str] = []
    for tree in reversed(trees):
        with closing(SideProcess(tree, None, suite=False)) as process:
            try:
                names += process.ask("names", file=file)["names"]
            except NotTimed as error:
                reasons.append(str(error))
    if not names:
        reason = reasons[0] if reasons else "cells() returns none"
        raise InputError(f"--cells {file}: {reason}")
    return [Cell(problem=name, file=file) for name in dict.fromkeys(names)]


def _build(tree: Path, file: str) -> None:
    """Run `BUILD = "..."` of a file of cells, if it has any; all output goes to standard error."""
    # The file is only parsed: it may import what is yet to be built.
    try:
        statements = ast.parse((tree / file).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return  # `own_cells` says what is wrong
    for statement in statements:
        match statement:
            case ast.Assign([ast.Name("BUILD")], ast.Constant(str(command))) if command:
                environment = without_hook(os.environ)
                done = subprocess.run(command, shell=True, cwd=tree, env=environment, stdout=2)
                if done.returncode:
                    raise InputError(
                        f"BUILD of {file} failed in {tree.name} with exit code {done.returncode}; "
                        "its output is above"
                    )
                return
