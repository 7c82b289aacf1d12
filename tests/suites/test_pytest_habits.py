"""What users of pytest-benchmark are used to works with the suites, and the gate fails tests."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.session import PerformanceRegression

from bench.compare import compare_commits
from bench.compare.compare_commits import Commits
from bench.compare.comparison import Cell, CellResult, Comparison, Side
from bench.compare.sampling import Plan
from logreg_kernels import KERNELS

ROOT = Path(__file__).parents[2]
FILES = ("convergence", "kernels", "roofline")
CELL = "bench/suites/bench_kernels.py::test_value_and_grad[iris-numpy-cpu-float64]"


@dataclass(frozen=True)
class Done:
    """What a session of pytest left: its exit code and what it printed."""

    code: int
    out: str


RunPytest = Callable[..., Done]


@pytest.fixture
def run_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPytest:
    """Benchmarks of the suites, as short as can be, in this process: torch is imported already."""
    monkeypatch.chdir(ROOT)

    def run(*arguments: str, tests: Sequence[str] = (CELL,), only: bool = True) -> Done:
        command = [
            *("-q", "-p", "no:cacheprovider", *tests),
            *(["--benchmark-only"] if only else []),
            *("--benchmark-max-time=0.01", "--benchmark-min-rounds=3", "--benchmark-warmup=off"),
            f"--benchmark-storage={tmp_path / 'store'}",
            f"--bench-results={tmp_path / 'results'}",
            *arguments,
        ]
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            code = pytest.main(command)
        assert "Traceback (most" not in out.getvalue()
        return Done(int(code), out.getvalue())

    return run


def test_benchmark_only_collects_the_suites_alone(run_pytest: RunPytest) -> None:
    done = run_pytest("--collect-only", tests=())
    assert done.code == 0, done.out
    files = {line.partition("::")[0] for line in done.out.splitlines() if "::" in line}
    assert files == {f"bench/suites/bench_{name}.py" for name in FILES}


def test_autosave_compare_and_compare_fail(tmp_path: Path, run_pytest: RunPytest) -> None:
    saved = run_pytest("--benchmark-autosave")
    assert saved.code == 0, saved.out
    assert "bench gate" not in saved.out  # nothing is compared unasked
    (file,) = (tmp_path / "store").rglob("*.json")
    compared = run_pytest("--benchmark-compare", "--benchmark-compare-fail=median:100000%")
    assert compared.code == 0, compared.out
    assert "(NOW)" in compared.out
    assert "(0001_" in compared.out
    # As if the saved run had been a thousand times faster: no noise makes up for that.
    content = json.loads(file.read_text())
    for name in ("min", "max", "mean", "median"):
        content["benchmarks"][0]["stats"][name] /= 1000
    file.write_text(json.dumps(content))
    with pytest.raises(PerformanceRegression, match="Performance has regressed"):
        run_pytest("--benchmark-compare=0001", "--benchmark-compare-fail=median:50%")


Gated = Callable[..., tuple[Done, list[Cell]]]


@pytest.fixture
def gated(run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch) -> Gated:
    """The gate over a comparison that finds one verdict, and the cells that it was asked for."""

    def run(verdict: str, *, tests: Sequence[str] = (CELL,)) -> tuple[Done, list[Cell]]:
        asked: list[Cell] = []

        def compare(commits: Commits, cells: list[Cell], plan: Plan) -> Comparison:
            assert commits.base == "the-base"
            assert (plan.minutes, plan.threshold) == (0.5, 0.07)
            asked.extend(cells)
            no_ratio = verdict in ("NEW", "NOT TIMED")
            measured = () if no_ratio else (1.31, 1.22, 1.40, (1e-3,), (1.31e-3,))
            results = tuple(CellResult(cell, verdict, *measured) for cell in cells)
            side = Side("HEAD", "0" * 40, "Rename --minutes")
            environment = {"cpu": "A CPU", "usable_cores": 2, "gpus": [], "torch_threads": 1}
            versions = {"torch": "2", "numpy": "2", "python": "3"}
            return Comparison(
                side, side, results, 0.05, 0.95, 10, 60.0, environment | versions, "now"
            )

        monkeypatch.setattr(compare_commits, "compare_commits", compare)
        options = ("base=the-base", "minutes=0.5", "threshold=0.07")
        gate = ("--bench-gate", *(f"--bench-gate-{option}" for option in options))
        return run_pytest(*gate, tests=tests), asked

    return run


def test_what_the_gate_finds_slower_fails_its_test(tmp_path: Path, gated: Gated) -> None:
    done, _ = gated("SLOWER")
    assert done.code == 1
    assert "SLOWER: iris · value and gradient · numpy: 1.31x of base's time" in done.out
    assert "1 SLOWER of 1 cell" in done.out
    assert (tmp_path / "results" / "comparison.json").exists()
    # A failure, and no error in setting up; what was timed is in the table all the same.
    assert "1 failed in" in done.out
    assert "benchmark 'iris float64': 1 tests" in done.out


def test_the_gate_compares_what_the_tests_time_and_lets_the_same_pass(gated: Gated) -> None:
    """Each in its own dtype; reading X alone is a cell of no comparison, and stays ungated."""
    suite = "bench/suites"
    tests = [
        *(CELL, f"{suite}/bench_roofline.py::test_roofline[synthetic:n=100,d=4-numpy-cpu]"),
        f"{suite}/bench_roofline.py::test_read[synthetic:n=100,d=4]",
        f"{suite}/bench_convergence.py::test_convergence[iris-lbfgs-cpu]",
    ]
    done, asked = gated("SAME", tests=tests)
    assert done.code == 0, done.out
    assert "4 passed" in done.out
    assert "No slow-down found: none of 3 cells is SLOWER" in done.out
    assert asked == [
        Cell("iris", "numpy", device="cpu", dtype="float64"),
        Cell("synthetic:n=100,d=4", "numpy", device="cpu", dtype="float32"),
        Cell("iris", "torch-autograd", "lbfgs", device="cpu", dtype="float64"),
    ]


def test_a_dtype_that_a_kernel_refuses_is_skipped_by_test_and_gate(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(KERNELS["numpy"]), "dtypes", ("float32",), raising=False)
    done, asked = gated("SAME", tests=[CELL, CELL.replace("float64", "float32")])
    assert "1 passed, 1 skipped" in done.out, done.out
    assert "numpy on cpu: computes in float32 only, not in float64" in done.out
    assert asked == [Cell("iris", "numpy", device="cpu", dtype="float32")]


def test_a_gate_that_could_compare_nothing_is_not_green(gated: Gated) -> None:
    done, _ = gated("NOT TIMED")
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "--bench-gate: no cell could be timed on both sides" in done.out


def test_advice_names_options_that_pytest_has(gated: Gated, run_pytest: RunPytest) -> None:
    said = gated("INCONCLUSIVE")[0].out
    assert "more --bench-gate-minutes help" in said
    assert "a larger --bench-gate-threshold" in said
    done = run_pytest("--help", only=False)
    assert "(Rename --minutes)" in said  # what somebody wrote is nobody's advice
    said = said.replace("Rename --minutes", "")
    options = set(re.findall(r"--[a-z][a-z-]+", said.partition("bench gate")[2]))
    assert options <= set(re.findall(r"--[a-z][a-z-]+", done.out))


def test_cells_that_are_all_new_are_no_failure(gated: Gated) -> None:
    assert gated("NEW")[0].code == pytest.ExitCode.OK


def test_a_base_that_is_not_there_is_said_in_one_line(run_pytest: RunPytest) -> None:
    done = run_pytest("--bench-gate", "--bench-gate-base=nowhere")
    assert done.code == pytest.ExitCode.USAGE_ERROR
    said = [line for line in done.out.splitlines() if "nowhere" in line]
    assert len(said) == 1
    assert "--bench-gate: git knows no commit 'nowhere'" in said[0]
    assert "gate.py" not in done.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--bench-gate"], "--bench-gate is for benchmarks: add --benchmark-only"),
        (["--bench-gate-base=HEAD"], "--bench-gate-base is for --bench-gate: give both"),
        (["--bench-gate-minutes=1"], "--bench-gate-minutes is for --bench-gate: give both"),
        (["--bench-gate-threshold=0.1"], "--bench-gate-threshold is for --bench-gate: give both"),
        (["--bench-gate", "--bench-gate-minutes=nan"], "a number above 0, not 'nan'"),
        (["--bench-gate", "--bench-gate-threshold=5%"], "from 0.001 to 1, not '5%'"),
    ],
)
def test_options_of_the_gate_that_can_do_nothing(
    run_pytest: RunPytest, options: list[str], says: str
) -> None:
    done = run_pytest(*options, only=False)
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert says in done.out


@pytest.mark.slow
def test_the_gate_compares_with_a_commit(run_pytest: RunPytest) -> None:
    done = run_pytest("--bench-gate", "--bench-gate-base=HEAD", "--bench-gate-minutes=1e-6")
    assert "bench gate" in done.out, done.out
    assert "1 session of new processes" in done.out
    assert done.code == 0, done.out
