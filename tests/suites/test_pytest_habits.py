"""What users of pytest-benchmark are used to works with the suites, and the gate fails tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.compare.comparison import Cell

ROOT = Path(__file__).parents[2]
CELL = "bench/suites/bench_kernels.py::test_value_and_grad[iris-numpy-cpu-float64]"

# A plugin that stands in for the comparison: what it would find is given, what it was asked kept.
FOUND = """
from pathlib import Path

import bench.compare.compare_commits
from bench.compare.comparison import CellResult, Comparison, Side

def compare_commits(commits, cells, plan):
    assert commits.base == "the-base", commits
    assert (plan.minutes, plan.threshold) == (0.5, 0.07)
    Path(__file__).with_name("asked").write_text("\\n".join(map(repr, cells)))
    no_ratio = {verdict!r} in ("NEW", "NOT TIMED")
    measured = () if no_ratio else (1.31, 1.22, 1.40, (1e-3,), (1.31e-3,))
    results = tuple(CellResult(cell, {verdict!r}, *measured) for cell in cells)
    side = Side("HEAD", "0" * 40, "Rename --minutes")
    environment = dict(cpu="A CPU", usable_cores=2, gpus=[], torch_threads=1, torch="2",
                       numpy="2", python="3")
    return Comparison(side, side, results, 0.05, 0.95, 10, 60.0, environment, "now")

bench.compare.compare_commits.compare_commits = compare_commits
"""


def run_pytest(
    tmp_path: Path, *arguments: str, tests: Sequence[str] = (CELL,), only: bool = True
) -> subprocess.CompletedProcess[str]:
    """Benchmarks of the suites, in a process of their own, as short as can be."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", *tests),
        *(["--benchmark-only"] if only else []),
        *("--benchmark-max-time=0.01", "--benchmark-min-rounds=3", "--benchmark-warmup=off"),
        f"--benchmark-storage={tmp_path / 'store'}",
        f"--bench-results={tmp_path / 'results'}",
        *arguments,
    ]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    return subprocess.run(command, cwd=ROOT, env=path, capture_output=True, text=True, timeout=300)


def test_autosave_compare_and_compare_fail(tmp_path: Path) -> None:
    saved = run_pytest(tmp_path, "--benchmark-autosave")
    assert saved.returncode == 0, saved.stdout
    assert "bench gate" not in saved.stdout  # nothing is compared unasked
    (file,) = (tmp_path / "store").rglob("*.json")
    compared = run_pytest(
        tmp_path, "--benchmark-compare", "--benchmark-compare-fail=median:100000%"
    )
    assert compared.returncode == 0, compared.stdout
    assert "(NOW)" in compared.stdout
    assert "(0001_" in compared.stdout
    # As if the saved run had been a thousand times faster: no noise makes up for that.
    content = json.loads(file.read_text())
    for name in ("min", "max", "mean", "median"):
        content["benchmarks"][0]["stats"][name] /= 1000
    file.write_text(json.dumps(content))
    slower = run_pytest(tmp_path, "--benchmark-compare=0001", "--benchmark-compare-fail=median:50%")
    assert slower.returncode != 0
    assert "Performance has regressed" in slower.stdout + slower.stderr


def gated(
    tmp_path: Path, verdict: str, *arguments: str, tests: Sequence[str] = (CELL,)
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "found_by_the_gate.py").write_text(FOUND.format(verdict=verdict))
    options = ("base=the-base", "minutes=0.5", "threshold=0.07")
    gate = ("--bench-gate", *(f"--bench-gate-{option}" for option in options))
    return run_pytest(tmp_path, *gate, "-p", "found_by_the_gate", *arguments, tests=tests)


