"""Run the cells of a suite that have no record, and append the record of each when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.cells.cell import KernelCell, RunCell
from bench.cells.definitions import Suite
from bench.cells.plan import expand
from bench.cells.session import Session
from bench.command.progress import OnProgress, Progress
from bench.errors import InputError
from bench.records import RecordStore
from bench.records.results import Results


def run_suite(
    suite: Suite,
    folder: Path | None = None,
    *,
    rerun: bool = False,
    on_progress: OnProgress | None = None,
) -> Results:
    """The records of all cells of a suite. Those that `folder` does not hold are run now.

    Args:
        suite: what to run.
        folder: a results folder; None keeps nothing.
        rerun: run every cell, even if it has a record.
        on_progress: told before each cell.
    Returns:
        The records of the suite's cells, in the suite's order.
    Raises:
        InputError: the suite names something unknown, or another run uses the folder.
    """
    timings, runs = expand(suite)
    with _locked(folder):
        store = RecordStore(folder) if folder else None
        records = {} if rerun or not store else {r.key: r for r in store.read()}
        missing_timings = [c for c in timings if any(c.key(k) not in records for k in c.kernels)]
        missing_runs = [c for c in runs if c.key not in records]
        total = len(missing_timings) + len(missing_runs)
        session = Session(suite.name, folder)
        pending: list[KernelCell | RunCell] = [*missing_timings, *missing_runs]
        for done, cell in enumerate(pending):
            if on_progress:
                on_progress(Progress(done, total, str(cell)))
            if isinstance(cell, KernelCell):
                new = session.time_kernels(cell)
            else:
                new = [session.run(cell)]
            records |= {record.key: record for record in new}
            if store:
                store.append(new)
        if on_progress:
            on_progress(Progress(total, total, "done"))
    keys = [cell.key(kernel) for cell in timings for kernel in cell.kernels]
    keys += [cell.key for cell in runs]
    return Results(tuple(records[key] for key in keys))


@contextmanager
def _locked(folder: Path | None) -> Iterator[None]:
    """Allow one run at a time in a folder: two would slow each other down."""
    if folder is None:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"can't keep results in {folder}: {error.strerror}: use another --results folder"
        ) from None
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise InputError(
            f"another run is using {folder}: wait for it, or use another --results folder"
        ) from None
