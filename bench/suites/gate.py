"""The gate of `pytest --benchmark-only --bench-gate`: a cell that is SLOWER fails its test.

`conftest.py` registers this plugin where the option is given. The tests time one commit. The
comparison times both commits in turns; it is made once, before the first test.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from bench.compare.comparison import Cell, Comparison
from bench.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MARK = "bench_cell"
_PARAMETERS = ("problem", "kernel", "optimizer", "device", "dtype")
_COMPARISON = pytest.StashKey[Comparison]()


def cell_of(item: pytest.Item) -> Cell | None:
    """The cell that a test times, by its parameters and those of its mark `bench_cell`.

    None for a test without the mark: what it times is no cell of `bench compare`.
    """
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    named = {name: parameters[name] for name in _PARAMETERS if name in parameters}
    return Cell(**named, **mark.kwargs)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compare all collected cells before the first that is timed; see `bench compare`."""
    if cell_of(item) is None or _COMPARISON in item.config.stash:
        return
    try:
        item.config.stash[_COMPARISON] = _compare(item.session)
    except InputError as error:
        words = _with_options_of_pytest(" ".join(str(error).split()))
        pytest.exit(f"--bench-gate: {words}", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Time as without the gate, then fail the test if its cell is a regression."""
    yield
    cell, found = cell_of(item), item.config.stash.get(_COMPARISON, None)
    for result in found.regressions if found else ():
        if result.cell == cell:
            ratio = f"{result.ratio:.2f}x of base's time" if result.ratio else result.reason
            pytest.fail(f"{result.verdict}: {cell}: {ratio}", pytrace=False)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What the gate found, in words."""
    from bench.compare.report import describe_sides, headline, notable, readable_table

    found = config.stash.get(_COMPARISON, None)
    if found is None:
        return
    terminalreporter.section("bench gate")
    terminalreporter.line(headline(found))
    for line in describe_sides(found).splitlines():
        advice = line.startswith("note: ")
        terminalreporter.line(_with_options_of_pytest(line) if advice else line)
    if notable(found):
        terminalreporter.line(readable_table(notable(found)))


def _compare(session: pytest.Session) -> Comparison:
    """Compare the cells of the tests that are not skipped, each once."""
    from bench.cells.plan import why_skipped
    from bench.compare.compare_commits import Commits, compare_commits
    from bench.compare.report import write_comparison
    from bench.compare.sampling import Plan

    config = session.config
    results: Path = config.invocation_params.dir / config.getoption("--bench-results")
    cells = dict.fromkeys(cell for cell in map(cell_of, session.items) if cell)
    found = compare_commits(
        Commits(config.getoption("--bench-gate-base"), folder=config.rootpath),
        [cell for cell in cells if not why_skipped(cell.kernel, cell.device, cell.dtype)],
        Plan(
            threshold=config.getoption("--bench-gate-threshold") or 0.05,
            minutes=config.getoption("--bench-gate-minutes") or 8.0,
        ),
    )
    write_comparison(found, results)
    found.require_timed()
    return found


def _with_options_of_pytest(words: str) -> str:
    """Advice of `bench compare`, with the names that its options have in pytest."""
    return re.sub(r"--(base|minutes|threshold)(?![\w-])", r"--bench-gate-\1", words)
