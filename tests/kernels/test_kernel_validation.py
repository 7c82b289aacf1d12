"""Which data `bind` takes and in what words it refuses the rest: checked before any kernel runs.

So once, with the reference; `test_every_kernel_is_bound_to_checked_data` says that the others are
behind the same checks. What each kernel checks by itself, w and rows, is in
test_contract_calls.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from variants import Variant, assert_one_line_with, bits, each_variant, read_only

from logreg_kernels import bind
from logreg_kernels.validation import DTYPES, DType, check_labels, check_matrix

# Numbers that float32 holds exactly, so that every form below is the same X in both dtypes.
X = np.random.default_rng(0).integers(-8, 9, size=(12, 3)) / 4
Y = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1])
W = [0.25, -1.0, 0.5]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


FORMS_OF_X: dict[str, Callable[[], Any]] = {
    "lists": lambda: X.tolist(),
    "tuples": lambda: tuple(map(tuple, X.tolist())),
    "list of arrays": lambda: list(X),
    "Fortran order": lambda: np.asfortranarray(X),
    "every other row and column": lambda: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed view": lambda: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda: read_only(X),
    "float16": lambda: X.astype(np.float16),
    "float32": lambda: X.astype(np.float32),
    "long double": lambda: X.astype(np.longdouble),
    "big-endian": lambda: X.astype(">f8"),
    "torch float32": lambda: torch.tensor(X, dtype=torch.float32),
    "torch float64": lambda: torch.tensor(X),
    "torch with gradient": lambda: torch.tensor(X, requires_grad=True),
    "torch transposed": lambda: torch.tensor(X.T.copy()).T,
    "DataFrame": lambda: pd.DataFrame(X, columns=["a", "b", "c"]),
    "DataFrame with an index": lambda: pd.DataFrame(X, index=range(100, 112)),
    "DataFrame of two dtypes": lambda: pd.DataFrame(X).astype({0: np.float32}),
    "DataFrame of Float64": lambda: pd.DataFrame(X).astype("Float64"),
}


@each_dtype
@pytest.mark.parametrize("form", FORMS_OF_X)
def test_x_in_any_form(form: str, dtype: DType) -> None:
    assert_checked(FORMS_OF_X[form](), X, dtype)


def assert_checked(given: Any, expected: NDArray[Any], dtype: DType) -> None:
    """What kernels get of `given`: these numbers, row by row, in native bytes of this dtype."""
    matrix = check_matrix(given, dtype)
    assert matrix.dtype == np.dtype(dtype)
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, expected)


WHOLE = (4 * X).astype(int)
FORMS_OF_WHOLE_X: dict[str, tuple[Callable[[], Any], NDArray[Any]]] = {
    "int64": (lambda: WHOLE, WHOLE),
    "int8": (lambda: WHOLE.astype(np.int8), WHOLE),
    "uint8": (lambda: abs(WHOLE).astype(np.uint8), abs(WHOLE)),
    "bool": (lambda: WHOLE > 0, WHOLE > 0),
    "lists of int": (lambda: WHOLE.tolist(), WHOLE),
    "torch int64": (lambda: torch.tensor(WHOLE), WHOLE),
    "torch bool": (lambda: torch.tensor(WHOLE > 0), WHOLE > 0),
    "DataFrame of int": (lambda: pd.DataFrame(WHOLE), WHOLE),
    # What pandas.get_dummies leaves beside columns of numbers.
    "DataFrame of int and bool": (
        lambda: pd.DataFrame({"a": WHOLE[:, 0], "b": WHOLE[:, 1] > 0}),
        np.column_stack([WHOLE[:, 0], WHOLE[:, 1] > 0, np.zeros(12)])[:, :2],
    ),
}


@each_dtype
@pytest.mark.parametrize("form", FORMS_OF_WHOLE_X)
def test_x_of_whole_numbers(form: str, dtype: DType) -> None:
    make, equal = FORMS_OF_WHOLE_X[form]
    assert_checked(make(), equal, dtype)


FORMS_OF_Y: dict[str, Callable[[], Any]] = {
    "list": lambda: Y.tolist(),
    "bool": lambda: Y.astype(bool),
    "int8": lambda: Y.astype(np.int8),
    "float32": lambda: Y.astype(np.float32),
    "float64": lambda: Y.astype(np.float64),
    "read-only": lambda: read_only(Y),
    "every other": lambda: np.repeat(Y, 2)[::2],
    "reversed view": lambda: Y[::-1].copy()[::-1],
    "torch int64": lambda: torch.tensor(Y),
    "torch bool": lambda: torch.tensor(Y).bool(),
    "torch float32": lambda: torch.tensor(Y, dtype=torch.float32),
    "Series": lambda: pd.Series(Y),
    "Series with an index": lambda: pd.Series(Y, index=range(100, 112)),
    "Series of boolean": lambda: pd.Series(Y).astype("boolean"),
}


@pytest.mark.parametrize("form", FORMS_OF_Y)
def test_y_in_any_form(form: str) -> None:
    labels = check_labels(FORMS_OF_Y[form](), 12)
    assert labels.dtype == np.intp
    np.testing.assert_array_equal(labels, Y)


@pytest.mark.parametrize(
    "form",
    [
        np.ndarray.tolist,
        lambda y: y.astype(np.float32),
        read_only,
        lambda y: y[::-1].copy()[::-1],
        lambda y: torch.tensor(y, dtype=torch.int32),
    ],
)
def test_y_of_more_classes_in_any_form(form: Callable[[Any], Any]) -> None:
    y = np.arange(12) % 4
    np.testing.assert_array_equal(check_labels(form(y), 12), y)


@each_variant
def test_each_kernel_takes_other_forms_to_the_last_bit(variant: Variant) -> None:
    # Some of these reach the kernel as they are: in memory that is read-only, or torch's.
    expected = bits(variant.bind(X, Y, l2=0.1).value_and_grad(W))
    for name in ("lists", "read-only", "float32", "torch float64"):
        got = variant.bind(FORMS_OF_X[name](), Y, l2=0.1).value_and_grad(W)
        assert bits(got) == expected, name
    for name in ("list", "read-only", "Series"):
        got = variant.bind(X, FORMS_OF_Y[name](), l2=0.1).value_and_grad(W)
        assert bits(got) == expected, name


def with_entry(array: NDArray[Any], index: Any, entry: Any) -> NDArray[Any]:
    changed = array.astype(np.result_type(array, type(entry)))
    changed[index] = entry
    return changed


# What is passed instead of good data, the error, and words that its message must hold: what is
# wrong, what was found, what to do.
BAD: dict[str, tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = {
    "NaN": ({"X": with_entry(X, (4, 1), np.nan)}, ValueError, ("finite", "X[4, 1] is nan", "drop")),
    "inf": ({"X": with_entry(X, (0, 2), np.inf)}, ValueError, ("finite", "X[0, 2] is inf")),
    "-inf": ({"X": with_entry(X, (0, 2), -np.inf)}, ValueError, ("finite", "X[0, 2] is -inf")),
    "X is a vector": ({"X": X[:, 0]}, ValueError, ("(n, d)", "got (12,)", "reshape")),
    "X is a number": ({"X": 1.0}, ValueError, ("(n, d)", "got ()", "reshape")),
    "X is 3-D": ({"X": X[None]}, ValueError, ("(n, d)", "got (1, 12, 3)", "reshape")),
    "no rows": ({"X": X[:0], "y": Y[:0]}, ValueError, ("at least one row", "(0, 3)")),
    "no columns": ({"X": X[:, :0]}, ValueError, ("one column", "(12, 0)")),
    "no rows, in a list": ({"X": [], "y": []}, ValueError, ("(n, d)", "got (0,)")),
    "no columns, in a DataFrame": (
        {"X": pd.DataFrame(index=range(12))},
        ValueError,
        ("one column", "(12, 0)"),
    ),
    "ragged": ({"X": [[1, 2], [3]], "y": [0, 1]}, TypeError, ("X must be an array",)),
    "text": ({"X": X.astype(str)}, TypeError, ("X must hold real numbers", "<U", "encode")),
    "objects": ({"X": X.astype(object)}, TypeError, ("X must hold real numbers", "object")),
    "a column of text": (
        {"X": pd.DataFrame(X, columns=["a", "b", "c"]).astype({"b": str})},
        TypeError,
        ("X must hold real numbers", "'b'", "encode"),
    ),
    "dates": ({"X": X.astype("M8[s]")}, TypeError, ("X must hold real numbers", "datetime64")),
    "complex": ({"X": X + 1j}, TypeError, ("X must hold real numbers", "complex128")),
    "None": ({"X": None}, TypeError, ("X must hold real numbers", "object")),
    "y too short": ({"y": Y[:-1]}, ValueError, ("one label per row", "(12,)", "got (11,)", "pass")),
    "y is a column": ({"y": Y[:, None]}, ValueError, ("got (12, 1)", "y.ravel()")),
    "y is a number": ({"y": 1}, ValueError, ("one label per row", "got ()")),
    "y is None": ({"y": None}, TypeError, ("y must hold real numbers", "object")),
    "-1 and 1": ({"y": 2 * Y - 1}, ValueError, ("0 and 1", "found -1, 1", "map -1 to 0")),
    "1 and 2": ({"y": Y + 1}, ValueError, ("0 and 1", "found 1, 2 but no 0", "recode")),
    "no class 2": (
        {"y": with_entry(Y, 3, 3)},
        ValueError,
        ("0 ... c - 1 with no gap", "found 0, 1, 3 but no 2", "numpy.unique"),
    ),
    "a class beyond the rows": (
        {"y": with_entry(Y, 3, 12)},
        ValueError,
        ("0 ... c - 1", "found 0, 1, 12", "recode"),
    ),
    "a huge label": ({"y": with_entry(Y, 3, 10**15)}, ValueError, ("found 0, 1, 1e+15", "recode")),
    "a probability": ({"y": with_entry(Y, 3, 0.5)}, ValueError, ("found 0, 0.5, 1", "recode")),
    "NaN in y": ({"y": with_entry(Y, 3, np.nan)}, ValueError, ("0 and 1", "nan")),
    "many labels": ({"y": 3 * np.arange(12)}, ValueError, ("found 0, 3, 6, 9, 12, ...", "recode")),
    "text in y": ({"y": np.array(["no", "yes"])[Y]}, TypeError, ("y must hold", "<U3", "encode")),
    "complex y": ({"y": Y + 0j}, TypeError, ("y must hold real numbers", "complex128")),
    "only 0": ({"y": 0 * Y}, ValueError, ("both classes", "all 12 labels are 0", "nothing to fit")),
    "only 1": ({"y": 0 * Y + 1}, ValueError, ("both classes", "all 12 labels are 1")),
    "one row": ({"X": X[:1], "y": Y[:1]}, ValueError, ("both classes", "all 1 labels are 0")),
    "l2 below 0": ({"l2": -0.5}, ValueError, ("l2 must be finite and >= 0", "-0.5")),
    "l2 NaN": ({"l2": np.nan}, ValueError, ("l2 must be finite and >= 0", "nan")),
    "l2 inf": ({"l2": np.inf}, ValueError, ("l2 must be finite and >= 0", "inf")),
    "l2 text": ({"l2": "0.1"}, TypeError, ("l2 must be a number >= 0", "'0.1'")),
    "l2 None": ({"l2": None}, TypeError, ("l2 must be a number >= 0", "None")),
    "l2 a list": ({"l2": [0.1]}, TypeError, ("l2 must be a number >= 0", "[0.1]")),
    "no such dtype": ({"dtype": "float16"}, ValueError, ("float32, float64", "'float16'")),
    "dtype None": ({"dtype": None}, ValueError, ("float32, float64", "'None'")),
    "no such device": ({"device": "gpu"}, ValueError, ("can't run on 'gpu'",)),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_line(what: str) -> None:
    changed, error, words = BAD[what]
    for dtype in DTYPES:
        good = {"X": X, "y": Y, "l2": 0.1, "device": "cpu", "dtype": dtype}
        with pytest.raises(error) as caught:
            bind("numpy", **(good | changed))
        assert_one_line_with(caught.value, words)


@each_variant
def test_every_kernel_is_bound_to_checked_data(variant: Variant) -> None:
    for what in ("NaN", "inf", "X is a vector", "text", "y too short", "-1 and 1", "no class 2"):
        changed, error, words = BAD[what]
        with pytest.raises(error) as caught:
            variant.bind(**({"X": X, "y": Y} | changed))
        assert_one_line_with(caught.value, words)
    for l2 in (-0.5, np.nan):
        with pytest.raises(ValueError, match="l2 must be finite and >= 0"):
            variant.bind(X, Y, l2=l2)
    with pytest.raises(ValueError, match="dtype must be one of float32, float64"):
        bind(variant.kernel, X, Y, device=variant.device, dtype="float16")


def test_beyond_the_range_of_float32() -> None:
    big = with_entry(X, (4, 1), 1e39)
    with pytest.raises(ValueError, match="beyond the range of float32") as caught:
        bind("numpy", big, Y, dtype="float32")
    assert_one_line_with(caught.value, ("X[4, 1] = 1e+39", "scale X"))
    with pytest.raises(ValueError, match="beyond the range of float32") as caught:
        bind("numpy", X, Y, l2=1e39, dtype="float32")
    assert_one_line_with(caught.value, ("l2 = 1e+39", "use float64"))


@each_variant
def test_the_range_of_float64_is_taken_in_float64(variant: Variant) -> None:
    big = with_entry(X, (4, 1), 1e39)
    if variant.dtype == "float64":
        objective = variant.bind(big, Y, l2=1e39)
        assert np.isfinite(float(objective.value_and_grad([0.0, 0.0, 0.0])[0]))
    else:
        with pytest.raises(ValueError, match="beyond the range of float32"):
            variant.bind(big, Y)
