"""What `selfcheck compare` injects, and the error rates that it reports."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.command.progress import Progress
from bench.compare.cells import suite_cells
from bench.compare.comparison import FAILED, Cell, CellResult
from bench.compare.error_rates import _required, _row, measure_error_rates
from bench.compare.injection import reads_of, rows_for_share
from bench.compare.prepared_cell import PreparedCell
from bench.compare.sampling import Plan
from bench.counters.reads_numpy import Reads, counted_csr, counting_sparse

ROOT = Path(__file__).parents[2]
AT = ("cpu", "float64")


@given(
    share=st.floats(0.01, 0.5),
    work_s=st.floats(1e-3, 1.0),
    row_s=st.floats(1e-9, 1e-6),
    call_s=st.floats(0.0, 1e-6),
)
def test_reads_are_tuned_to_the_share_of_a_clock_that_is_known(
    share: float, work_s: float, row_s: float, call_s: float
) -> None:
    noise = np.random.default_rng(0)

    def block_s(rows: int) -> tuple[float, float]:
        return work_s, (call_s + rows * row_s) * noise.uniform(0.99, 1.01)

    rows = rows_for_share(block_s, share)
    assert (call_s + rows * row_s) / work_s == pytest.approx(share, rel=0.03, abs=row_s / work_s)


class CountedRows(np.ndarray):
    """An array that notes how many of its rows products read."""

    read: list[int]

    def __matmul__(self, other: object) -> object:
        CountedRows.read.append(len(self))
        return np.asarray(self) @ other


@given(rows=st.integers(1, 1000), n=st.integers(1, 60), sparse=st.booleans())
@settings(deadline=None)
def test_as_many_rows_are_read_as_required(rows: int, n: int, sparse: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logreg_kernels.validation.check_matrix", lambda X, dtype: X)
        if sparse:
            counted = Reads()
            X = counted_csr(scipy.sparse.csr_array(np.ones((n, 3))), counted)
            with counting_sparse(counted):
                call = reads_of(X, rows, *AT)
                counted.entries = 0  # what it took to cut the first rows off
                call()
            assert abs(counted.entries / 3 - rows) <= -(-rows // n) / 2
            return
        CountedRows.read = []
        reads_of(np.ones((n, 3)).view(CountedRows), rows, *AT)()
    assert max(CountedRows.read) <= n
    assert abs(sum(CountedRows.read) - rows) <= len(CountedRows.read) / 2


def test_injected_reads_are_in_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_TREE", str(ROOT))
    for optimizer in ("", "lbfgs"):
        cell = asdict(Cell("iris", "numpy", optimizer, "cpu", "float64"))
        _, nothing = PreparedCell(cell, None, 0.0)._block()
        _, injected = PreparedCell(cell, None, 0.5)._block()
        assert nothing == 0
        assert injected > 0


@pytest.mark.slow
def test_all_rates_are_measured_in_a_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    plan = Plan(minutes=1e-6)
    told: list[Progress] = []
    tested = measure_error_rates(
        suite_cells(("iris",), ("lbfgs",), ("numpy",)),
        plan,
        2,
        0,
        tmp_path,
        on_progress=told.append,
    )
    assert not tested.passed
    assert "SLOWER or FAILED at most 1% of the same commit's cells: met" in tested.words
    assert "found at least 80% of slow-downs of 5%: NOT met" in tested.words
    found = pd.read_csv(tmp_path / "compare_selfcheck.csv")
    assert found.injected.tolist() == [0.0, 0.0, 0.0, 0.0, 0.05, 0.05, 0.1, 0.1]
    assert set(found.verdict) == {"INCONCLUSIVE"}, found.reason.tolist()
    # Two cells in each of four comparisons; the budget ends after a cell of each.
    assert [(one.done, one.total) for one in told] == [(k, 8) for k in (0, 2, 4, 6)]


def _found(**verdicts: int) -> list[CellResult]:
    return [
        CellResult(Cell("p"), verdict, None if verdict == FAILED else 1.0)
        for verdict, count in verdicts.items()
        for _ in range(count)
    ]


def _frame(same: dict[str, int], *injected: dict[str, int]) -> pd.DataFrame:
    rows = [_row(0.0, _found(**same), 1.0)]
    rows += [_row(0.05 * k, _found(**found), 1.0) for k, found in enumerate(injected, start=1)]
    return pd.DataFrame(rows)


def test_a_failed_cell_of_the_same_commit_is_an_alarm_and_of_a_slow_one_no_detection() -> None:
    required = _required(_frame({"SAME": 97, "FAILED": 3}, {"FAILED": 100}), [0.8], load=False)
    assert not any(met for what, met in required.items() if "decided" not in what)


def test_a_test_that_decides_nothing_is_not_met() -> None:
    required = _required(_frame({"INCONCLUSIVE": 60, "SAME": 40}), [], load=True)
    assert list(required.values()) == [True, False]


def test_rates_are_held_against_what_is_required() -> None:
    good = _frame({"SAME": 198, "SLOWER": 2}, {"SLOWER": 8, "SAME": 2}, {"SLOWER": 10})
    assert all(_required(good, [0.8, 0.95], load=False).values())
    bad = _frame({"SAME": 197, "SLOWER": 3}, {"SLOWER": 7, "SAME": 3}, {"SLOWER": 10})
    assert list(_required(bad, [0.8, 0.95], load=False).values()) == [False, True, False, True]
    assert all(_required(bad[:1], [], load=True).values())
