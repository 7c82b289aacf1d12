"""Two saved results folders: compared where they come from one machine."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.errors import InputError
from bench.records import Record, RecordStore
from bench.track.saved import OtherMachine, compare_saved, is_saved


@pytest.fixture(scope="module")
def records() -> tuple[Record, ...]:
    results = bench.run(
        problems=["iris"],
        optimizers=["lbfgs", "momentum:lr=0.1", "adam:lr=0.1", "sgd:lr=0.1", "newton"],
        kernels=["numpy"],
        seeds=6,
        passes=20,
    )
    return results.records


def save(folder: Path, records: tuple[Record, ...], seed: int, **slower: float) -> Path:
    """The records with seconds made up: a millisecond a pass, times a factor by optimizer."""
    rng = np.random.default_rng(seed)
    made = []
    for record in records:
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
