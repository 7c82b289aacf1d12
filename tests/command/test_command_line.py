"""The command line: help with examples, one line for bad input, exit codes, whole files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_cases import BENCH, REPORT, Command, Done, commands_in
from filelock import FileLock

import bench
import bench.__main__
from bench.command.doors import commands_of
from bench.records import Record, RecordStore

SMALL = ["-p", "iris", "-o", "lbfgs", "-k", "numpy", "--seeds", "1"]
RUN = ["run", *SMALL]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in this process, in an empty folder."""
    return commands_in(tmp_path, monkeypatch, capfd)


def process(*arguments: Any, module: str = BENCH, folder: Path, **environment: str) -> Done:
    """`python -m module arguments` as a user runs it, without Triton's interpreter."""
    inherited = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    root = str(Path(bench.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=inherited | {"PYTHONPATH": root} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def nothing_written(folder: Path) -> bool:
    return not folder.exists() or {path.name for path in folder.rglob("*")} <= {".lock"}


def records(folder: str = "results") -> list[Record]:
    return RecordStore(Path(folder)).read()


# ------------------------------------------------------------------------------- help and list


@pytest.mark.parametrize(
    ("module", "arguments"),
    [(BENCH, []), (BENCH, ["run"]), (BENCH, ["list"]), (BENCH, ["selfcheck"]), (REPORT, [])],
)
def test_help_shows_examples(command: Command, module: str, arguments: list[str]) -> None:
    done = command(*arguments, "--help", module=module)
    assert (done.code, done.err) == (0, "")
    assert "Example" in done.out
    _, _, examples = done.out.partition("Example")
    assert f"python -m {' '.join([module, *arguments])}" in examples
    assert "Traceback" not in done.out


def test_help_of_run_and_report_names_the_shared_options(command: Command) -> None:
    shared = ["--problem", "--optimizer", "--kernel", "--device"]
    shared += ["--dtype", "--seeds", "--suite", "--results", "-p,", "-o,", "-k,", "-d,"]
    for module, arguments in ((BENCH, ["run"]), (REPORT, [])):
        shown = command(*arguments, "--help", module=module).out
        assert [option for option in shared if option not in shown] == []


def test_every_command_has_a_help_text(command: Command) -> None:
    names = list(commands_of(bench.__main__.bench))
    assert len(names) == 8
    for name in names:
        done = command(name, "--help")
        assert done.code == 0
        assert "Example" in done.out


@pytest.mark.parametrize("module", [BENCH, REPORT])
def test_help_in_a_process_of_its_own_is_quick(tmp_path: Path, module: str) -> None:
    """Help needs no torch: its import alone takes seconds."""
    done = process("--help", module=module, folder=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    assert done.out.startswith(f"Usage: python -m {module}")
    imported = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "click" in imported
    assert "torch" not in imported


def test_list_names_all_there_is(command: Command) -> None:
    done = command("list")
    assert (done.code, done.err) == (0, "")
    for name in ("iris", "breast_cancer", "digits", "synthetic", "file"):
        assert f"  {name}:" in done.out
    for name in ("lbfgs", "sgd", "momentum", "adam"):
        assert f"  {name}:" in done.out
    for name in ("numpy", "torch-autograd", "fused-cuda", "quick", "full", "notebook"):
        assert f"  {name} " in done.out


# ------------------------------------------------------------------------------------ bad usage

SHARED = {
    "unknown problem": (["-p", "irs"], ["'irs'", "did you mean 'iris'", "breast_cancer"]),
    "unknown optimizer": (["-o", "adm"], ["'adm'", "did you mean 'adam'", "lbfgs"]),
    "unknown kernel": (["-k", "nmpy"], ["'nmpy'", "did you mean 'numpy'", "torch-autograd"]),
    "unknown suite": (["--suite", "qick"], ["'qick'", "did you mean 'quick'", "full"]),
    "suite without a name": (["--suite", ""], ["suite", "quick", "full"]),
    "unknown device": (["-d", "gpu"], ["'gpu'", "cpu", "cuda"]),
    "no device": (["-d", ""], ["device", "cpu", "cuda"]),
    "device without a clock": (["-d", "mps"], ["'mps'", "cpu", "cuda"]),
    "unknown dtype": (["--dtype", "float16"], ["'float16'", "float32", "float64"]),
    "no seeds": (["--seeds", "0"], ["--seeds", "0", "x>=1"]),
    "half a seed": (["--seeds", "1.5"], ["--seeds", "'1.5'"]),
    "unknown option": (["--sedes", "2"], ["--sedes", "--help"]),
    "option without value": (["-p"], ["-p"]),
    "extra argument": (["iris"], ["iris", "--help"]),
    "unknown parameter": (["-o", "adam:l=1"], ["no parameter 'l'", "did you mean 'lr'"]),
    "parameter of the wrong type": (["-o", "adam:lr=x"], ["lr", "a finite number", "'x'"]),
    "parameter nan": (["-o", "adam:lr=nan"], ["lr", "a finite number", "'nan'"]),
    "parameter inf": (["-p", "iris:l2=inf"], ["l2", "a finite number", "'inf'"]),
    "parameter twice": (["-o", "adam:lr=1,lr=2"], ["lr", "twice"]),
    "no value": (["-o", "adam:lr="], ["'lr='", "key=value"]),
    "negative learning rate": (["-o", "adam:lr=-1"], ["adam:lr=-1", "lr"]),
    "no rows a batch": (["-o", "sgd:batch_size=0"], ["batch_size", "0"]),
    "no epochs": (["-o", "sgd:epochs=0"], ["epochs", "0"]),
    "no history": (["-o", "lbfgs:history_size=0"], ["history_size", "0"]),
    "beta above 1": (["-o", "adam:beta1=1.5"], ["beta1", "1.5"]),
    "negative penalty": (["-p", "iris:l2=-1"], ["l2", ">= 0", "-1"]),
    "unknown species": (["-p", "iris:target=rose"], ["target", "setosa", "'rose'"]),
    "n < d": (["-p", "synthetic:n=5,d=9"], ["n=5, d=9"]),
    "more rows than memory": (["-p", "synthetic:n=1e15,d=2"], ["n=1e15"]),
    "no path": (["-p", "file"], ["path="]),
    "no such file": (["-p", "file:path=missing.csv"], ["no file 'missing.csv'"]),
    "results in a file": (["--results", "file/below"], ["file/below", "--results"]),
    "results is a file": (["--results", "file"], ["--results", "file"]),
}
DOORS = [(BENCH, ["run"]), (REPORT, [])]


@pytest.mark.parametrize(("module", "door"), DOORS, ids=["run", "report"])
@pytest.mark.parametrize("case", SHARED)
def test_bad_usage_gets_one_line_and_writes_nothing(
    command: Command, module: str, door: list[str], case: str
) -> None:
    bad, says = SHARED[case]
    Path("file").write_text("keep me")
    # Where the bad option is let through, what runs is small. Options of one value: the last wins.
    command(*door, *SMALL, *bad, module=module).is_one_line(*says)
    assert nothing_written(Path("results"))
    assert Path("file").read_text() == "keep me"
    assert {path.name for path in Path().iterdir()} <= {"file", "results"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], ["--help"]),
        (["ru"], ["'ru'", "--help"]),
        (["--version-of-what"], ["--version-of-what", "--help"]),
        (["list", "extra"], ["extra", "list --help"]),
        ([*RUN, "--passes", "0"], ["--passes", "x>0"]),
        ([*RUN, "--seconds", "-1"], ["--seconds", "-1"]),
        ([*RUN, "--seconds", "nan"], ["above 0", "nan"]),
        ([*RUN, "--passes", "soon"], ["--passes", "'soon'"]),
        (["run", "--suite", "notebook"], ["python -m bench.report --suite notebook"]),
        (["selfcheck"], ["selfcheck", "--help"]),
        (["selfcheck", "clock"], ["'clock'", "selfcheck --help"]),
        (["selfcheck", "timing", "--clock", "sun"], ["'sun'", "events", "bare"]),
        (["selfcheck", "harness", "-k", "nmpy", "-p", "iris"], ["'nmpy'", "numpy"]),
        (["selfcheck", "recorder", "--rounds", "3"], ["--rounds", "3", "x>=4"]),
        (["selfcheck", "recorder", "-p", "irs"], ["'irs'", "did you mean 'iris'"]),
        (["selfcheck", "recorder", "-k", "nmpy", "-p", "iris"], ["'nmpy'", "numpy"]),
        (
            ["selfcheck", "recorder", "-k", "fused-cuda", "-p", "iris", "--rounds", "4"],
            ["fused-cuda"],  # which nothing times on a CPU, with Triton's interpreter or without
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_usage_of_bench(command: Command, arguments: list[str], says: list[str]) -> None:
    command(*arguments).is_one_line(*says)
    assert nothing_written(Path())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--no-run"], ["no records in results", "--no-run"]),
        (["--no-run", "-p", "iris"], ["--no-run"]),
        (["--no-run", "--results", "not/there"], ["no records in not/there"]),
    ],
)
def test_bad_usage_of_report(command: Command, arguments: list[str], says: list[str]) -> None:
    command(*arguments, module=REPORT).is_one_line(*says)
    assert nothing_written(Path())


BAD_FILES = {
    "garbage.csv": bytes(range(256)),
    "garbage.npz": b"PK\x03\x04" + bytes(range(256)),
    "empty.npz": b"",
    "garbage.svm": bytes(range(256)),
    "ragged.csv": b"a,y\n1,0\n1,2,3\n",
    "text.csv": b"a,y\n" + b"x,0\ny,1\n" * 9,
    "nan.csv": b"a,y\n1,0\n,1\n2,1\n3,0\n4,1\n5,0\n",
    "one class.csv": b"a,y\n1,0\n2,0\n3,0\n",
    "my.parquet": b"PAR1",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_file_that_cannot_be_fitted(command: Command, name: str) -> None:
    Path(name).write_bytes(BAD_FILES[name])
    command(*RUN, "-p", f"file:path={name}").is_one_line(f"file:path={name}")
    assert nothing_written(Path("results"))


def test_bad_usage_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = process("run", *SMALL, "-o", "adm", folder=tmp_path)
    done.is_one_line("no optimizer 'adm'; did you mean 'adam'?")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ the results folder

BAD_RECORDS = {
    "garbage": (bytes(range(256)) + b"\n", "line 1"),
    "words": (b"these are my notes\n", "line 1"),
    "another file": (b'{"name": "package"}\n', "line 1"),
    "newer version": (b'{"schema_version": 99}\n', "version 99"),
    "deeply nested": (b"[" * 100_000 + b"\n", "line 1"),
}


@pytest.mark.parametrize("door", [[*RUN], [*SMALL], ["--no-run"]], ids=["run", "report", "no-run"])
@pytest.mark.parametrize("case", BAD_RECORDS)
def test_records_that_cannot_be_read(command: Command, door: list[str], case: str) -> None:
    content, says = BAD_RECORDS[case]
    path = Path("results/records.jsonl")
    path.parent.mkdir()
    path.write_bytes(content)
    done = command(*door, module=BENCH if door == RUN else REPORT)
    done.is_one_line("results/records.jsonl", says)
    assert path.read_bytes() == content
    assert {p.name for p in path.parent.iterdir()} <= {"records.jsonl", ".lock"}


def test_records_that_are_a_folder(command: Command) -> None:
    Path("results/records.jsonl").mkdir(parents=True)
    command(*RUN).is_one_line("results/records.jsonl")
    command("--no-run", module=REPORT).is_one_line("results/records.jsonl")


@pytest.mark.parametrize(
    "damage",
    [
        {"environment": None},
        {"environment": {}},
        {"score": None},
        {"samples": {"step": [0]}},
        {"problem_facts": None},
        {"problem": ["iris"]},
    ],
    ids=str,
)
def test_report_on_damaged_records_is_one_line_or_whole(
    command: Command, damage: dict[str, Any]
) -> None:
    assert command(*RUN, "--passes", "3").code == 0
    path = Path("results/records.jsonl")
    lines = [json.loads(line) | damage for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(fields) + "\n" for fields in lines))
    before = {p.name for p in Path("results").iterdir()}
    command("--no-run", module=REPORT).is_one_line("results/records.jsonl", "line ")
    assert {p.name for p in Path("results").iterdir()} == before


def test_two_runs_at_once(command: Command) -> None:
    Path("results").mkdir()
    with FileLock("results/.lock"):
        command(*RUN).is_one_line("another run is using results", "--results")
        command(*SMALL, module=REPORT).is_one_line("another run is using results", "--results")
    assert nothing_written(Path("results"))
    assert command(*RUN, "--passes", "3").code == 0


# ----------------------------------------------------------------------------------------- run


def test_run_prints_a_table_and_the_answer(command: Command) -> None:
    done = command(*RUN, "-o", "adam:lr=0.1", "--passes", "50")
    assert done.code == 0
    assert "| iris" in done.out
    assert "lbfgs" in done.out
    assert "iris: lbfgs on numpy is first to 1e-6" in done.out
    assert "Traceback" not in done.err
    kinds = [(record.kind, record.optimizer) for record in records()]
    assert kinds == [("kernel", ""), ("convergence", "lbfgs"), ("convergence", "adam:lr=0.1")]


def test_a_diverging_optimizer_is_a_result(command: Command) -> None:
    done = command(*RUN[:3], "-k", "numpy", "-o", "adam:lr=1e6", "--seeds", 1, "--passes", 20)
    assert done.code == 0
    assert "diverged" in done.out
    (run,) = (record for record in records() if record.kind == "convergence")
    assert run.status == "diverged"
    assert run.score["time_to_1e-6_s"] is None


def test_a_failing_optimizer_is_exit_1(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.optimizers.torch_lbfgs import LBFGS

    def fail(*_: Any) -> None:
        raise ArithmeticError("no descent\ndirection")

    monkeypatch.setattr(LBFGS, "run", fail)
    done = command(*RUN)
    assert done.code == 1
    assert "failed: numpy lbfgs: ArithmeticError: no descent direction\n" in done.err
    assert "Traceback" not in done.err + done.out
    assert [r.status for r in records() if r.kind == "convergence"] == ["failed"]


@pytest.mark.parametrize("place", [["-k", "fused-cuda", "-d", "cpu"], ["-d", "cuda:99"]], ids=str)
def test_what_cannot_run_here_is_unavailable(command: Command, place: list[str]) -> None:
    done = command("run", "-p", "iris", "-o", "lbfgs", *place)
    assert done.code == 0
    assert "Traceback" not in done.err + done.out
    found = records()
    assert {record.status for record in found} == {"unavailable"}
    assert {record.seed for record in found} == {0}
    for record in found:
        assert record.message
        assert f"unavailable: {record.kernel} lbfgs: {record.message}\n" in done.err


def test_the_reason_in_a_process_of_its_own(tmp_path: Path) -> None:
    arguments = ["-p", "iris", "-o", "lbfgs", "-k", "fused-cuda", "-d", "cpu"]
    done = process("run", *arguments, folder=tmp_path)
    assert done.code == 0
    assert "unavailable: fused-cuda lbfgs: needs a CUDA device" in done.err


def test_a_second_run_runs_nothing_again(command: Command) -> None:
    again = [*RUN, "-o", "sgd:lr=0.1,batch_size=20", "--seeds", 2, "--passes", 5]
    first = command(*again)
    before = Path("results/records.jsonl").read_bytes()
    assert before.count(b"\n") == 1 + 2 * 2
    second = command(*again)
    assert (first.code, second.code) == (0, 0)
    assert Path("results/records.jsonl").read_bytes() == before
    assert second.out == first.out
    assert "0 of" not in second.err
    command(*again, "--seeds", 3)
    after = Path("results/records.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 2
    command(*again, "--rerun")
    assert Path("results/records.jsonl").read_bytes().count(b"\n") == 7 + 5


def test_an_interrupted_run_keeps_what_is_done(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.optimizers.torch_first_order import SGD

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    again = [*RUN, "-o", "sgd", "--passes", "5"]
    with monkeypatch.context() as patched:
        patched.setattr(SGD, "run", interrupt)
        done = command(*again)
    assert done.code == 130
    assert done.err.splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in done.err
    kept = Path("results/records.jsonl").read_bytes()
    assert [record.optimizer for record in records()] == ["", "lbfgs"]
    assert command(*again).code == 0
    assert Path("results/records.jsonl").read_bytes().startswith(kept)
    assert [record.optimizer for record in records()] == ["", "lbfgs", "sgd"]
