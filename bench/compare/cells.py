"""Which cells a comparison is of: those of a suite, or of a file of the user's own."""

from __future__ import annotations

from pathlib import Path

from bench.cells.definitions import Suite
from bench.cells.plan import expand
from bench.compare.comparison import Cell
from bench.compare.processes import SideProcess
from bench.compare.units import NotTimed
from bench.errors import InputError


def suite_cells(suite: Suite) -> list[Cell]:
    """Each kernel's value and gradient and each optimizer's run, of all places of a suite.

    Seeds and repetitions are the sampling's own business here: each is the same cell. Cells of one
    place come one after the other, so that a side can keep its problem and kernel.

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
    places = list(dict.fromkeys(cell.place for cell in cells))
    return sorted(dict.fromkeys(cells), key=lambda cell: places.index(cell.place))


def file_cells(file: str, trees: tuple[Path, Path]) -> list[Cell]:
    """The cells of a file that is in either tree, in head's order, those of base alone last.

    Raises:
        InputError: neither tree has cells there; with head's reason.
    """
    names: list[str] = []
    reasons: list[str] = []
    for tree in reversed(trees):
        process = SideProcess(tree, (), 1, suite=False)
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
