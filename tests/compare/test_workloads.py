"""One side of a comparison: what it times, and how much of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.compare.workloads import _PARTS, _PASSES, NotTimed, check_known, clocked, run_of_passes


def runs_of(pass_s: float) -> Callable[[float], Callable[[], float]]:
    return lambda passes: lambda: passes * pass_s


@pytest.mark.parametrize(
    ("pass_s", "passes"), [(1e-5, 100), (2e-3, 1), (1e-2, 0.2), (0.19, 0.01), (10.0, 0.01)]
)
def test_a_run_takes_about_as_long_as_a_block(pass_s: float, passes: float) -> None:
    run, found = run_of_passes(runs_of(pass_s), None, (*_PASSES, *_PARTS))
    assert found == passes
    assert run() == passes * pass_s


def test_iterations_of_a_library_s_solver_are_whole() -> None:
    assert run_of_passes(runs_of(10.0), None, _PASSES)[1] == 1


def test_the_work_that_base_found_is_head_s_too() -> None:
    run, found = run_of_passes(runs_of(10.0), 50, _PASSES)
    assert (found, run()) == (50, 500.0)


def test_a_name_that_a_commit_doesn_t_have_is_gone_and_not_failed() -> None:
    check_known("digits:scale=1", {"digits": None}, "problem")
    with pytest.raises(NotTimed, match="there is no kernel fused-cpu") as refused:
        check_known("fused-cpu", {"numpy": None}, "kernel")
    assert refused.value.status == "gone"


def test_a_call_that_the_clock_does_not_see_took_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 7.0)
    assert 0 < clocked(lambda: None)() <= 1e-9
