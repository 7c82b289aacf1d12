"""The cells that a comparison times: those of a suite, or the user's own from a file."""

from __future__ import annotations

from pathlib import Path

from bench.cells.definitions import Suite
from bench.cells.plan import expand
from bench.compare.comparison import Cell
from bench.compare.processes import SideProcess
from bench.compare.workloads import NotTimed
from bench.errors import InputError


def suite_cells(suite: Suite) -> list[Cell]:
    """The value and gradient of each kernel of a suite, and the run of each optimizer.

    Seeds and repetitions make no cells of their own here, since sampling repeats each cell itself.
    Cells that share a process stand together, so that it can keep its problem and kernel.

    Raises:
        InputError: see `expand`.
    """
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


def file_cells(file: str, trees: tuple[Path, Path]) -> list[Cell]:
    """The cells of a file, in head's order; those that base alone has stand last.

    Raises:
        InputError: neither worktree has cells there. The message gives head's reason.
    """
    names: list[str] = []
    reasons: list[str] = []
    for tree in reversed(trees):
        process = SideProcess(tree, None, suite=False)
        try:
            names += process.names(file)
        except NotTimed as error:
            reasons.append(str(error))
        finally:
            process.close()
    if not names:
        reason = reasons[0] if reasons else "cells() returns none"
        raise InputError(f"--cells {file}: {reason}")
    return [Cell(problem=name, file=file) for name in dict.fromkeys(names)]
