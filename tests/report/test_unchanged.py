"""A report that is up to date is not written again; whatever it depends on makes it anew."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_cases import REPORT, Command, commands_in
from test_report import kernel_record, run_record, runs

import bench.report.write
from bench.records import Record, RecordStore
from bench.records.results import Results
from bench.report.unchanged import last_written, state_of
from bench.report.write import write_report

RECORDS = [*runs("a", [0.1] * 3), *runs("b", [0.2, None, 0.3])]
FOLDER = Path("results")


@pytest.fixture
def report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """`python -m bench.report`, by default with --no-run, in a folder with records."""
    run = commands_in(tmp_path, monkeypatch, capfd)
    RecordStore(FOLDER).append(RECORDS)
    return lambda *arguments: run(*(arguments or ["--no-run"]), module=REPORT)


def files() -> dict[str, int]:
    """Every file of the report, with the time of its last change."""
    paths = (p for p in FOLDER.rglob("*") if p.is_file() and p.name != "records.jsonl")
    return {str(path): path.stat().st_mtime_ns for path in paths}


def test_nothing_is_written_again_and_the_same_is_printed(report: Command) -> None:
    first = report()
    assert first.code == 0
    assert first.err == "bench: 6 records in results: writing the report\n"
    before = files()
    again = report()
    assert (again.code, again.out) == (first.code, first.out)
    assert again.err == "bench: nothing has changed since the report in results was written\n"
    assert files() == before


def test_failed_cells_are_still_exit_1(report: Command) -> None:
    RecordStore(FOLDER).append([run_record("c", status="failed", message="no descent")])
    assert [report().code, report().code] == [1, 1]


def append_a_record() -> None:
    RecordStore(FOLDER).append([run_record("c", 0, {"1e-6": 0.01})])


def remove_a_plot() -> None:
    (FOLDER / "plots" / "ecdf.svg").unlink()


def edit_a_table() -> None:
    (FOLDER / "tables" / "summary.md").write_text("mine")


def spoil_what_is_kept() -> None:
    (FOLDER / ".report.json").write_text('{"state": 1}')


@pytest.mark.parametrize(
    "change", [append_a_record, remove_a_plot, edit_a_table, spoil_what_is_kept]
)
def test_what_changed_is_written_anew(report: Command, change: Callable[[], None]) -> None:
    report()
    change()
    assert "writing the report" in report().err
    assert (FOLDER / "plots" / "ecdf.svg").exists()
    assert (FOLDER / "tables" / "summary.md").read_text().startswith("| optimizer")
    assert "nothing has changed" in report().err


def test_a_suite_that_was_complete_is_not_looked_through_again(
    report: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch takes seconds to import, and only a suite that may be incomplete needs it."""
    looked = []

    def run_suite(suite: object, folder: Path, **_: object) -> Results:
        looked.append(folder)
        return Results(())

    monkeypatch.setattr("bench.cells.run.run_suite", run_suite)
    monkeypatch.setattr("bench.measure.environment.machine", lambda: "m1")
    monkeypatch.setattr("bench.cells.kept.older_records", lambda _: "")
    all_here = ("--results", "results")
    assert report(*all_here).err.startswith("bench: 6 records in results: importing torch")
    assert looked == [FOLDER]
    remove_a_plot()
    assert report(*all_here).err == "bench: 6 records in results: writing the report\n"
    assert looked == [FOLDER]
    append_a_record()
    report(*all_here)
    assert looked == [FOLDER, FOLDER]


def test_that_records_are_older_is_said_each_time(
    report: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cells.kept.unfinished_suite", lambda _: None)
    monkeypatch.setattr("bench.cells.kept.older_records", lambda of: f"{len(of)} are older")
    monkeypatch.setattr("bench.measure.environment.machine", lambda: "m1")
    reports = [report("--results", "results"), report("--results", "results")]
    remove_a_plot()
    reports.append(report("--results", "results"))
    assert [done.err.splitlines()[1:] for done in reports] == [["6 are older"]] * 3
    assert "are older" not in report().err  # with --no-run nothing would be measured anew


def test_the_state_follows_settings_and_what_was_asked(
    report: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {state_of(FOLDER, True), state_of(FOLDER, True), state_of(FOLDER, False)}
    monkeypatch.setattr("bench.report.unchanged.version", lambda _: "99")
    states.add(state_of(FOLDER, True))
    monkeypatch.setattr("bench.report.unchanged.machine", lambda: "another")
    states.add(state_of(FOLDER, True))
    assert len(states) == 4
    assert last_written(FOLDER) is None


def test_an_unchanged_report_loads_nothing_heavy(report: Command) -> None:
    report()
    code = (
        "import sys\n"
        "from bench.report.command import report\n"
        "report.main(['--no-run'], standalone_mode=False)\n"
        "print([n for n in ('torch', 'numpy', 'pandas', 'matplotlib') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nothing has changed" in done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# ------------------------------------------------------------------------- two processes draw


MANY = [
    record
    for problem in ("iris", "wine", "digits")
    for record in runs("a", [0.1, 0.2], problem=problem)
] + [kernel_record("numpy", [1e-5, 2e-5], "numpy")]


def contents(records: list[Record], folder: Path) -> dict[str, bytes]:
    written = write_report(Results(tuple(records)), folder)
    return {path.name: path.read_bytes() for path in written.plots}


@pytest.mark.parametrize("interpreter", [sys.executable, "/bin/false"], ids=["works", "fails"])
def test_plots_are_the_same_whichever_process_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    monkeypatch.setattr(bench.report.write, "_MANY_PLOTS", 99)
    alone = contents(MANY, tmp_path / "alone")
    monkeypatch.setattr(bench.report.write, "_MANY_PLOTS", 10)
    monkeypatch.setattr("multiprocessing.spawn._python_exe", os.fsencode(interpreter))
    assert contents(MANY, tmp_path / "beside") == alone
    assert len(alone) == 2 * (2 * 3 + 4)
