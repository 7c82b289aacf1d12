"""pytest-benchmark's side of the suites: options, machine info, records, and the gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.comparisons import REGRESSIONS, Cell, Comparison
from bench.measure.environment import environment
from bench.records import Record, RecordStore
from bench.suites.session import Session

SUITE = "pytest"
_COMPARISON = pytest.StashKey[Comparison]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the records go that the report reads, and the gate."""
    parser.addoption(
        "--bench-results",
        default="results",
        metavar="DIR",
        help="folder that the suites append their records to (default: results)",
    )
    parser.addoption(
        "--bench-gate",
        action="store_true",
        help="compare the tests' cells with a base commit, in turns; what is SLOWER fails its test",
    )
    parser.addoption(
        "--bench-gate-base",
        metavar="REF",
        help="the base of --bench-gate (default: where this branch left main)",
    )
    parser.addoption(
        "--bench-gate-minutes",
        type=float,
        default=8.0,
        metavar="M",
        help="budget of --bench-gate (default: 8)",
    )


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """GPU, threads in effect, BLAS and versions, beside what pytest-benchmark finds itself."""
    machine_info["environment"] = environment()


@pytest.fixture(scope="session")
def results_folder(pytestconfig: pytest.Config) -> Path:
    """The folder named by --bench-results, relative to where pytest was started."""
    folder: str = pytestconfig.getoption("--bench-results")
    return pytestconfig.invocation_params.dir / folder


@pytest.fixture(scope="session")
def session(results_folder: Path) -> Session:
    """Optima and bound kernels, shared by all benchmarks of this run."""
    return Session(SUITE, results_folder)


@pytest.fixture(scope="session")
def keep(results_folder: Path) -> Callable[[Iterable[Record]], None]:
    """Append records to the results folder."""
    return RecordStore(results_folder).append


def cell_of(item: pytest.Item) -> Cell | None:
    """The cell that a test of the suites times; None for one that times something else."""
    parameters: Mapping[str, str] = getattr(getattr(item, "callspec", None), "params", {})
    if "problem" not in parameters or "device" not in parameters:
        return None
    return Cell(
        problem=parameters["problem"],
        kernel=parameters.get("kernel", "torch-autograd"),
        optimizer=parameters.get("optimizer", ""),
        device=parameters["device"],
        dtype=parameters.get("dtype", "float64"),
    )


@pytest.fixture(scope="session")
def comparison(request: pytest.FixtureRequest, results_folder: Path) -> Comparison:
    """All collected cells compared with the base, once; see `python -m bench compare`."""
    from bench.report.comparison import write_comparison
    from bench.suites.plan import why_not_timed
    from bench.track.compare import Commits, compare_commits
    from bench.track.sampling import Plan

    cells = dict.fromkeys(filter(None, map(cell_of, request.session.items)))
    able = [cell for cell in cells if not why_not_timed(cell.kernel, cell.device)]
    option = request.config.getoption
    found = compare_commits(
        Commits(option("--bench-gate-base"), folder=request.config.rootpath),
        able,
        Plan(minutes=option("--bench-gate-minutes")),
    )
    write_comparison(found, results_folder)
    request.config.stash[_COMPARISON] = found
    return found


@pytest.fixture(autouse=True)
def gate(request: pytest.FixtureRequest) -> None:
    """With --bench-gate, the test of a cell that is SLOWER than the base's fails."""
    cell = cell_of(request.node)
    if cell is None or not request.config.getoption("--bench-gate"):
        return
    comparison: Comparison = request.getfixturevalue("comparison")
    for result in comparison.cells:
        if result.cell == cell and result.verdict in REGRESSIONS:
            ratio = f"{result.ratio:.2f}x of base's time" if result.ratio else result.reason
            pytest.fail(f"{result.verdict}: {cell}: {ratio}", pytrace=False)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What the gate found, in words."""
    if _COMPARISON in config.stash:
        from bench.report.comparison import describe_sides, headline, notable, readable

        found = config.stash[_COMPARISON]
        terminalreporter.section("bench gate")
        terminalreporter.line(headline(found))
        terminalreporter.line(describe_sides(found))
        if notable(found):
            frame = readable(notable(found))
            terminalreporter.line(frame.to_markdown(index=False, disable_numparse=True))
