"""Options that commands share: their variables, and the checks before anything is measured."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_cases import BENCH, COMMANDS, REPORT, Command, commands_in

import bench.counters.count
from bench.command.doors import commands_of, name_variables
from bench.command.options import check_file, refuse_given
from bench.counters.counters_file import Counters, as_json
from bench.errors import InputError
from bench.records import RecordStore

COUNTED = Counters(
    runs={}, reads_of_x={}, cuda={}, settings={}, environment={"torch": "2"}, not_counted={}
)
NO_FILES = Path("/proc")  # a folder in which not even root can make a file


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in this process, in an empty folder."""
    return commands_in(tmp_path, monkeypatch, capfd)


# ------------------------------------------------------------------------------ variables


def options(command: click.Command, name: str) -> Iterator[tuple[str, click.Option]]:
    """The options of a command and of those below it, each with its command's words."""
    for below, one in commands_of(command).items():
        yield from options(one, f"{name} {below}")
    yield from ((name, p) for p in command.params if isinstance(p, click.Option))


@pytest.mark.parametrize(
    ("name", "option", "variable"),
    [
        ("BENCH compare", "--cells", "BENCH_COMPARE_CELLS"),
        ("BENCH compare", "--results", "BENCH_COMPARE_RESULTS"),
        ("BENCH compare", "-p", "BENCH_COMPARE_PROBLEM"),
        ("BENCH selfcheck compare", "--repeats", "BENCH_SELFCHECK_COMPARE_REPEATS"),
        ("BENCH counters", "--counters", "BENCH_COUNTERS_COUNTERS"),
        ("BENCH history", "--export", "BENCH_HISTORY_EXPORT"),
        ("BENCH roofline", "--case", "BENCH_ROOFLINE_CASE"),
        ("BENCH run", "-k", "BENCH_RUN_KERNEL"),
        ("BENCH selfcheck recorder", "--rounds", "BENCH_SELFCHECK_RECORDER_ROUNDS"),
    ],
)
def test_a_variable_is_called_after_the_command_and_the_long_option(
    name: str, option: str, variable: str
) -> None:
    name_variables(COMMANDS[BENCH], "BENCH")
    every = options(COMMANDS[BENCH], "BENCH")
    (found,) = [one for where, one in every if where == name and option in one.opts]
    assert found.envvar == variable


def test_every_option_has_a_variable_of_its_own() -> None:
    name_variables(COMMANDS[BENCH], "BENCH")
    name_variables(COMMANDS[REPORT], "BENCH_REPORT")
    found = [o.envvar for _, o in options(COMMANDS[BENCH], "")]
    assert {o.envvar for _, o in options(COMMANDS[REPORT], "")} <= set(found)
    assert len(found) > 50
    assert None not in found
    assert len(set(found)) == len(found)


def test_variables_of_run_and_report(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("RUN", "REPORT"):
        monkeypatch.setenv(f"BENCH_{program}_PROBLEM", "iris wine")
        monkeypatch.setenv(f"BENCH_{program}_OPTIMIZER", "lbfgs")
        monkeypatch.setenv(f"BENCH_{program}_KERNEL", "numpy")
        monkeypatch.setenv(f"BENCH_{program}_RESULTS", program.lower())
        monkeypatch.setenv(f"BENCH_{program}_SEEDS", "1")
        monkeypatch.setenv(f"BENCH_{program}_SUITE", "")  # empty: not set
    assert command("run", "--passes", 3).code == 0
    assert {r.problem for r in RecordStore(Path("run")).read()} == {"iris", "wine"}
    assert command("run", "--passes", 3, "--results", "typed", "-p", "iris").code == 0
    assert {r.problem for r in RecordStore(Path("typed")).read()} == {"iris"}
    assert command(module=REPORT).code == 0
    assert Path("report/index.html").exists()


def test_a_bad_value_that_nobody_typed_names_its_variable(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_COMPARE_MINUTES", "soon")
    command("compare").is_one_line("--minutes", "'soon'", "set by BENCH_COMPARE_MINUTES")
    done = command("compare", "--minutes", "late")
    done.is_one_line("'late'")
    assert "BENCH_COMPARE_MINUTES" not in done.err


# ------------------------------------------------------------------------------ unused options


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-a", "1"], "-a/--alpha does nothing here: leave it out"),
        (["--beta", "--alpha", "0"], "-a/--alpha and --beta do nothing here: leave them out"),
        (["--gamma", "1"], None),
        ([], None),
    ],
    ids=str,
)
def test_only_what_was_given_is_refused(arguments: list[str], says: str | None) -> None:
    @click.command()
    @click.option("-a", "--alpha", "first", default="0")
    @click.option("--beta", "second", is_flag=True)
    @click.option("--gamma", "third", default="0")
    def some(**_: object) -> None:
        refuse_given(("--alpha", "--beta"), "here")

    if says is None:
        some.main(arguments, standalone_mode=False)
    else:
        with pytest.raises(InputError) as refused:
            some.main(arguments, standalone_mode=False)
        assert str(refused.value) == says


# ------------------------------------------------------------------------------ before measuring


@pytest.fixture
def not_counted(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters that are there, and a count that must not begin."""
    Path("results").mkdir()
    Path("results/counters.json").write_text(as_json(COUNTED))

    def refuse(*_: object) -> None:
        raise AssertionError("it was measured")

    monkeypatch.setattr(bench.counters.count, "count_pinned", refuse)


@pytest.mark.skipif(not NO_FILES.is_dir(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["counters", "--check", "--summary", NO_FILES / "x"], "--summary"),
        (["counters", "--check", "--output", NO_FILES / "x"], "--output"),
        (["counters", "--update", "--counters", NO_FILES / "x"], "--counters"),
        (["compare", "--results", NO_FILES], "--results"),
        (["compare", "--results", NO_FILES / "x" / "y"], "--results"),
        (["selfcheck", "compare", "--summary", NO_FILES / "x"], "--summary"),
        (["roofline", "--results", NO_FILES / "x"], "--results"),
        (["run", "--results", NO_FILES / "x"], "--results"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_where_nothing_can_be_written_is_said_at_once(
    command: Command, not_counted: None, arguments: list[str], option: str
) -> None:
    says = f"{option} {arguments[-1]}: nothing can be written to /proc: "
    command(*arguments).is_one_line(says, "name another")
    assert [str(p) for p in Path().rglob("*")] == ["results", "results/counters.json"]


@pytest.mark.skipif(not NO_FILES.is_dir(), reason="Linux refuses to write to what runs")
def test_a_file_that_can_t_be_appended_to_is_said_at_once(
    command: Command, not_counted: None
) -> None:
    shutil.copy(str(shutil.which("sleep")), "sleep")
    running = subprocess.Popen([Path("sleep").resolve(), "60"])
    try:
        command("counters", "--check", "--summary", "sleep").is_one_line(
            "--summary sleep can't be written to: Text file busy"
        )
    finally:
        running.kill()
        running.wait()


def test_what_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("as it was")
    os.mkfifo(tmp_path / "pipe")
    for name in ("there", "new", "pipe"):
        check_file("--summary", tmp_path / name)
    assert (tmp_path / "there").read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "there"]


def test_an_interrupted_count_starts_anew(
    command: Command, not_counted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.counters.count, "count_pinned", interrupt)
    done = command("counters", "--check")
    assert done.code == 130
    assert done.err.splitlines()[-1] == "error: interrupted; the same command starts anew"
