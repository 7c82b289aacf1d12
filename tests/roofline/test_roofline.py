"""The roofline: its arithmetic on made-up times, reading, and the command itself."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import bench
from bench.errors import InputError
from bench.measure import bandwidth, kernel_time
from bench.measure.bandwidth import cache_sizes, last_level_cache_bytes, reader
from bench.measure.kernel_time import time_calls
from bench.roofline import measure as suite
from bench.roofline.cases import CASES, CUDA_CASES, CaseSpec, chosen_cases
from bench.roofline.plot import plot
from bench.roofline.samples import READ, Case, Requirement, Roofline, TimedCall, as_json
from bench.roofline.tables import agreement, requirement_table, tables_of
from logreg_kernels import KERNELS

RNG = np.random.default_rng(0)


def noisy(seconds: float, rounds: int = 15) -> tuple[float, ...]:
    """Times of a noisy machine; every entry's noise is its own."""
    return tuple(seconds * (1 + 0.05 * RNG.random(rounds)))


def made_up(**seconds: float) -> Roofline:
    """1 MB of X, which takes a millisecond to read."""
    there = [TimedCall(name.replace("_", "-"), 1_000_000, noisy(s)) for name, s in seconds.items()]
    case = Case(
        name="1,000 x 54 float32",
        n_samples=1_000,
        n_features=54,
        dtype="float32",
        device="cpu",
        x_bytes=1_000_000,
        state="from memory",
        entries=(
            TimedCall(READ, 1_000_000, noisy(1e-3)),
            *there,
            TimedCall("fused-cuda", None, (), "no CUDA device"),
        ),
        asked=(
            Requirement("fused-cpu", READ, 1.4, "at most 1.4 x the time to read X"),
            Requirement("fused-cpu", "torch-autograd", 1 / 3.5, "3.5 x faster than torch-autograd"),
            Requirement("fused-cpu", "", 5e-6, "at most 5 µs a call"),
            Requirement("fused-cuda", READ, 1.1, "90% of the read bandwidth"),
        ),
    )
    return Roofline((case,), {"cpu": "a CPU"}, {"L1": 32_768, "L2": 1 << 20}, "2026-01-01")


def test_bytes_over_time_and_the_fraction_of_the_read_speed() -> None:
    tables = tables_of(made_up(fused_cpu=1.25e-3, torch_autograd=4e-3))
    frame = tables.calls.set_index("entry")
    assert frame["gb_per_s"]["fused-cpu"] == pytest.approx(0.8, rel=0.06)
    assert frame["of_read"][READ] == 1
    assert frame["of_read"]["fused-cpu"] == pytest.approx(0.8, rel=0.06)
    assert frame["of_read_low"]["fused-cpu"] < frame["of_read"]["fused-cpu"]
    assert frame["reason"]["fused-cuda"] == "no CUDA device"
    shown = tables.readable_calls.set_index("kernel")
    assert shown["per call [95% interval]"]["fused-cuda"] == "not measured"
    assert tables.reasons == ["fused-cuda: no CUDA device"]
    assert shown["of the read speed"]["torch-autograd"].startswith("2")


def test_verdicts() -> None:
    tables = tables_of(made_up(fused_cpu=1.25e-3, torch_autograd=4e-3))
    verdicts = tables.requirements["verdict"]
    assert verdicts.tolist() == ["met", "missed", "missed", "not measured"]
    faster = requirement_table(made_up(fused_cpu=1.5e-3, torch_autograd=6e-3))
    assert faster["verdict"].tolist()[:2] == ["missed", "met"]
    shown = tables.readable_requirements["measured [95% interval]"].tolist()
    assert shown[1].startswith("3.")  # as many times faster, not a fraction
    assert "ms" in shown[2]
    assert shown[3] == "-"


def test_the_same_figures_twice() -> None:
    def measured(fused_cpu: float) -> pd.DataFrame:
        return requirement_table(made_up(fused_cpu=fused_cpu, torch_autograd=4e-3))

    first = measured(1.25e-3)
    assert agreement(first, measured(1.25e-3))["agree"].tolist() == ["yes"] * 3
    assert agreement(first, measured(1.6e-3))["agree"].tolist() == ["no"] * 3


