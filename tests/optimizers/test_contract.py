"""Objects of a user's own are taken in with the defaults of the base classes."""

from __future__ import annotations

from typing import Any

import pytest

from bench.errors import InputError
from bench.optimizers import Fit, Optimizer, RefitSolver, Stop, as_optimizer, make_optimizer


class Runs:
    def run(self, objective: Any, w0: Any, rng: Any, on_step: Any) -> Stop:
        on_step((objective, w0, rng))
        return Stop.CONVERGED


class Fits:
    library = "mine"

    def unavailable(self, *, l2: float, n_classes: int, dtype: str) -> str | None:
        return f"{l2} {n_classes} {dtype}"

    def fit(self, X: Any, y: Any, *, l2: float, max_iter: int, seed: int) -> Fit:
        return Fit(w=X, iterations=max_iter, converged=True)


def test_what_has_run_is_an_optimizer_with_the_defaults() -> None:
    given = Runs()
    optimizer = as_optimizer(given)
    assert isinstance(optimizer, Optimizer)
    assert (optimizer.needs, optimizer.batch_size) == ((), None)
    assert optimizer.implementation is Runs
    told: list[Any] = []
    assert optimizer.run("f", "w0", "rng", told.append) is Stop.CONVERGED  # type: ignore[arg-type]
    assert told == [("f", "w0", "rng")]
    assert as_optimizer(given) == optimizer
    assert as_optimizer(Runs()) != optimizer


def test_what_has_fit_is_a_solver_with_the_defaults() -> None:
    solver = as_optimizer(Fits())
    assert isinstance(solver, RefitSolver)
    assert (solver.library, solver.takes_csr, solver.needs) == ("mine", False, ())
    assert solver.implementation is Fits
    assert solver.unavailable(l2=0.5, n_classes=2, dtype="float32") == "0.5 2 float32"
    fit = solver.fit("X", "y", l2=0.0, max_iter=3, seed=0)  # type: ignore[arg-type]
    assert (fit.w, fit.iterations) == ("X", 3)


def test_what_it_says_of_itself_is_kept() -> None:
    class Second(Runs):
        needs = ("hessian",)

    class Sparse(Fits):
        takes_csr = True
        needs = ("hessian",)

    assert as_optimizer(Second()).needs == ("hessian",)
    sparse = as_optimizer(Sparse())
    assert isinstance(sparse, RefitSolver)
    assert (sparse.takes_csr, sparse.needs) == (True, ("hessian",))


def test_ours_are_taken_as_they_are() -> None:
    for spec in ("adam", "sklearn"):
        ours = make_optimizer(spec)
        assert as_optimizer(ours) is ours
        assert ours.implementation is type(ours)


@pytest.mark.parametrize(("given", "lacks"), [(3, "fit"), (object(), "fit")])
def test_anything_else_is_refused(given: object, lacks: str) -> None:
    with pytest.raises(InputError, match=f"has a run method, .* without {lacks}"):
        as_optimizer(given)


def test_a_solver_without_a_library_is_refused() -> None:
    class Nameless:
        fit = Fits.fit
        unavailable = Fits.unavailable

    with pytest.raises(InputError, match="without library"):
        as_optimizer(Nameless())
