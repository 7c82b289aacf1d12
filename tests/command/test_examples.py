"""Every example of every --help is run, with a stub where it would measure for minutes.

Names, files and options are parsed and checked as always; only what follows is replaced.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import history_cases
import numpy as np
import pytest
from command_cases import REPORT, Command, commands_in
from record_cases import ENVIRONMENT, RUN

import bench.__main__
from bench.cells.definitions import Suite
from bench.cells.plan import expand
from bench.command.doors import commands_of
from bench.history.append import append_records
from bench.measure.environment import machine
from bench.records import TARGETS, RecordStore
from bench.records.results import Results

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"^python -m (bench(?:\.report)?) ?(.*)$")


def every_command(command: click.Command) -> Iterator[click.Command]:
    yield command
    for below in commands_of(command).values():
        yield from every_command(below)


def examples() -> list[tuple[str, str]]:
    """Module and arguments of each example; one line may hold several commands."""
    found = []
    for one in every_command(bench.__main__.bench):
        text = re.sub(r"\\\n\s*", "", one.epilog or "")
        commands = (part.strip() for line in text.splitlines() for part in line.split(" && "))
        found += [(m[1], m[2]) for m in map(EXAMPLE.match, commands) if m]
    return list(dict.fromkeys(found))


class MeasuringBegins(Exception):  # noqa: N818 - no error
    """Raised by a stub: all that comes before measuring has passed."""


def begin(*_: Any, **__: Any) -> NoReturn:
    raise MeasuringBegins


def run_suite(suite: Suite, folder: Path | None = None, **_: Any) -> Results:
    """A made-up record for each cell of the suite, whose names are all looked up."""
    score: dict[str, float | None] = dict.fromkeys(
        ("run_s", "spent_s", "gap", "relative_gap"), 1e-3
    )
    for target in TARGETS:
        score |= {f"time_to_{target}_s": 1e-3, f"passes_to_{target}": None}
    records = [
        dataclasses.replace(
            RUN,
            problem=cell.problem.name,
            optimizer=cell.optimizer_name,
            kernel=cell.kernel,
            seed=cell.seed,
            repetition=cell.repetition,
            score=score,
            environment={**ENVIRONMENT, "machine": machine()},
        )
        for cell in expand(suite)[1]
    ]
    if folder:
        RecordStore(folder).append(records)
    return Results(tuple(records))


# Where measuring begins, and what takes its place.
STUBS = {
    "bench.cells.run.run_suite": run_suite,
    "bench.notebook.experiments.run_notebook": begin,
    "bench.compare.compare_commits.compare_commits": begin,
    "bench.compare.error_rates.measure_error_rates": begin,
    "bench.counters.count.count_pinned": begin,
    "bench.roofline.measure.measure": begin,
    "bench.selfcheck.recorder_cost.recorder_cost": begin,
}


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in a repository that has what the examples name, with the stubs in place."""
    run = commands_in(tmp_path, monkeypatch, capfd)
    for name, stub in STUBS.items():
        monkeypatch.setattr(name, stub)
    monkeypatch.setattr("bench.history.commits.HERE", tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    commits = history_cases.repository(tmp_path, 2)
    for seed, folder in enumerate(("results", "results/reference/some-machine")):
        records = history_cases.records_over(commits, np.ones(2), seed)
        RecordStore(Path(folder)).append(records)
    append_records(Path("results"), tmp_path)
    shutil.copy(ROOT / "results" / "counters.json", "results")
    Path("my.csv").write_text("a,target,label\n" + "1,0,0\n2,1,1\n" * 9)

    def here(*arguments: str, module: str) -> Any:
        places = {"/var/lib/bench": "results", "1a2b3c4": commits[0][:7]}
        return run(*(places.get(word, word) for word in arguments), module=module)

    return here


def test_examples_are_seen() -> None:
    seen = {(module, arguments.partition(" ")[0]) for module, arguments in examples()}
    names = set(commands_of(bench.__main__.bench))
    assert {name for _, name in seen} >= names
    assert (REPORT, "") in seen
    assert len(examples()) > 20


@pytest.mark.parametrize(("module", "arguments"), examples(), ids=lambda value: value or "all")
def test_an_example_runs(command: Command, module: str, arguments: str) -> None:
    try:
        done = command(*shlex.split(arguments), module=module)
    except MeasuringBegins:
        return
    assert "error: " not in done.err, done.err
    # A self-check of a bare clock must fail, and made-up seconds prove nothing of the harness.
    assert done.code in ((0, 1) if arguments.startswith("selfcheck") else (0,))
    assert done.out or "--output" in arguments