def test_the_file_keeps_every_sample() -> None:
    measured = made_up(fused_cpu=1e-3)
    kept = json.loads(as_json(measured))
    assert kept == json.loads(json.dumps(asdict(measured)))
    (case,) = kept["cases"]
    assert [one["name"] for one in case["entries"]] == [READ, "fused-cpu", "fused-cuda"]
    assert tuple(case["entries"][1]["seconds_per_call"]) == measured.cases[0].samples("fused-cpu")
    assert (kept["schema_version"], case["asked"][0]["at_most"]) == (1, 1.4)


def test_the_plot_names_what_is_drawn() -> None:
    measured = made_up(fused_cpu=1.25e-3, torch_autograd=4e-3)
    figure = plot(tables_of(measured), measured.caches)
    names = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert names == {"fused-cpu", "torch-autograd"}
    assert len(figure.axes) == 1  # no sizes were swept
    assert len(figure.axes[0].patches) == 2


def test_the_plot_of_a_sweep_and_of_a_kernel_of_the_users() -> None:
    measured = made_up(fused_cpu=1.25e-3, my_kernel=4e-3)
    (case,) = measured.cases
    cold = replace(case, name="100 x 54 float32, cold", x_bytes=9_000, state="cold", asked=())
    figure = plot(tables_of(replace(measured, cases=(case, cold))), measured.caches)
    names = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert names == {"the roof: reading X once", "fused-cpu", "my-kernel"}
    left, right = figure.axes
    assert len(left.patches) == 2
    assert len([line for line in right.get_lines() if len(line.get_xdata()) == 2]) >= 3


# --- reading ---------------------------------------------------------------------------------


@given(
    n=st.integers(1, 3000),
    dtype=st.sampled_from([np.float32, np.float64, np.int32, np.int64]),
    parts=st.integers(1, 5),
)
def test_a_reader_reads_every_entry_once(n: int, dtype: Any, parts: int) -> None:
    array = np.arange(n).astype(dtype)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bandwidth, "n_parts", lambda n_bytes: parts)
        patch.setattr(bandwidth, "_total", seen.append)
        read = reader([array])
        seen.clear()
        read()
    # Threads come in any order; their parts lie one after the other.
    together = np.concatenate(sorted(seen, key=lambda part: part.ctypes.data))
    np.testing.assert_array_equal(together.view(dtype), array)


def test_the_reader_adds_up() -> None:
    array = RNG.random(10_001)
    assert bandwidth._total(array) == pytest.approx(array.sum(), rel=1e-12)


def test_the_last_cache_is_the_largest() -> None:
    sizes = cache_sizes()
    if not sizes:
        pytest.skip("this system does not say how large its caches are")
    assert last_level_cache_bytes() == max(sizes.values())


def test_calls_take_turns_and_caches_are_swept_off_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_time, "_SETTLE_S", 0.0)
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "abc"}
    times = time_calls(calls, 3, before_each=lambda: order.append("-"))
    turns = "".join(order)
    # Each turn: a call to settle, the sweep, and the one call that is timed.
    assert [turns[i] for i in range(0, 27, 3)] == [turns[i + 2] for i in range(0, 27, 3)]
    assert turns[1::3] == "-" * 9
    rounds = [turns[i : i + 9 : 3] for i in (0, 9, 18)]
    assert [sorted(one) for one in rounds] == [list("abc")] * 3
    assert len(set(rounds)) > 1
    assert all(len(samples) == 3 for samples in times.values())


# --- cases and the command -------------------------------------------------------------------


def test_cases_are_found_by_name_and_device() -> None:
    assert {case.name for case in chosen_cases((), (), "float32", ("cpu",))} == {
        case.name for case in CASES
    }
    assert len(chosen_cases((), (), "float32", ("cpu", "cuda"))) == len(CASES) + len(CUDA_CASES)
    assert len(chosen_cases(("float64",), (), "float32", ("cpu",))) == 1
    (own,) = chosen_cases((), ("iris",), "float64", ("cpu",))
    assert (own.problem, own.dtype) == ("iris", "float64")


