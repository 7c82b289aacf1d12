"""Sparse X in problems, files, optima and runs: as the dense X of the same numbers, or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from command_cases import commands_in
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import refused
from sklearn.datasets import dump_svmlight_file
from sklearn.linear_model import LogisticRegression

import bench
from bench.measure.verify import KernelMismatch, verify
from bench.optima.cache import load_or_solve
from bench.optima.certificate import certify
from bench.optima.coordinates import coordinates
from bench.optima.hessian_size import forms_hessian, too_large_to_form
from bench.optima.minimise import newton_cg_step
from bench.optima.optimum import contradiction, exact_sum_value, solve
from bench.optima.reference import evaluation_error, reference_objective
from bench.optima.rounding import gradient_error, logit_error, unit_roundoff
from bench.optima.separability import find_separation, prove_separable
from bench.optimizers import Newton, make_optimizer
from bench.problems import Problem, load_problem
from bench.problems.sparse import sparse
from bench.records import RecordStore
from bench.score.quality import quality
from logreg_kernels import bind

SPEC = "sparse:n=400,d=1500,density=0.01"  # more columns than a Hessian is formed for
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr"]


def pair(
    seed: int, n: int = 60, d: int = 8, l2: float = 0.1, c: int = 2
) -> tuple[Problem, Problem]:
    """The same numbers as CSR and dense, with a blank row and a blank column."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.4)
    X[1], X[:, 2] = 0, 0
    y = rng.permutation(np.arange(n) % c)
    split = {"X_test": X[:9], "y_test": y[:9]}
    dense = Problem("dense", X, y, l2, **split)
    split["X_test"] = sp.csr_array(X[:9])
    return Problem("csr", sp.csr_array(X), y, l2, **split), dense


# ------------------------------------------------------------------------------------- Problem


@pytest.mark.parametrize("given_as", FORMATS)
def test_the_fingerprint_is_of_the_numbers(given_as: str) -> None:
    problem, dense = pair(0)
    for kind in ("array", "matrix"):
        X = getattr(sp, f"{given_as}_{kind}")(dense.X)
        same = Problem("other", X, dense.y, 0.1, X_test=dense.X[:9], y_test=dense.y[:9])
        assert isinstance(same.X, sp.csr_array)
        assert same.fingerprint != problem.fingerprint  # one has a dense test split
        same = Problem("other", X, dense.y, 0.1, X_test=problem.X_test, y_test=dense.y[:9])
        assert same.fingerprint == problem.fingerprint
    assert dense.fingerprint != problem.fingerprint


def test_the_fingerprint_leaves_out_stored_zeros() -> None:
    X = sp.csr_array(([1.0, 0.0, -0.0, 2.0], ([0, 0, 1, 1], [0, 2, 2, 0])), shape=(2, 3))
    with_zeros, without = Problem("a", X, [0, 1]), Problem("a", X.toarray(), [0, 1])
    assert with_zeros.X.nnz == 4
    assert with_zeros.fingerprint == Problem("a", sp.csr_array(without.X), [0, 1]).fingerprint
    assert with_zeros.X.nnz == 4


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), what=st.sampled_from(["entry", "column", "shape", "l2"]))
def test_the_fingerprint_changes_with_the_numbers(seed: int, what: str) -> None:
    problem, _ = pair(seed, n=12, d=5)
    data, column, indptr = (
        part.copy() for part in (problem.X.data, problem.X.indices, problem.X.indptr)
    )
    d, l2 = 5, 0.1
    if what == "entry":
        data[-1] = np.nextafter(data[-1], 9)
    elif what == "column":
        column[-1] = (column[-1] + 1) % 5
        d = 5
    elif what == "shape":
        d = 6
    else:
        l2 = 0.2
    other = Problem("a", sp.csr_array((data, column, indptr), shape=(12, d)), problem.y, l2)
    same = Problem("a", problem.X, problem.y, 0.1)
    assert other.fingerprint != same.fingerprint


@pytest.mark.parametrize("given_as", [*FORMATS, "torch"])
@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta")
def test_nobody_can_write_into_a_problem(given_as: str) -> None:
    _, dense = pair(1)
    X: Any = sp.csr_array(dense.X)
    X = torch.tensor(dense.X).to_sparse_csr() if given_as == "torch" else X.asformat(given_as)
    problem = Problem("a", X, dense.y)
    for part in (problem.X.data, problem.X.indices, problem.X.indptr):
        assert not part.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 1
    before = problem.X.toarray()
    if given_as == "torch":
        X.values().mul_(2)
    elif given_as not in ("lil", "dok"):
        X.data *= 2
    np.testing.assert_array_equal(problem.X.toarray(), before)


