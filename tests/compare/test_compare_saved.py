"""Two saved results folders: compared where they come from one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.compare.report import describe_sides, headline
from bench.compare.saved import OtherMachine, compare_saved, is_saved
from bench.errors import InputError
from bench.records import Record, RecordStore


@pytest.fixture(scope="module")
def records() -> tuple[Record, ...]:
    results = bench.run(
        problems=["iris"],
        optimizers=["lbfgs", "momentum:lr=0.1", "adam:lr=0.1", "sgd:lr=0.1", "newton"],
        kernels=["numpy"],
        seeds=6,
        passes=20,
    )
    kernel = replace(
        results.records[0],
        kind="kernel",
        optimizer="",
        sampling="",
        status="ok",
        score={"timed_beside": "numpy"},
        samples={"seconds_per_call": [1.0] * 20},
    )
    return (*results.records, kernel)


def save(folder: Path, records: tuple[Record, ...], seed: int, **slower: float) -> Path:
    """The records with seconds made up: a millisecond a pass, times a factor by optimizer."""
    rng = np.random.default_rng(seed)
    made = []
    for record in records:
        if record.kind == "kernel":
            noise = np.exp(
                0.01 * rng.standard_normal(len(record.samples.get("seconds_per_call", [])))
            )
            samples = {"seconds_per_call": (1e-3 * noise).tolist()}
            made.append(replace(record, samples=samples))
            continue
        factor = slower.get(record.optimizer.partition(":")[0], 1.0)
        noise = np.exp(0.01 * rng.standard_normal())
        run_s = 1e-3 * record.score["passes"] * factor * noise
        made.append(replace(record, score={**record.score, "run_s": run_s}))
    RecordStore(folder).append(made)
    return folder


def test_a_cell_that_stands_out_is_found(tmp_path: Path, records: tuple[Record, ...]) -> None:
    base = save(tmp_path / "base", records, 1)
    head = save(tmp_path / "head", records, 2, adam=1.4)
    found = compare_saved(base, head, threshold=0.05)
    verdicts = {r.cell.optimizer: r.verdict for r in found.cells}
    assert verdicts.pop("adam:lr=0.1") == "SLOWER"
    assert "SLOWER" not in verdicts.values()
    assert not found.paired
    assert "did not take turns" in found.notes[0]


def test_what_all_share_is_the_machine_s(tmp_path: Path, records: tuple[Record, ...]) -> None:
    everything = dict.fromkeys(("adam", "lbfgs", "momentum", "sgd", "newton"), 1.6)
    head = save(tmp_path / "head", records, 2, **everything)
    found = compare_saved(save(tmp_path / "base", records, 1), head, threshold=0.05)
    assert {r.verdict for r in found.cells} == {"INCONCLUSIVE"}


def test_another_machine_is_refused_unless_told_otherwise(
    tmp_path: Path, records: tuple[Record, ...]
) -> None:
    other = {"machine": "0123456789ab", "cpu": "Another CPU"}
    elsewhere = tuple(replace(r, environment={**r.environment, **other}) for r in records)
    base, head = save(tmp_path / "base", records, 1), save(tmp_path / "head", elsewhere, 2)
    with pytest.raises(OtherMachine, match=r"head on 0123456789ab \(Another CPU\)"):
        compare_saved(base, head, threshold=0.05)
    found = compare_saved(base, head, threshold=0.05, any_machine=True)
    assert any("the ratios are the machines' too" in note for note in found.notes)
    command = [sys.executable, "-m", "bench", "compare", "--base", str(base), "--head", str(head)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 3
    assert done.stderr.startswith("error: base was measured on ")
    done = subprocess.run(
        [*command, "--other-machine"], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_other_versions_are_named(tmp_path: Path, records: tuple[Record, ...]) -> None:
    older = tuple(replace(r, environment={**r.environment, "torch": "1.0"}) for r in records)
    found = compare_saved(
        save(tmp_path / "base", older, 1), save(tmp_path / "head", records, 2), threshold=0.05
    )
    assert any(note.startswith("torch differs: 1.0 and ") for note in found.notes)


def test_cells_of_one_side_alone_are_named(tmp_path: Path, records: tuple[Record, ...]) -> None:
    some = tuple(r for r in records if r.optimizer != "newton")
    found = compare_saved(
        save(tmp_path / "base", some, 1), save(tmp_path / "head", records, 2), threshold=0.05
    )
    alone = next(r for r in found.cells if r.cell.optimizer == "newton")
    assert (alone.verdict, alone.ratio) == ("NEW", None)


def test_nothing_in_common_is_refused(tmp_path: Path, records: tuple[Record, ...]) -> None:
    lbfgs = tuple(r for r in records if r.optimizer == "lbfgs")
    newton = tuple(r for r in records if r.optimizer == "newton")
    with pytest.raises(InputError, match="no timed cell in common"):
        compare_saved(
            save(tmp_path / "base", lbfgs, 1), save(tmp_path / "head", newton, 2), threshold=0.05
        )
    assert is_saved(str(tmp_path / "base"))
    assert not is_saved("main")
    assert not is_saved(None)


def changed(
    records: tuple[Record, ...], optimizer: str, change: Callable[[Record], Record]
) -> tuple[Record, ...]:
    """The records, those of one optimizer (or of the kernel, "") replaced."""
    return tuple(change(r) if r.optimizer.partition(":")[0] == optimizer else r for r in records)


def part(field: str, **values: Any) -> Callable[[Record], Record]:
    """A record with some entries of one of its mappings replaced."""
    return lambda record: replace(record, **{field: {**getattr(record, field), **values}})


@pytest.mark.parametrize(
    ("optimizer", "change", "reason"),
    [
        (
            "adam",
            part("score", budget_passes=500),
            r"other budget: 20 passes( or .* s)? \(base\) and 500 passes( or .* s)? \(head\)",
        ),
        ("adam", part("problem_facts", fingerprint="0" * 64), r"other data: \w{12} .base. and 0+ "),
        ("adam", part("problem_facts", l2=0.5, fingerprint="0" * 64), "other l2: 0 .* 0.5 .head.$"),
        ("adam", part("problem_facts", n_samples=7), "other size: 100 x 4 .base. and 7 x 4 .head."),
        ("adam", part("environment", torch_threads=64), "other torch threads: .* and 64 .head."),
        ("adam", part("environment", blas_threads=64), "other blas threads: .* and 64 .head."),
        ("adam", lambda r: replace(r, sampling="refits"), "other sampling: snapshots .* refits"),
        ("", part("score", timed_beside="fused-cpu, numpy"), "other kernels timed in turns: numpy"),
        (
            "",
            lambda r: replace(r, suite="pytest"),
            "other timer: bench .base. and pytest-benchmark",
        ),
        ("adam", part("score", passes=None), "head: its passes were not counted"),
        ("", part("samples", seconds_per_call=[]), "head: it has no samples"),
    ],
)
def test_what_is_not_alike_is_not_compared(
    tmp_path: Path,
    records: tuple[Record, ...],
    optimizer: str,
    change: Callable[[Record], Record],
    reason: str,
) -> None:
    base = save(tmp_path / "base", records, 1)
    saved = tuple(RecordStore(base).read())
    RecordStore(tmp_path / "head").append(
        changed(tuple(part("score", setup_s=9.0)(r) for r in saved), optimizer, change)
    )
    found = compare_saved(base, tmp_path / "head", threshold=0.05)
    (cell,) = [r for r in found.cells if r.cell.optimizer.partition(":")[0] == optimizer]
    assert (cell.verdict, cell.ratio) == ("NOT TIMED", None)
    assert re.search(reason, cell.reason), cell.reason
    assert "\n" not in cell.reason
    assert sum(r.ratio is not None for r in found.cells) == len(found.cells) - 1


def test_kernels_that_took_turns_in_another_order_are_compared(
    tmp_path: Path, records: tuple[Record, ...]
) -> None:
    orders = ("numpy, fused-cpu", "fused-cpu, numpy")
    folders = [tmp_path / "base", tmp_path / "head"]
    for folder, order, seed in zip(folders, orders, (1, 2), strict=True):
        save(folder, changed(records, "", part("score", timed_beside=order)), seed)
    found = compare_saved(*folders, threshold=0.05)
    assert all(r.ratio is not None for r in found.cells)


def test_a_folder_s_record_that_is_alike_is_taken_before_one_that_is_not(
    tmp_path: Path, records: tuple[Record, ...]
) -> None:
    base, head = save(tmp_path / "base", records, 1), save(tmp_path / "head", records, 2)
    kernel = tuple(r for r in records if r.kind == "kernel")
    save(base, tuple(part("score", timed_beside="fused-cpu, numpy")(r) for r in kernel), 3)
    found = compare_saved(base, head, threshold=0.05)
    assert all(r.ratio is not None for r in found.cells)
    assert any("were left out" in note for note in found.notes)


FAILS = {"status": "failed", "message": "a | b:\nTraceback", "samples": {}}


@pytest.mark.parametrize(
    ("base", "head", "verdict", "reason"),
    [
        ({}, FAILS, "FAILED", "head: 1 of 6 runs failed: a | b: Traceback"),
        (FAILS, {}, "NOT TIMED", "base: 1 of 6 runs failed: a | b: Traceback"),
        (FAILS, FAILS, "NOT TIMED", "both: 1 of 6 runs failed: a | b: Traceback"),
        ({}, {"status": "diverged"}, "FAILED", "head: 1 of 6 runs diverged"),
        ({"status": "unavailable"}, {"status": "diverged"}, "NOT TIMED", "base: 1 of 6 runs una"),
    ],
)
def test_a_run_that_failed_is_no_time(
    tmp_path: Path,
    records: tuple[Record, ...],
    base: dict[str, Any],
    head: dict[str, Any],
    verdict: str,
    reason: str,
) -> None:
    def one_seed(change: dict[str, Any]) -> Callable[[Record], Record]:
        return lambda record: replace(record, **change) if record.seed == 3 else record

    folders = [
        save(tmp_path / name, changed(records, "adam", one_seed(change)), seed)
        for name, change, seed in (("base", base, 1), ("head", head, 2))
    ]
    found = compare_saved(*folders, threshold=0.05)
    (cell,) = [r for r in found.cells if r.cell.optimizer.startswith("adam")]
    assert cell.verdict == verdict
    assert cell.reason.startswith(reason)
    assert (cell in found.regressions) == (verdict == "FAILED")


def test_a_kernel_that_fails_in_head_is_failed(tmp_path: Path, records: tuple[Record, ...]) -> None:
    failed = {"status": "failed", "message": "wrong gradient", "samples": {}, "score": {}}
    head = changed(records, "", lambda record: replace(record, **failed))
    folders = save(tmp_path / "base", records, 1), save(tmp_path / "head", head, 2)
    found = compare_saved(*folders, threshold=0.05)
    (cell,) = found.regressions
    assert (cell.verdict, cell.reason) == ("FAILED", "head: failed: wrong gradient")


def test_a_measurement_is_not_compared_with_itself(
    tmp_path: Path, records: tuple[Record, ...]
) -> None:
    base, head = save(tmp_path / "base", records, 1), save(tmp_path / "head", records, 1)
    save(head, tuple(r for r in records if r.optimizer == "lbfgs"), 2)
    found = compare_saved(base, head, threshold=0.05)
    timed = [r for r in found.cells if r.ratio is not None]
    assert [r.cell.optimizer for r in timed] == ["lbfgs"]
    others = [r for r in found.cells if r.ratio is None]
    assert {r.verdict for r in others} == {"NOT TIMED"}
    assert all("the same measurement is in both" in r.reason for r in others)


def test_a_run_again_is_a_run_more(tmp_path: Path, records: tuple[Record, ...]) -> None:
    base, head = tmp_path / "base", tmp_path / "head"
    for run in range(3):
        save(base, records, run)
        save(head, records, 10 + run, adam=1.2)
    found = compare_saved(base, head, threshold=0.05)
    assert {len(r.base_s) for r in found.cells} == {3}
    assert "3 runs of base and 3 runs of head" in describe_sides(found)
    assert "one run a side" not in headline(found)
    assert not any("single run" in note for note in found.notes)


def test_runs_of_other_code_are_no_runs_more(tmp_path: Path, records: tuple[Record, ...]) -> None:
    base, head = tmp_path / "base", tmp_path / "head"
    older = tuple(part("environment", commit="0" * 40)(r) for r in records)
    edited = tuple(replace(r, key=f"other {r.key}") for r in records)
    for k, some in enumerate((older, edited, records)):
        save(base, some, k, adam=(7.0, 5.0, 1.0)[k])
    found = compare_saved(base, save(head, records, 9), threshold=0.05)
    assert {len(r.base_s) for r in found.cells} == {1}
    assert all(r.ratio == pytest.approx(1, abs=0.05) for r in found.cells if r.cell.optimizer)


def test_single_runs_say_what_they_can_t_know(tmp_path: Path, records: tuple[Record, ...]) -> None:
    base, head = save(tmp_path / "base", records, 1), save(tmp_path / "head", records, 2)
    found = compare_saved(base, head, threshold=0.05)
    assert "Saved sets of one run a side" in headline(found)
    assert any("has a single run on a side" in note for note in found.notes)
    words = describe_sides(found)
    assert "all intervals together hold" not in words
    assert "hold only if most cells are unchanged" in words


def test_a_single_sample_says_why_it_has_no_interval(
    tmp_path: Path, records: tuple[Record, ...]
) -> None:
    one = tuple(r for r in records if r.seed == 0)
    folders = save(tmp_path / "base", one, 1), save(tmp_path / "head", one, 2)
    found = compare_saved(*folders, threshold=0.05)
    runs = [r for r in found.cells if r.cell.optimizer]
    assert {r.verdict for r in runs} == {"INCONCLUSIVE"}
    assert all("a single sample has no scatter" in r.reason for r in runs)
