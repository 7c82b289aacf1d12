"""Sessions of `compare`: what a side that ends, or fails once, does to its cell and to others."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from repositories import cells_source, commit

from bench.compare.compare_commits import Commits, compare_commits
from bench.compare.comparison import Cell, CellResult, Comparison
from bench.compare.processes import SideProcess
from bench.compare.sampling import CellSamples, Plan, sample
from bench.compare.side_pair import Lost, SidePair
from bench.compare.workloads import NotTimed

pytestmark = pytest.mark.usefixtures("few_sessions")

ROOT = Path(__file__).parents[2]
AT = {"device": "cpu", "dtype": "float64"}
ENDS = "adam:lr=0.1"


def compare(folder: Path, minutes: float = 2.0) -> Comparison:
    return compare_commits(
        Commits("HEAD", folder=folder, file="cells.py"), (), Plan(minutes=minutes)
    )


def prepare(process: SideProcess, cell: Cell) -> dict[str, float]:
    process.begin_preparing(cell, {})
    return dict(process.wait_prepared())


def by_name(results: list[CellResult]) -> dict[str, CellResult]:
    return {str(result.cell): result for result in results}


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A tree like this one, in which Adam ends its process."""
    for package in ("bench", "logreg_kernels"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    registry = tmp_path / "bench" / "optimizers" / "__init__.py"
    ends = "\n\n_as_it_was = make_optimizer\n\ndef make_optimizer(spec):\n    " + (
        f"__import__('os')._exit(3) if spec == {ENDS!r} else None\n    return _as_it_was(spec)\n"
    )
    registry.write_text(registry.read_text() + ends)
    return tmp_path


@pytest.mark.slow
def test_a_cell_that_ends_its_process_ends_no_other_that_shares_it_and_none_of_the_next(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.compare.sampling.LOOKS", (2,))
    cells = [
        Cell(problem, "numpy", optimizer, **AT)
        for problem in ("iris", "breast_cancer")
        for optimizer in (ENDS, "lbfgs")
    ]
    results, sessions = sample((ROOT, head), cells, Plan())
    assert sessions == 2
    found = by_name(results)
    for problem in ("iris", "breast_cancer"):
        ended = found[f"{problem} · {ENDS} · numpy"]
        assert (ended.verdict, ended.reason) == ("FAILED", "head: its process ended: exit code 3")
        assert len(found[f"{problem} · lbfgs · numpy"].log_ratios) == sessions


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sides fork on Linux only")
def test_a_child_that_ended_between_two_cells_is_started_anew() -> None:
    pair = SidePair((ROOT, ROOT), 0, suite=True)
    try:
        iris, wine = (Cell(problem, "numpy", "lbfgs", **AT) for problem in ("iris", "wine"))
        pair.switch_to(iris)
        prepare(pair.sides[1], iris)
        parent = pair.sides[1]._process.pid
        (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        pair.switch_to(wine)
        for process in pair.sides:
            prepare(process, wine)
            assert process.block_s() > 0
        assert pair.sides[1]._process.pid != parent
    finally:
        pair.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sides fork on Linux only")
def test_beside_a_side_that_ended_the_other_is_started_anew_too() -> None:
    """Its memory would have a past that the new one's has not."""
    pair = SidePair((ROOT, ROOT), 0, suite=True)
    try:
        pair.switch_to(Cell("iris", "numpy", "lbfgs", **AT))
        before = {process._process.pid for process in pair.sides}
        parent = pair.sides[1]._process.pid
        (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        with pytest.raises(NotTimed, match="its process ended"):
            prepare(pair.sides[1], Cell("iris", "numpy", "lbfgs", **AT))
        same_process = Cell("iris", "numpy", **AT)
        pair.switch_to(same_process)
        assert not before & {process._process.pid for process in pair.sides}
        for process in pair.sides:
            prepare(process, same_process)
            assert process.block_s() > 0
    finally:
        pair.close()


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_process_that_ended_once_costs_its_cell_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    monkeypatch.setenv("ENDED_ONCE", str(tmp_path.parent / f"{tmp_path.name}-{side}"))
    once = (
        "lambda: os._exit(9) if not os.path.exists(os.environ['ENDED_ONCE']) and "
        "not open(os.environ['ENDED_ONCE'], 'w').close() else costs(1e-3)()"
    )
    sources = {"base": cells_source(a=1e-3), "head": "\n" + cells_source(a=1e-3)}
    sources[side] = cells_source(a=once)
    commit(tmp_path, "base", cells=sources["base"])
    (tmp_path / "cells.py").write_text(sources["head"])
    (result,) = (found := compare(tmp_path)).cells
    assert result.verdict == "SAME"
    assert len(result.log_ratios) == found.sessions - 1
    assert result.reason == ""


def test_an_end_of_each_side_is_two_ends_of_neither() -> None:
    one = CellSamples(Cell("a", file="cells.py"))
    ended = NotTimed("ended", "its process ended")
    for loss in (Lost(ended, None), Lost(None, ended)):
        one.lose(loss)
        assert not one.decided
    assert [loss.verdict for loss in one.losses] == ["NOT TIMED", "FAILED"]
    one.lose(Lost(None, ended))
    assert one.verdict == "FAILED"


@pytest.mark.slow
def test_what_is_injected_is_tuned_with_nothing_beside_it_until_its_rows_are_known() -> None:
    pair = SidePair((ROOT, ROOT), 0, suite=True)
    try:
        one = CellSamples(Cell("iris", "numpy", **AT))
        pair.switch_to(one.cell)
        one.work = prepare(pair.sides[0], one.cell)  # as if head had ended before it was tuned
        pair.prepare(one.cell, one.work, 0.05)
        assert set(one.work) == {"passes", "calls", "rows"}
        assert one.work["rows"] > 0
    finally:
        pair.close()


def test_an_end_that_no_other_session_could_deny_is_a_failure(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    (tmp_path / "cells.py").write_text(cells_source(a="lambda: os._exit(9)"))
    (result,) = compare(tmp_path, minutes=1e-6).cells
    assert (result.verdict, result.reason) == (
        "FAILED",
        "head: its process ended: exit code 9",
    )


def test_renamed_cells_are_new_and_gone_and_no_error(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    (tmp_path / "cells.py").write_text(cells_source(b=1e-3))
    found = compare(tmp_path)
    assert {str(r.cell): r.verdict for r in found.cells} == {"a": "GONE", "b": "NEW"}
    found.require_timed()
    assert not found.regressions


@pytest.mark.parametrize("name", ["1000", "(1, 2)", "None"])
def test_a_name_of_a_cell_that_is_no_string_is_said(tmp_path: Path, name: str) -> None:
    source = cells_source(a=1e-3).replace("'a'", name)
    commit(tmp_path, "base", cells=source)
    with pytest.raises(Exception, match=r"--cells cells.py: .* name is to be a string, not") as no:
        compare(tmp_path)
    assert type(no.value).__name__ == "InputError"


def test_a_cell_may_have_any_name() -> None:
    assert str(Cell("float64", file="cells.py")) == "float64"
    assert str(Cell("cpu", file="cells.py")) == "cpu"
    assert str(Cell("iris", "numpy", "lbfgs", "cuda", "float32")) == (
        "iris · lbfgs · numpy · cuda · float32"
    )
    assert str(Cell("iris", "numpy", **AT)) == "iris · value and gradient · numpy"