def test_what_nobody_can_write_is_not_copied() -> None:
    problem, _ = pair(1)
    again = Problem("again", problem.X, problem.y)
    assert np.shares_memory(again.X.data, problem.X.data)
    assert np.shares_memory(again.X.indices, problem.X.indices)


def test_test_splits_of_either_kind() -> None:
    problem, dense = pair(2, c=3)
    w = np.random.default_rng(0).standard_normal(problem.coefficient_shape)
    of_sparse, of_dense = (vars(quality(p, w, solve(p))) for p in (problem, dense))
    assert of_sparse == pytest.approx(of_dense, rel=1e-12)
    with pytest.raises(ValueError, match="X_test has 7 columns, X has 8"):
        Problem("a", problem.X, problem.y, X_test=sp.csr_array((9, 7)), y_test=dense.y[:9])
    bad = sp.csr_array(([np.nan], ([0], [1])), shape=(9, 8))
    with pytest.raises(ValueError, match=re.escape("X_test must be finite; X_test[0, 1] is nan")):
        Problem("a", problem.X, problem.y, X_test=bad, y_test=dense.y[:9])


# ------------------------------------------------------------------------- the problem `sparse`


@settings(max_examples=25)
@given(
    n=st.integers(30, 400),
    d=st.integers(30, 2000),
    words=st.integers(2, 6),
    seed=st.integers(0, 2**32),
)
def test_the_sparse_problem_is_as_asked(n: int, d: int, words: int, seed: int) -> None:
    problem = sparse(n=n, d=d, density=words / d, seed=seed)
    assert problem.X.shape == (n, d)
    assert problem.X_test is not None
    assert problem.X_test.shape == (n // 4, d)
    # Words of a row are nearly independent, so that their number has a variance of its mean.
    assert problem.X.nnz == pytest.approx(n * words, abs=6 * np.sqrt(n * words))
    assert (problem.X.data > 0).all()
    norms = np.sqrt((problem.X**2).sum(axis=1))
    np.testing.assert_allclose(norms[np.diff(problem.X.indptr) > 0], 1, rtol=1e-14)
    assert problem.fingerprint == sparse(n=n, d=d, density=words / d, seed=seed).fingerprint
    assert problem.fingerprint != sparse(n=n, d=d, density=words / d, seed=seed + 1).fingerprint


def test_popularity_follows_a_power_law() -> None:
    problem = load_problem("sparse:n=20000,d=5000,density=0.004,seed=3")
    rows = np.sort(np.bincount(problem.X.indices, minlength=5000))[::-1]
    # 1 / rank, for words that are not in nearly every document.
    rank = np.arange(50, 800)
    slope = np.polyfit(np.log(rank), np.log(rows[rank]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    assert 0.45 < problem.y.mean() < 0.55


def test_labels_of_the_sparse_problem_can_be_learnt() -> None:
    problem = load_problem("sparse:n=20000,d=200,density=0.05,l2=1e-7")
    w = solve(problem).w
    logits = problem.X @ w
    assert logits.std() == pytest.approx(2, abs=0.2)
    assert logits.mean() == pytest.approx(0, abs=0.1)
    assert problem.X_test is not None
    z = problem.X_test @ w
    # Of the truth, p or 1 - p is the chance to be right; many rows are coin tosses.
    chance = float((1 / (1 + np.exp(-abs(z)))).mean())
    assert ((z > 0) == problem.y_test).mean() == pytest.approx(chance, abs=0.03)
    assert chance > 0.65


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("n=1", "n >= 2"),
        ("d=0", "d >= 1"),
        ("density=0", r"density must be in \(0, 0.2\]; got 0"),
        ("density=0.5", "got 0.5: for dense data there is `synthetic`"),
        ("n=1e9,d=1e6", "too large for memory"),
        ("seed=-1", "seed must be >= 0"),
        ("l2=-1", "l2 must be finite and >= 0"),
    ],
)
def test_sparse_parameters_out_of_range(parameters: str, says: str) -> None:
    refused(f"sparse:{parameters}", says)


# --------------------------------------------------------------------------------------- files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def csr_arrays(X: sp.csr_array) -> dict[str, Any]:
    return {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": X.shape}


@pytest.mark.usefixtures("folder")
def test_sparse_files_stay_sparse() -> None:
    whole = load_problem(SPEC)
    X = sp.csr_array(whole.X)
    dump_svmlight_file(X, 2 * whole.y - 1, "my.svm", zero_based=False)
    np.savez("my.npz", y=whole.y, **csr_arrays(X))
    sp.save_npz("scipy.npz", sp.csr_matrix(X))
    np.savez("both.npz", y=whole.y, **np.load("scipy.npz"))
    loaded = [load_problem(f"file:path={name}") for name in ("my.svm", "my.npz", "both.npz")]
    for problem in loaded:
        assert isinstance(problem.X, sp.csr_array)
        assert isinstance(problem.X_test, sp.csr_array)
        assert problem.X.shape == (300, 1500)
        assert problem.X.nnz + problem.X_test.nnz == X.nnz
    assert loaded[1].fingerprint == loaded[2].fingerprint
    np.testing.assert_allclose(loaded[0].X.toarray(), loaded[1].X.toarray(), rtol=1e-12)
    # Nothing was scaled: every row is one of the file's.
    assert {row.tobytes() for row in loaded[1].X.toarray()} <= {r.tobytes() for r in X.toarray()}
    refused("file:path=scipy.npz", r"without labels: use numpy.savez\(path, y=y, data=X.data")
    refused("file:path=my.npz,standardise=yes", "would fill a sparse X: .*layout=dense")
    standardised = load_problem("file:path=my.npz,standardise=yes,layout=dense").X
    assert isinstance(standardised, np.ndarray)
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-12)
    dense = load_problem("file:path=my.npz,standardise=no,layout=dense").X
    np.testing.assert_array_equal(dense, loaded[1].X.toarray())


@pytest.mark.usefixtures("folder")
def test_files_that_are_full_are_dense_unless_told() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), np.arange(40) % 2
    np.savez("my.npz", y=y, **csr_arrays(sp.csr_array(X)))
    np.savez("dense.npz", y=y, X=X)
    assert isinstance(load_problem("file:path=my.npz").X, np.ndarray)
    one, other = (f"file:path={name},standardise=no" for name in ("my.npz", "dense.npz"))
    assert load_problem(one).fingerprint == load_problem(other).fingerprint
    as_csr = [load_problem(f"{spec},layout=csr") for spec in (one, other)]
    assert isinstance(as_csr[0].X, sp.csr_array)
    assert as_csr[0].fingerprint == as_csr[1].fingerprint