@pytest.mark.slow
@pytest.mark.parametrize("work", ["value_and_grad", "batch", "csr"])
def test_a_small_case_is_measured_whole(work: Any) -> None:
    problem = "sparse:n=300,d=500" if work == "csr" else "synthetic:n=300,d=5"
    kernels = ("numpy", "torch-autograd", "fused-cpu", "fused-cuda")
    case = suite.measure_case(CaseSpec("small", problem, "float32", kernels, work=work), 3)
    named = {entry.name: entry for entry in case.entries}
    assert {READ, "numpy", "torch-autograd", "fused-cpu", "fused-cuda"} <= named.keys()
    assert all(len(e.seconds_per_call) == 3 for e in case.entries if not e.reason)
    assert named["fused-cuda"].reason
    assert (named["numpy"].traffic_bytes or 0) > (named["fused-cpu"].traffic_bytes or 0)
    assert named[READ].traffic_bytes == case.x_bytes


def test_a_kernel_that_does_not_match_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = suite.bind

    class Wrong:
        def __init__(self, objective: Any) -> None:
            self._objective = objective

        def __getattr__(self, name: str) -> Any:
            return getattr(self._objective, name)

        def value_and_grad(self, w: Any, rows: Any = None) -> Any:
            value, grad = self._objective.value_and_grad(w, rows)
            return value * 1.01, grad

    monkeypatch.setattr(suite, "bind", lambda *args, **kw: Wrong(honest(*args, **kw)))
    case = suite.measure_case(CaseSpec("small", "synthetic:n=50,d=3", "float64", ("numpy",)), 3)
    (entry,) = (entry for entry in case.entries if entry.name == "numpy")
    assert "does not match the reference" in entry.reason
    assert not entry.seconds_per_call


@pytest.mark.slow
def test_the_command_writes_samples_tables_and_a_plot(tmp_path: Path) -> None:
    options = ["-p", "iris", "--dtype", "float64", "-k", "numpy", "-k", "fused-cpu"]
    run = ["roofline", *options, "--rounds", "3", "--twice", "--results", str(tmp_path)]
    done = CliRunner().invoke(bench, run, standalone_mode=False)
    assert done.exception is None, done.output
    assert "fused-cpu" in done.output
    assert "of the read speed" in done.output
    (case,) = json.loads((tmp_path / "roofline.json").read_text())["cases"]
    assert case["state"] == "hot in cache"
    assert {call["name"] for call in case["entries"]} == {READ, "numpy", "fused-cpu"}
    assert (tmp_path / "plots" / "roofline.png").stat().st_size > 10_000
    assert "iris" in (tmp_path / "tables" / "roofline.md").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--case", "no such"], "no case has 'no such' in its name"),
        (["-k", "nump"], "no kernel 'nump'"),
        (["-p", "irs"], "no problem 'irs'"),
        (["-d", "tpu"], "torch knows no device 'tpu'"),
        (["-k", "fused-cuda", "-d", "cpu"], "can't be timed on cpu"),
        (["-p", "iris", "-d", "cuda:77"], "cuda"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: list[str], words: str) -> None:
    done = CliRunner().invoke(bench, ["roofline", *options], standalone_mode=False)
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)


def test_every_case_names_kernels_that_there_are() -> None:
    for case in (*CASES, *CUDA_CASES):
        assert set(case.kernels) <= set(KERNELS)
        assert {asked.entry for asked in case.asked} <= set(case.kernels)


def test_csr_is_read_with_its_indices() -> None:
    X = sp.random_array((40, 30), density=0.2, format="csr", dtype=np.float32, rng=0)
    parts = suite._parts(sp.csr_array(X))
    assert sum(part.nbytes for part in parts) == X.nnz * 8 + 41 * 4
