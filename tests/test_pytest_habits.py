"""What users of pytest-benchmark are used to works with the suites, and the gate fails tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CELL = "bench/suites/bench_kernels.py::test_value_and_grad[iris-numpy-cpu-float64]"

# A plugin that stands in for the comparison: what it would find is given.
FOUND = """
import bench.track.compare
from bench.comparisons import CellResult, Comparison, Side

def compare_commits(commits, cells, plan):
    assert commits.base == "the-base", commits
    assert plan.minutes == 0.5
    results = tuple(
        CellResult(cell, {verdict!r}, 1.31, 1.22, 1.40, (1e-3,), (1.31e-3,)) for cell in cells
    )
    side = Side("HEAD", "0" * 40, "a subject")
    environment = dict(cpu="A CPU", usable_cores=2, gpus=[], torch_threads=1, torch="2",
                       numpy="2", python="3")
    return Comparison(side, side, results, 0.05, 0.95, True, 10, 60.0, environment, "now")

bench.track.compare.compare_commits = compare_commits
"""


def run_pytest(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One benchmark of the suites, in a process of its own, as short as can be."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--benchmark-only", CELL),
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


def gated(tmp_path: Path, verdict: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "found_by_the_gate.py").write_text(FOUND.format(verdict=verdict))
    gate = ("--bench-gate", "--bench-gate-base=the-base", "--bench-gate-minutes=0.5")
    return run_pytest(tmp_path, *gate, "-p", "found_by_the_gate")


def test_what_the_gate_finds_slower_fails_its_test(tmp_path: Path) -> None:
    done = gated(tmp_path, "SLOWER")
    assert done.returncode == 1
    assert "SLOWER: iris · value and gradient · numpy: 1.31x of base's time" in done.stdout
    assert "1 SLOWER of 1 cell" in done.stdout
    assert (tmp_path / "results" / "comparison.json").exists()


def test_what_the_gate_finds_the_same_passes(tmp_path: Path) -> None:
    done = gated(tmp_path, "SAME")
    assert done.returncode == 0, done.stdout
    assert "No slow-down found: none of 1 cell is SLOWER" in done.stdout


def test_without_the_gate_nothing_is_compared(tmp_path: Path) -> None:
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "bench gate" not in done.stdout


def test_the_gate_compares_with_a_commit(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path, "--bench-gate", "--bench-gate-base=HEAD", "--bench-gate-minutes=1e-6"
    )
    assert "bench gate" in done.stdout, done.stdout + done.stderr
    assert "1 sessions of two new processes" in done.stdout
    assert done.returncode == 0, done.stdout
