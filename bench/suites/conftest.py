"""Options, machine info, records and the gate of the pytest-benchmark suites."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.suites import gate

if TYPE_CHECKING:
    from bench.cells.session import Session
    from bench.records import Record


def _number(what: str, least: float, most: float) -> Callable[[str], float]:
    """A type for argparse: numbers from `least` to `most`; `what` says so in words."""

    def number(text: str) -> float:
        with suppress(ValueError):
            if least <= float(text) <= most:
                return float(text)
        raise argparse.ArgumentTypeError(f"{what}, not {text!r}")

    return number


def pytest_addoption(parser: pytest.Parser) -> None:
    """The folder of records, and the options of the gate."""
    parser.addoption(
        "--bench-results",
        default="results",
        metavar="DIR",
        help="folder that the suites append their records to (default: results)",
    )
    parser.addoption(
        "--bench-gate",
        action="store_true",
        help="compare the tests' cells with a base commit in turns; a SLOWER cell fails its test",
    )
    parser.addoption(
        "--bench-gate-base",
        metavar="REF",
        help="the base of --bench-gate (default: where this branch left main)",
    )
    parser.addoption(
        "--bench-gate-minutes",
        type=_number("minutes are a number above 0", math.ulp(0.0), math.inf),
        metavar="M",
        help="time limit of --bench-gate (default: 8)",
    )
    parser.addoption(
        "--bench-gate-threshold",
        type=_number("a threshold is from 0.001 to 1", 0.001, 1.0),
        metavar="T",
        help="the smallest slow-down that matters to --bench-gate (default: 0.05)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the gate where its option is given."""
    config.addinivalue_line(
        "markers",
        f"{gate.MARK}(**parameters): the cell that is timed, with the test's own parameters",
    )
    if not config.getoption("--bench-gate"):
        for option in ("--bench-gate-base", "--bench-gate-minutes", "--bench-gate-threshold"):
            if config.getoption(option):
                raise pytest.UsageError(f"{option} is for --bench-gate: give both")
        return
    if not config.getoption("--benchmark-only"):
        raise pytest.UsageError("--bench-gate is for benchmarks: add --benchmark-only")
    config.pluginmanager.register(gate, "bench-gate")


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add GPU, threads, BLAS and versions to what pytest-benchmark finds."""
    from bench.measure.environment import environment

    machine_info["environment"] = environment()


@pytest.fixture(scope="session")
def results_folder(pytestconfig: pytest.Config) -> Path:
    """The folder named by --bench-results, relative to where pytest was started."""
    folder: str = pytestconfig.getoption("--bench-results")
    return pytestconfig.invocation_params.dir / folder


@pytest.fixture(scope="session")
def session(results_folder: Path) -> Session:
    """Optima and bound kernels, shared by all benchmarks of this run."""
    from bench.cells.session import Session

    return Session("pytest", results_folder)


@pytest.fixture(scope="session")
def keep(results_folder: Path) -> Callable[[Iterable[Record]], None]:
    """Append records to the results folder."""
    from bench.records import RecordStore

    return RecordStore(results_folder).append
