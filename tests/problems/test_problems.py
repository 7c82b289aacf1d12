"""Problems: their data are what they are said to be, frozen, or refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from refusal import refused
from scipy.optimize import linprog
from scipy.special import expit
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.model_selection import train_test_split

from bench.problems import PROBLEMS, Problem, load_problem
from bench.problems.synthetic import synthetic

SEPARATOR_TOLERANCE = 1e-6  # of the sum of margins at |w_j| <= 1; HiGHS meets 1e-7 a row


def separable(X: np.ndarray, y: np.ndarray) -> bool:
    """Whether some w != 0 leaves no row on the wrong side and at least one strictly right.

    max sum_i m_i  subject to  0 <= m_i <= 1, m_i <= s_i x_i . w, |w_j| <= 1, which is 0 exactly
    where the classes overlap (Konis 2007): quasi-complete separation is found, too.
    """
    margins = (2 * y - 1)[:, None] * X
    n, d = X.shape
    found = linprog(
        np.concatenate([np.zeros(d), -np.ones(n)]),
        A_ub=np.hstack([-margins, np.eye(n)]),
        b_ub=np.zeros(n),
        bounds=[(-1, 1)] * d + [(0, 1)] * n,
        method="highs",
    )
    assert found.status == 0
    return -found.fun > SEPARATOR_TOLERANCE


# ---------------------------------------------------------------- the data sets that come with it


def test_iris_is_the_notebooks_data() -> None:
    iris = load_iris()
    y = (iris["target"] == 2).astype(int)
    X_train, X_test, y_train, y_test = train_test_split(
        iris["data"], y, test_size=0.33, random_state=42
    )
    problem = load_problem("iris")
    assert problem.X.shape == (100, 4)
    assert problem.X_test is not None
    assert problem.X_test.shape == (50, 4)
    assert problem.l2 == 0.0
    np.testing.assert_array_equal(problem.X, X_train)
    np.testing.assert_array_equal(problem.y, y_train)
    np.testing.assert_array_equal(problem.X_test, X_test)
    np.testing.assert_array_equal(problem.y_test, y_test)


def test_iris_gives_the_notebooks_printed_numbers() -> None:
    """w of its sklearn fit is optimal on the training rows; loss and gradient on the test rows."""
    problem = load_problem("iris")
    w = np.array([-4.414, -9.111, 6.539, 12.686])

    def loss_and_grad(X: Any, y: Any) -> tuple[float, np.ndarray]:
        z = X @ w
        return float(np.mean(np.logaddexp(0, z) - y * z)), X.T @ (expit(z) - y) / len(y)

    assert problem.X_test is not None
    np.testing.assert_allclose(loss_and_grad(problem.X, problem.y)[1], 0, atol=1e-4)
    loss, grad = loss_and_grad(problem.X_test, problem.y_test)
    assert loss == pytest.approx(0.11824007099618833, abs=4e-4)  # w is printed to 5e-4
    np.testing.assert_allclose(grad, [-0.235, -0.122, -0.198, -0.064], atol=6e-4)


@pytest.mark.parametrize(("target", "label"), [("setosa", 0), ("versicolor", 1), ("virginica", 2)])
def test_iris_target_is_one_species(target: str, label: int) -> None:
    X, species = load_iris(return_X_y=True)
    problem = load_problem(f"iris:target={target},l2=0.5")
    assert problem.l2 == 0.5
    for X_part, y_part in ((problem.X, problem.y), (problem.X_test, problem.y_test)):
        assert X_part is not None
        assert y_part is not None
        for row, one in zip(X_part, y_part, strict=True):
            assert one in {int(s == label) for s in species[(row == X).all(axis=1)]}


def test_iris_setosa_is_separable_and_the_others_are_not() -> None:
    for target, expected in (("setosa", True), ("versicolor", False), ("virginica", False)):
        problem = load_problem(f"iris:target={target}")
        assert separable(problem.X, problem.y) is expected


def test_breast_cancer_is_all_rows_standardised() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    problem = load_problem("breast_cancer")
    assert problem.X.shape == (569, 30)
    assert problem.l2 == 1e-3
    assert problem.X_test is None
    assert problem.y_test is None
    np.testing.assert_allclose(problem.X.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(problem.X.var(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(problem.X * X.std(axis=0) + X.mean(axis=0), X, atol=1e-12 * X.max())
    np.testing.assert_array_equal(problem.y, y)
    assert not separable(problem.X, problem.y)


def test_digits_is_odd_against_even() -> None:
    X, digit = load_digits(return_X_y=True)
    problem = load_problem("digits")
    assert problem.X_test is not None
    assert problem.y_test is not None
    assert problem.X.shape == (1347, 64)
    assert problem.X_test.shape == (450, 64)
    assert problem.l2 == 1e-3
    label = {(row / 16).tobytes(): d % 2 for row, d in zip(X, digit, strict=True)}
    rows = np.vstack([problem.X, problem.X_test])
    found = [label[row.tobytes()] for row in rows]
    np.testing.assert_array_equal(found, [*problem.y, *problem.y_test])
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(X / 16, axis=0))
    assert abs(problem.y.mean() - problem.y_test.mean()) < 0.01  # stratified


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in ("file", "synthetic")])
def test_problem_is_the_same_every_time_and_named_as_typed(name: str) -> None:
    spec = f" {name}:l2=0.25"
    problem = load_problem(spec)
    assert problem.name == spec.strip()
    assert problem.l2 == 0.25
    assert problem.fingerprint == load_problem(spec).fingerprint
    n_classes = {"iris3": 3, "wine": 3, "digits10": 10}.get(name, 2)
    assert problem.n_classes == n_classes
    d = problem.n_features
    assert problem.coefficient_shape == ((d,) if n_classes == 2 else (n_classes, d))
    assert (problem.n_samples, problem.n_features) == problem.X.shape


# ---------------------------------------------------------------------------------- synthetic


@st.composite
def sizes(draw: st.DrawFn) -> dict[str, Any]:
    d = draw(st.integers(1, 12))
    return {
        "n": draw(st.integers(20 * d + 20, 400)),
        "d": d,
        "cond": draw(st.floats(1, 1e8)) if d > 1 else 1.0,
        "noise": draw(st.floats(0, 0.5, exclude_max=True)),
        "seed": draw(st.integers(0, 2**32)),
    }


@settings(max_examples=40)
@given(sizes())
def test_synthetic_is_as_asked(size: dict[str, Any]) -> None:
    problem = synthetic(**size)
    n, d = size["n"], size["d"]
    assert problem.X.shape == (n, d)
    assert problem.X_test is not None
    assert problem.X_test.shape == (n // 4, d)
    s = np.linalg.svd(problem.X, compute_uv=False)
    # Rounding moves s_d by about u s_1: its square by 2 u sqrt(cond), relative to it.
    assert s[0] ** 2 / s[-1] ** 2 == pytest.approx(size["cond"], rel=1e-13 * size["cond"] ** 0.5)
    assert (problem.X**2).sum() == pytest.approx(n * d, rel=1e-12)  # trace of X^T X
    assert problem.fingerprint == synthetic(**size).fingerprint


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("d", "cond", "noise"), [(2, 1.0, 0.0), (5, 1e4, 0.0), (20, 100.0, 0.05)])
def test_synthetic_is_not_separable(d: int, cond: float, noise: float, seed: int) -> None:
    problem = synthetic(n=600, d=d, cond=cond, noise=noise, seed=seed)
    assert not separable(problem.X, problem.y)


def test_synthetic_labels_follow_the_model() -> None:
    """P(y = 1) = sigmoid(z), z ~ N(0, 4): the Bayes error is about 0.21, and noise adds to it."""
    accuracy = {}
    for noise in (0.0, 0.2):
        problem = synthetic(n=4000, d=3, cond=10, noise=noise, l2=0.0)
        w = np.zeros(3)
        for _ in range(20):  # Newton
            p = expit(problem.X @ w)
            H = (problem.X.T * (p * (1 - p))) @ problem.X
            w -= np.linalg.solve(H, problem.X.T @ (p - problem.y))
        assert problem.X_test is not None
        assert problem.y_test is not None
        accuracy[noise] = float(((problem.X_test @ w > 0) == problem.y_test).mean())
        if noise == 0:
            assert np.std(problem.X @ w) == pytest.approx(2.0, rel=0.1)
    assert accuracy[0.0] == pytest.approx(0.79, abs=0.03)
    assert accuracy[0.2] == pytest.approx(0.2 + 0.6 * 0.79, abs=0.03)


def test_synthetic_signal_lies_in_every_direction() -> None:
    """Directions of little variance carry as much of the label as others: `cond` is felt."""
    shares = []
    for seed in range(20):
        problem = synthetic(n=300, d=4, cond=1e6, noise=0.0, seed=seed)
        U, _, _ = np.linalg.svd(problem.X, full_matrices=False)
        shares.append((U.T @ (problem.y - 0.5)) ** 2)
    share = np.mean(shares, axis=0) / np.sum(np.mean(shares, axis=0))
    np.testing.assert_allclose(share, 0.25, atol=0.12)


def test_synthetic_seed_and_noise_are_felt() -> None:
    base = {"n": 500, "d": 4}
    plain = synthetic(**base, noise=0.0)
    flipped = synthetic(**base, noise=0.3)
    np.testing.assert_array_equal(plain.X, flipped.X)
    assert np.mean(plain.y != flipped.y) == pytest.approx(0.3, abs=0.06)
    assert np.mean(plain.y_test != flipped.y_test) == pytest.approx(0.3, abs=0.12)
    other = synthetic(**base, noise=0.0, seed=1)
    assert not np.array_equal(plain.X, other.X)
    assert not np.array_equal(plain.y, other.y)


def test_synthetic_takes_sizes_in_scientific_notation() -> None:
    assert load_problem("synthetic:n=1e3,d=5").X.shape == (1000, 5)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("n=0", "n=0"),
        ("n=-5", "n=-5"),
        ("n=1,d=1", "n=1"),
        ("n=5,d=9", "n=5, d=9"),
        ("d=0", "d=0"),
        ("cond=0.5", "cond must be >= 1.*; got 0.5"),
        ("cond=-1", "cond must be >= 1.*; got -1"),
        ("cond=nan", "cond must be a finite number; got 'nan'"),
        ("cond=inf", "cond must be a finite number; got 'inf'"),
        ("noise=0.5", r"noise must be in \[0, 0.5\); got 0.5"),
        ("noise=-0.1", r"noise must be in \[0, 0.5\); got -0.1"),
        ("seed=-1", "seed must be >= 0; got -1"),
        ("seed=0.5", "seed must be an integer; got '0.5'"),
        ("n=50,d=2,l2=-1", "l2 must be finite and >= 0; got -1"),
        ("m=3", "no parameter 'm'"),
        ("n=1e15,d=2", r"n=1e15.*(memory|large|many|lower)"),  # 16 PB
        ("n=1e300,d=2", r"n=1e300.*(memory|large|many|lower)"),
        ("n=2,d=1", "both classes"),
    ],
)
def test_synthetic_parameter_errors(parameters: str, says: str) -> None:
    refused(f"synthetic:{parameters}", says)


@pytest.mark.parametrize("bad", [{"cond": np.nan}, {"cond": np.inf}, {"noise": np.nan}])
def test_synthetic_refuses_what_is_not_finite_in_python_too(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        synthetic(**({"n": 50, "d": 3} | bad))


# ------------------------------------------------------------------------------------ Problem

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [2.0, 2.0]])
Y = np.array([0, 1, 0, 1])


def made(**changed: Any) -> Problem:
    return Problem(**({"name": "p", "X": X, "y": Y, "l2": 0.1} | changed))


def with_test(**changed: Any) -> Problem:
    return made(**({"X_test": X[:2], "y_test": Y[:2]} | changed))


@pytest.mark.parametrize(
    "other",
    [
        with_test(X=X + np.array([[0, 0], [0, 1e-15], [0, 0], [0, 0]])),
        with_test(X=X[::-1]),
        with_test(X=X[:3], y=Y[:3]),
        with_test(y=1 - Y),
        with_test(l2=0.2),
        with_test(l2=np.nextafter(0.1, 1)),
        with_test(X_test=2 * X[:2]),
        with_test(X_test=X[:1], y_test=Y[:1]),
        with_test(y_test=[1, 0]),
        made(),
    ],
)
def test_fingerprint_changes_with_the_content(other: Problem) -> None:
    assert other.fingerprint != with_test().fingerprint


@pytest.mark.parametrize(
    "same",
    [
        made(name="another name"),
        made(X=np.asfortranarray(X)),
        made(X=np.repeat(X, 2, axis=0)[::2]),
        made(X=X.astype(np.float32)),  # these entries are exact in float32
        made(X=X.tolist(), y=Y.tolist()),
        made(X=pd.DataFrame(X), y=pd.Series(Y)),
        made(y=Y.astype(float)),
        made(y=Y.astype(bool)),
        made(y=Y.astype(np.uint8)),
        made(l2=np.float64(0.1)),
    ],
)
def test_fingerprint_does_not_change_with_name_order_or_type(same: Problem) -> None:
    assert same.fingerprint == made().fingerprint


def test_fingerprint_of_the_test_split_does_not_change_with_order_or_type() -> None:
    same = with_test(X_test=np.asfortranarray(X[:2]), y_test=Y[:2].astype(float))
    assert same.fingerprint == with_test().fingerprint


_SOME = st.integers(1, 4).flatmap(
    lambda d: arrays(np.float64, (6, d), elements=st.floats(-9, 9), fill=st.nothing())
)


@given(_SOME, _SOME)
def test_equal_fingerprints_mean_equal_data(A: np.ndarray, B: np.ndarray) -> None:
    y = np.arange(6) % 2
    equal = A.shape == B.shape and A.tobytes() == B.tobytes()
    assert (Problem("a", A, y).fingerprint == Problem("b", B, y).fingerprint) is equal
    assert Problem("a", A, y).fingerprint == Problem("b", A.copy("F"), y).fingerprint


@pytest.mark.parametrize("spec", ["iris", "breast_cancer", "digits", "synthetic:n=50,d=2"])
def test_arrays_are_read_only(spec: str) -> None:
    loaded = load_problem(spec)
    for array in (loaded.X, loaded.y, loaded.X_test, loaded.y_test):
        if array is not None:
            assert array.dtype in (np.float64, np.intp)
            assert array.flags.c_contiguous
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_fields_are_frozen_and_the_callers_arrays_stay_writable() -> None:
    mine = X.copy()
    frozen = made(X=mine)
    with pytest.raises(AttributeError):
        frozen.l2 = 2.0  # type: ignore[misc]
    mine[0, 0] = 1.0
    assert mine.flags.writeable


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ({"X": X * np.nan}, ValueError, r"X must be finite; X\[0, 0\] is nan: drop or impute"),
        ({"X": np.where(X == 3, np.inf, X)}, ValueError, r"X\[1, 0\] is inf"),
        ({"X": X[:, 0]}, ValueError, r"shape \(n, d\); got \(4,\): use X.reshape"),
        ({"X": X[None]}, ValueError, r"shape \(n, d\); got \(1, 4, 2\)"),
        ({"X": X[:0], "y": []}, ValueError, r"at least one row and one column; got shape \(0, 2\)"),
        ({"X": X[:, :0]}, ValueError, r"at least one row and one column; got shape \(4, 0\)"),
        ({"X": X + 1j}, TypeError, "real numbers; got dtype complex128"),
        ({"X": X.astype(str)}, TypeError, "real numbers; got dtype <U"),
        ({"X": None}, TypeError, "real numbers"),
        ({"X": [[1, 2], [3]]}, TypeError, "X must be an array of numbers"),
        ({"y": Y[:3]}, ValueError, r"one label per row of X, shape \(4,\); got \(3,\)"),
        ({"y": Y[:, None]}, ValueError, r"got \(4, 1\): use y.ravel"),
        ({"y": [0, 1, 3, 1]}, ValueError, r"or 0 ... c - 1 with no gap; found 0, 1, 3 but no 2"),
        ({"y": [1, 2, 1, 2]}, ValueError, "found 1, 2 but no 0: recode them"),
        ({"y": [0, 1, 7, 1]}, ValueError, "found 0, 1, 7: recode them"),
        ({"y": [-1, 1, -1, 1]}, ValueError, "found -1, 1: map -1 to 0"),
        ({"y": [0, 1, 0.5, 1]}, ValueError, "found 0, 0.5, 1"),
        ({"y": [0, 1, np.nan, 1]}, ValueError, "found 0, 1, nan"),
        ({"y": [1, 1, 1, 1]}, ValueError, "both classes; all 4 labels are 1"),
        ({"y": [0, 0, 0, 0]}, ValueError, "both classes; all 4 labels are 0"),
        ({"y": ["a", "b", "a", "b"]}, TypeError, "y must hold real numbers"),
        ({"l2": -1.0}, ValueError, "l2 must be finite and >= 0; got -1"),
        ({"l2": np.nan}, ValueError, "l2 must be finite and >= 0; got nan"),
        ({"l2": np.inf}, ValueError, "l2 must be finite and >= 0; got inf"),
        ({"l2": "0.1"}, TypeError, "l2 must be a number >= 0; got '0.1'"),
        ({"l2": None}, TypeError, "l2 must be a number >= 0; got None"),
        ({"X_test": X}, ValueError, "both X_test and y_test"),
        ({"y_test": Y}, ValueError, "both X_test and y_test"),
        ({"X_test": X[:, :1], "y_test": Y}, ValueError, "X_test has 1 columns, X has 2"),
        ({"X_test": X * np.inf, "y_test": Y}, ValueError, r"X_test must be finite; X_test\["),
        ({"X_test": X[0], "y_test": Y}, ValueError, r"X_test must have shape \(n, d\)"),
        ({"X_test": X[:0], "y_test": []}, ValueError, "X_test must have at least one row"),
        ({"X_test": X.astype(str), "y_test": Y}, TypeError, "X_test must hold real numbers"),
        ({"X_test": X, "y_test": Y[:3]}, ValueError, r"y_test .*4.*(got|found) .*3"),
        (
            {"X_test": X, "y_test": [0, 1, 2, 0]},
            ValueError,
            "y_test .*0 (and|or) 1.*(got|found).*2",
        ),
        ({"X_test": X, "y_test": list("abab")}, (ValueError, TypeError), "y_test"),
        ({"X_test": X, "y_test": [0, [1], 0, 1]}, (ValueError, TypeError), "y_test"),
    ],
)
def test_problem_refuses_what_cannot_be_fitted(
    bad: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as refusal:
        made(**bad)
    assert "\n" not in str(refusal.value)


def test_one_class_is_enough_for_a_test_split() -> None:
    assert with_test(y_test=[1, 1]).y_test.tolist() == [1, 1]  # type: ignore[union-attr]
