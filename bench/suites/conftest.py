"""pytest-benchmark's side of the suites: options, machine info, and records for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from bench.measure.environment import environment
from bench.records import Record, RecordStore
from bench.suites.session import Session

SUITE = "pytest"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the records go that the report reads."""
    parser.addoption(
        "--bench-results",
        default="results",
        metavar="DIR",
        help="folder that the suites append their records to (default: results)",
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