def test_what_the_gate_finds_slower_fails_its_test(tmp_path: Path) -> None:
    done = gated(tmp_path, "SLOWER")
    assert done.returncode == 1
    assert "SLOWER: iris · value and gradient · numpy: 1.31x of base's time" in done.stdout
    assert "1 SLOWER of 1 cell" in done.stdout
    assert (tmp_path / "results" / "comparison.json").exists()
    # A failure, and no error in setting up; what was timed is in the table all the same.
    assert "1 failed in" in done.stdout
    assert "benchmark 'iris float64': 1 tests" in done.stdout


def test_the_gate_compares_what_the_tests_time_and_lets_the_same_pass(tmp_path: Path) -> None:
    """Each in its own dtype; reading X alone is a cell of no comparison, and stays ungated."""
    suite = "bench/suites"
    tests = [
        *(CELL, f"{suite}/bench_roofline.py::test_roofline[synthetic:n=100,d=4-numpy-cpu]"),
        f"{suite}/bench_roofline.py::test_read[synthetic:n=100,d=4]",
        f"{suite}/bench_convergence.py::test_convergence[iris-lbfgs-cpu]",
    ]
    done = gated(tmp_path, "SAME", tests=tests)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    assert "No slow-down found: none of 3 cells is SLOWER" in done.stdout
    assert (tmp_path / "asked").read_text().splitlines() == [
        repr(cell)
        for cell in (
            Cell("iris", "numpy", device="cpu", dtype="float64"),
            Cell("synthetic:n=100,d=4", "numpy", device="cpu", dtype="float32"),
            Cell("iris", "torch-autograd", "lbfgs", device="cpu", dtype="float64"),
        )
    ]


def test_a_dtype_that_a_kernel_refuses_is_skipped_by_test_and_gate(tmp_path: Path) -> None:
    (tmp_path / "one_dtype.py").write_text(
        "from logreg_kernels import KERNELS\ntype(KERNELS['numpy']).dtypes = ('float32',)\n"
    )
    tests = [CELL, CELL.replace("float64", "float32")]
    done = gated(tmp_path, "SAME", "-p", "one_dtype", tests=tests)
    assert "1 passed, 1 skipped" in done.stdout, done.stdout
    assert "numpy on cpu: computes in float32 only, not in float64" in done.stdout
    asked = (tmp_path / "asked").read_text()
    assert asked == repr(Cell("iris", "numpy", device="cpu", dtype="float32"))


def test_a_gate_that_could_compare_nothing_is_not_green(tmp_path: Path) -> None:
    done = gated(tmp_path, "NOT TIMED")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--bench-gate: no cell could be timed on both sides" in done.stdout


def test_advice_names_options_that_pytest_has(tmp_path: Path) -> None:
    said = gated(tmp_path, "INCONCLUSIVE").stdout
    assert "more --bench-gate-minutes help" in said
    assert "a larger --bench-gate-threshold" in said
    done = run_pytest(tmp_path, "--help", only=False)
    assert "(Rename --minutes)" in said  # what somebody wrote is nobody's advice
    said = said.replace("Rename --minutes", "")
    options = set(re.findall(r"--[a-z][a-z-]+", said.partition("bench gate")[2]))
    assert options <= set(re.findall(r"--[a-z][a-z-]+", done.stdout))


def test_cells_that_are_all_new_are_no_failure(tmp_path: Path) -> None:
    assert gated(tmp_path, "NEW").returncode == pytest.ExitCode.OK


def test_a_base_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--bench-gate", "--bench-gate-base=nowhere")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    said = [line for line in done.stdout.splitlines() if "nowhere" in line]
    assert len(said) == 1
    assert "--bench-gate: git knows no commit 'nowhere'" in said[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert "gate.py" not in done.stdout + done.stderr


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
    tmp_path: Path, options: list[str], says: str
) -> None:
    done = run_pytest(tmp_path, *options, only=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_gate_compares_with_a_commit(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path, "--bench-gate", "--bench-gate-base=HEAD", "--bench-gate-minutes=1e-6"
    )
    assert "bench gate" in done.stdout, done.stdout + done.stderr
    assert "1 session of new processes" in done.stdout
    assert done.returncode == 0, done.stdout