BAD_CSR: dict[str, tuple[dict[str, Any], str]] = {
    "csc": ({"format": np.array(b"csc")}, r"another format than CSR: save X\.tocsr"),
    "a short indptr": ({"indptr": np.array([0, 1])}, "not those of a CSR matrix"),
    "a shape of one": ({"shape": (40,)}, "not those of a CSR matrix"),
    "text": ({"data": np.full(80, "x")}, "real numbers|not those of a CSR matrix"),
    "a column too many": ({"shape": (40, 2)}, "not a valid CSR matrix: indices must be < 2"),
    "nan": ({"data": np.full(80, np.nan)}, r"X\[0, \d\] is nan"),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("what", BAD_CSR)
def test_files_whose_csr_is_none(what: str) -> None:
    X = sp.csr_array(np.tile(np.array([[1.0, 0.0, 2.0]]), (40, 1)))
    changed, says = BAD_CSR[what]
    np.savez("my.npz", **({"y": np.arange(40) % 2} | csr_arrays(X) | changed))
    refused("file:path=my.npz", says)


# -------------------------------------------------------------------------- rounding and verify


@pytest.mark.parametrize("c", [2, 3])
def test_bounds_of_rounding_are_those_of_dense_x(c: int) -> None:
    problem, dense = pair(3, c=c)
    w = np.random.default_rng(0).standard_normal(problem.coefficient_shape)
    u = unit_roundoff("float64")
    for bound in (logit_error, lambda X, w, u: gradient_error(X, w, 0.1, u)):
        tight, loose = bound(problem.X, w, u), bound(dense.X, w, u)
        assert (tight <= loose * (1 + 1e-12)).all()
        assert (tight >= loose / 3).all()  # fewer terms in a row, at most 8 to 2
    assert 0 < evaluation_error(problem, w) <= evaluation_error(dense, w) * (1 + 1e-12)


@pytest.mark.parametrize("kernel", ["numpy", "torch-autograd"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_verify_takes_the_right_kernel_and_no_other(kernel: str, dtype: str) -> None:
    problem = load_problem(SPEC)
    verify(bind(kernel, problem.X, problem.y, l2=problem.l2, dtype=dtype), problem)
    wrong = problem.X.copy()
    wrong.data = wrong.data.copy()
    wrong.data[0] *= 1.01
    with pytest.raises(KernelMismatch):
        verify(bind(kernel, wrong, problem.y, l2=problem.l2, dtype=dtype), problem)


# ------------------------------------------------------------------------------------- optimum


@pytest.mark.parametrize("c", [2, 3])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_the_optimum_is_that_of_dense_x(c: int, l2: float) -> None:
    problem, dense = pair(4, n=200, l2=l2, c=c)
    of_sparse, of_dense = solve(problem), solve(dense)
    assert of_sparse.exists is of_dense.exists is True
    assert of_sparse.f == pytest.approx(of_dense.f, rel=1e-14)
    np.testing.assert_allclose(of_sparse.w, of_dense.w, rtol=0, atol=1e-10)
    assert of_sparse.gap_bound < 1e-14
    assert of_sparse.reason.split(":")[0] == of_dense.reason.split(":")[0]
    assert coordinates(problem).removed == coordinates(dense).removed


def test_a_column_of_stored_zeros_is_blank() -> None:
    X = sp.csr_array(([1.0, 0.0, -1.0], ([0, 0, 1], [0, 1, 0])), shape=(3, 2))
    assert coordinates(Problem("a", X, [0, 1, 1])).features.tolist() == [True, False]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_large_optimum_is_proved_and_is_that_of_scikit_learn(n_classes: int) -> None:
    problem = load_problem(SPEC)
    if n_classes == 3:
        y = problem.y + (np.arange(400) % 3 == 0) * (1 - problem.y) * 2
        problem = Problem("three", problem.X, y, l2=1e-3)
    assert not forms_hessian(problem)
    optimum = solve(problem)
    assert optimum.exists is True
    assert optimum.gap_bound < 1e-15
    assert "strong convexity" in optimum.reason
    assert contradiction(problem, optimum) is None
    model = LogisticRegression(
        C=1 / (problem.n_samples * problem.l2),
        fit_intercept=False,
        solver="newton-cg",
        tol=1e-12,
        max_iter=1000,
    ).fit(sp.csr_array(problem.X), problem.y)
    w = model.coef_.reshape(problem.coefficient_shape)
    np.testing.assert_allclose(w, optimum.w, rtol=0, atol=1e-7)
    assert 0 <= exact_sum_value(problem, w) - optimum.f + 1e-15 <= 1e-12


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), log_l2=st.floats(-6, 1), c=st.sampled_from([2, 3]))
def test_steps_by_products_find_what_steps_by_the_hessian_find(
    seed: int, log_l2: float, c: int
) -> None:
    problem, _ = pair(seed, l2=10.0**log_l2, c=c)
    with pytest.MonkeyPatch.context() as patch:
        expected = solve(problem)
        patch.setattr("bench.optima.hessian_size._MOST_OF_SPARSE", 1)
        found = solve(problem)
    assert found.exists
    assert "strong convexity" in found.reason
    assert abs(found.f - expected.f) <= found.gap_bound + expected.gap_bound + 1e-15
    assert found.gap_bound <= 1e-13


def test_a_step_by_products_is_that_of_conjugate_gradients() -> None:
    # With k different eigenvalues they are done after k products; steepest descent never is.
    eigenvalues = np.repeat([1e-4, 1e-2, 0.3, 2.0], 5)
    V = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 20)))[0]
    H = (V * eigenvalues) @ V.T
    grad = 1e-10 * np.random.default_rng(1).standard_normal(20)
    products = 0

    def product(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return H @ v

    step, decrement = newton_cg_step(product, grad)
    assert products <= 4
    assert np.linalg.norm(H @ step - grad) <= np.sqrt(np.linalg.norm(grad)) * np.linalg.norm(grad)
    assert decrement == pytest.approx(float(grad @ np.linalg.solve(H, grad)), rel=1e-3)


def test_a_bound_on_the_gap_holds_away_from_the_optimum() -> None:
    problem = load_problem(SPEC)
    optimum = solve(problem)
    f = reference_objective(problem)
    rng = np.random.default_rng(0)
    for size in (1e-6, 1e-3, 1.0):
        w = optimum.w + size * rng.standard_normal(optimum.w.shape)
        gap = float(f.value_and_grad(w)[0]) - optimum.f
        assert gap <= certify(problem, w).gap_bound


def test_large_and_without_a_penalty_it_is_not_known() -> None:
    optimum = bench.optimum("sparse:n=400,d=9000,density=0.002,l2=0")
    assert optimum.exists is None
    assert "9000 coefficients" in optimum.reason
    assert "set l2 > 0" in optimum.reason


@pytest.mark.parametrize("c", [2, 3])
def test_separable_classes_are_found(c: int) -> None:
    y = np.arange(30) % c
    X = sp.csr_array(np.eye(c)[y] * np.linspace(1, 2, 30)[:, None])
    problem = Problem("separable", X, y)
    assert solve(problem).exists is False
    found, _ = find_separation(problem)
    assert found is not None
    assert found.undecided == 0
    assert prove_separable(problem, -found.w) is None


def test_optima_are_kept(tmp_path: Path) -> None:
    problem = load_problem(SPEC)
    first, again = (load_or_solve(problem, tmp_path) for _ in range(2))
    np.testing.assert_array_equal(first.w, again.w)
    assert again.exists


# ---------------------------------------------------------------------------------------- runs


def test_a_hessian_that_does_not_fit_is_refused() -> None:
    problem = load_problem("sparse:n=100,d=47000,density=1e-4")
    assert too_large_to_form(problem) == "a Hessian of 47000 x 47000 takes 17.7 GB: use lbfgs"
    assert too_large_to_form(load_problem(SPEC)) is None
    scores = bench.run(
        [problem],
        [Newton(), "sklearn:solver=newton-cholesky", "scipy:method=trust-exact", "lbfgs"],
        kernels=["numpy", "torch-autograd"],
        seeds=1,
        passes=5,
    ).scores()
    refused_here = scores[scores.optimizer != "lbfgs"]
    assert set(refused_here.status) == {"unavailable"}
    assert refused_here.message.str.contains("17.7 GB").all()
    assert "unavailable" not in set(scores[scores.optimizer == "lbfgs"].status)


def test_kernels_and_solvers_for_dense_x_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.optimizers.glum_refit.GlumRefit.takes_csr", False)
    monkeypatch.setattr("bench.cells.plan.why_not_timed", lambda kernel, device: None)
    optimizers = ["lbfgs", "glum"]
    scores = bench.run(
        [SPEC, "iris"], optimizers, ["numpy", "fused-cuda"], seeds=1, passes=3
    ).scores()
    reasons = scores[scores.problem == SPEC].set_index("kernel").message
    assert reasons["fused-cuda"].startswith("takes dense X only; got CSR (400, 1500), 0.99% filled")
    assert "numpy, torch-autograd" in reasons["fused-cuda"]
    assert reasons["glum"] == "glum is given dense X only, and X is sparse"
    assert scores[scores.problem == "iris"].status.ne("unavailable").any()


@pytest.mark.parametrize(
    ("spec", "dtype"),
    [
        ("sklearn", "float64"),
        ("sklearn:solver=newton-cg", "float32"),
        ("sklearn:solver=liblinear", "float64"),
        ("sklearn:solver=newton-cholesky", "float64"),
        ("sklearn:solver=sag", "float64"),
        ("sklearn:solver=saga", "float64"),
        ("glum:solver=lbfgs", "float64"),
        ("snapml", "float32"),
    ],
)
def test_solvers_of_other_libraries_take_csr(spec: str, dtype: str) -> None:
    problem = load_problem("sparse:n=300,d=200,density=0.03,l2=1e-2")
    solver: Any = make_optimizer(spec)
    reason = solver.unavailable(l2=problem.l2, n_classes=2, dtype=dtype)
    if reason is not None:
        pytest.skip(reason)
    results = bench.run([problem], [spec], seeds=1, dtype=dtype, passes=2_000)
    (score,) = results.scores().to_dict("records")
    assert score["gap"] < (1e-10 if dtype == "float64" else 1e-6), score["message"]


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-p", SPEC, "-o", "lbfgs", "-k", "numpy", "-k", "torch-autograd"]
    arguments += ["-o", "sgd:lr=1,batch_size=32", "-o", "scipy:method=newton-cg"]
    done = commands_in(tmp_path, monkeypatch, capfd)("run", *arguments, "--seeds", "1")
    assert done.code == 0, done.err
    for words in ("| lbfgs ", "| torch-autograd ", "| sgd:lr=1,batch_size=32 "):
        assert words in done.out
    records = RecordStore(tmp_path / "results").read()
    runs = [record for record in records if record.kind == "convergence"]
    assert len(runs) == 6
    assert {record.status for record in runs} <= {"converged", "budget"}
    assert all(record.score["gap"] < 1e-6 for record in runs if record.optimizer == "lbfgs")
