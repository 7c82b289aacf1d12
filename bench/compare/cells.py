"""The cells of our suites that a comparison times."""

from __future__ import annotations

from bench.cells.definitions import chosen_suite
from bench.cells.plan import expand
from bench.compare.comparison import Cell


def suite_cells(
    problems: tuple[str, ...], optimizers: tuple[str, ...], kernels: tuple[str, ...]
) -> list[Cell]:
    """The value and gradient of each kernel, and the run of each optimizer.

    Seeds and repetitions make no cells of their own here, since sampling repeats each cell itself.
    Cells that share a process stand together, so that it can keep its problem and kernel.

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
