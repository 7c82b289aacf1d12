"""Which optimizer fits a logistic regression fastest, measured against a proved optimum.

>>> import bench
>>> results = bench.run(problems=["iris"], optimizers=["lbfgs"], kernels=["numpy"], seeds=1)
>>> results.scores().status.tolist()
['converged']
>>> bench.optimum("iris").exists
True
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError

# torch and pandas are imported where they are used, so that `bench --help` answers at once.
if TYPE_CHECKING:
    from bench.optima.optimum import Optimum
    from bench.optimizers import SupportsFit, SupportsRun
    from bench.problems import Problem
    from bench.records.results import Results

__all__ = ["InputError", "Results", "optimum", "run"]


def __getattr__(name: str) -> Any:
    if name == "Results":
        from bench.records.results import Results

        return Results
    raise AttributeError(f"module 'bench' has no attribute {name!r}")


def run(
    problems: Sequence[str | Problem],
    optimizers: Sequence[str | SupportsRun | SupportsFit],
    kernels: Sequence[str] = ("torch-autograd",),
    devices: Sequence[str] = ("cpu",),
    seeds: int = 3,
    *,
    repetitions: int = 1,
    dtype: str = "float64",
    passes: float = 1_000,
    seconds: float = 5.0,
    results_dir: str | Path | None = None,
) -> Results:
    """Run every combination and score it against the proved optimum of its problem.

    Args:
        problems: specs ("iris", "synthetic:n=1000,d=20") or `Problem` objects.
        optimizers: specs ("adam:lr=0.1") or objects: see `bench.optimizers.contract`.
        kernels: names in `logreg_kernels.KERNELS`.
        devices: "cpu", "cuda", "cuda:1", ...
        seeds: number of seeds 0, 1, ... A seed orders mini-batches, or starts a solver's generator.
        repetitions: runs of each seed; with 6 runs or more there are intervals and verdicts.
        dtype: "float64" or "float32", of the run; scores are float64.
        passes, seconds: budget of a run; passes are over the rows.
        results_dir: a folder that keeps the records; cells with a record are not run again.
    Raises:
        InputError: a ValueError whose message says what can't be used and what to do.
    """
    from bench.cells.definitions import Suite
    from bench.cells.run import run_suite
    from bench.measure.budget import Budget

    named: dict[str, Any] = {
        "problems": problems,
        "optimizers": optimizers,
        "kernels": kernels,
        "devices": devices,
    }
    for name, several in named.items():
        if isinstance(several, str):
            raise InputError(f"{name} must be a list; got {several!r}: use [{several!r}]")
    suite = Suite(
        name="custom",
        **{name: tuple(several) for name, several in named.items()},
        dtypes=(_dtype_name(dtype),),
        seeds=seeds,
        repetitions=repetitions,
        budget=Budget(passes=passes, seconds=seconds),
        kernel_samples=0,
    )
    return run_suite(suite, None if results_dir is None else Path(results_dir))


def optimum(problem: str | Problem) -> Optimum:
    """The optimum of a problem with its proof, or the proof that there is none.

    Args:
        problem: a spec ("iris") or a `Problem`.
    Raises:
        InputError: no such problem.
    """
    from bench.optima.optimum import solve
    from bench.problems import Problem, load_problem

    if isinstance(problem, str):
        return solve(load_problem(problem))
    if not isinstance(problem, Problem):
        raise InputError(f"a problem is a spec or a Problem; got {problem!r}")
    return solve(problem)


def _dtype_name(dtype: object) -> str:
    from logreg_kernels.validation import check_dtype

    try:
        return check_dtype(dtype)
    except ValueError as error:
        raise InputError(str(error)) from None
