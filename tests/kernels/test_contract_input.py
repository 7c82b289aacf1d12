"""The contract: which X and y a kernel takes, and in what words it refuses the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from variants import Variant, bits, each_variant, read_only

from logreg_kernels import bind

# Numbers that float32 holds exactly, so that every form below is the same X in both dtypes.
X = np.random.default_rng(0).integers(-8, 9, size=(12, 3)) / 4
Y = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1])
W = [0.25, -1.0, 0.5]


def bits_of(variant: Variant, X: Any, y: Any) -> list[bytes]:
    return bits(variant.bind(X, y, l2=0.1).value_and_grad(W))


@cache
def plain_bits(variant: Variant) -> list[bytes]:
    return bits_of(variant, X, Y)


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


@each_variant
@pytest.mark.parametrize("form", FORMS_OF_X)
def test_x_in_any_form(variant: Variant, form: str) -> None:
    assert bits_of(variant, FORMS_OF_X[form](), Y) == plain_bits(variant)


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


@each_variant
@pytest.mark.parametrize("form", FORMS_OF_WHOLE_X)
def test_x_of_whole_numbers(variant: Variant, form: str) -> None:
    make, equal = FORMS_OF_WHOLE_X[form]
    w = W[: equal.shape[1]]
    got = variant.bind(make(), Y).value_and_grad(w)
    expected = variant.bind(equal.astype(np.float64), Y).value_and_grad(w)
    assert bits(got) == bits(expected)


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


@each_variant
@pytest.mark.parametrize("form", FORMS_OF_Y)
def test_y_in_any_form(variant: Variant, form: str) -> None:
    assert bits_of(variant, X, FORMS_OF_Y[form]()) == plain_bits(variant)


@each_variant
def test_x_and_y_are_left_as_they_were(variant: Variant) -> None:
    given_X, given_y = X.astype(variant.dtype), Y.astype(variant.dtype)
    objective = variant.bind(given_X, given_y, l2=0.1)
    objective.value_and_grad(W)
    objective.value_and_grad(W, rows=[0, 1])
    objective.value_and_grad_batch([W, W])
    np.testing.assert_array_equal(given_X, X)
    np.testing.assert_array_equal(given_y, Y)


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


@each_variant
@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_line(variant: Variant, what: str) -> None:
    changed, error, words = BAD[what]
    good = {"X": X, "y": Y, "l2": 0.1, "device": variant.device, "dtype": variant.dtype}
    with pytest.raises(error) as caught:
        bind(variant.kernel, **(good | changed))
    assert_one_line_with(caught.value, words)


def assert_one_line_with(error: BaseException, words: tuple[str, ...]) -> None:
    message = str(error)
    assert len(message.splitlines()) == 1
    assert [word for word in words if word not in message] == [], message


@each_variant
def test_beyond_the_range_of_float32(variant: Variant) -> None:
    big = with_entry(X, (4, 1), 1e39)
    if variant.dtype == "float64":
        assert np.isfinite(float(variant.bind(big, Y, l2=1e39).value_and_grad([0.0, 0.0, 0.0])[0]))
        return
    with pytest.raises(ValueError, match="beyond the range of float32") as caught:
        variant.bind(big, Y)
    assert_one_line_with(caught.value, ("X[4, 1] = 1e+39", "scale X"))
    with pytest.raises(ValueError, match="beyond the range of float32") as caught:
        variant.bind(X, Y, l2=1e39)
    assert_one_line_with(caught.value, ("l2 = 1e+39", "use float64"))


def test_unknown_kernel() -> None:
    with pytest.raises(ValueError, match=re.escape("no kernel 'cuda-fused'; there are numpy, ")):
        bind("cuda-fused", X, Y)


@each_variant
@pytest.mark.parametrize("w", [0.0, [], [0.0] * 2, [0.0] * 4, [[0.0] * 3], [[0.0]] * 3], ids=repr)
def test_w_of_another_shape(variant: Variant, w: Any) -> None:
    objective = variant.bind(X, Y)
    with pytest.raises(ValueError, match="w must have shape") as caught:
        objective.value_and_grad(w)
    assert_one_line_with(caught.value, ("(3,)", f"got {np.shape(w)}"))


@each_variant
@pytest.mark.parametrize("W", [[0.0] * 3, [[0.0] * 2], [[0.0]] * 3, np.empty((0, 3))], ids=repr)
def test_models_of_another_shape(variant: Variant, W: Any) -> None:
    objective = variant.bind(X, Y)
    with pytest.raises(ValueError, match="W must have shape") as caught:
        objective.value_and_grad_batch(W)
    assert_one_line_with(caught.value, ("(k, 3)", "k >= 1", f"got {np.shape(W)}"))


BAD_ROWS: dict[str, tuple[Any, type[Exception], tuple[str, ...]]] = {
    "none": ([], ValueError, ("at least one row index", "(0,)")),
    "2-D": ([[0, 1]], ValueError, ("at least one row index", "(1, 2)")),
    "one number": (3, ValueError, ("at least one row index", "()")),
    "a mask": (np.arange(12) < 4, TypeError, ("integers", "bool", "mask")),
    "floats": (np.array([0.0, 1.0]), TypeError, ("integers", "float64")),
}


@each_variant
@pytest.mark.parametrize("what", BAD_ROWS)
def test_rows_that_are_no_row_indices(variant: Variant, what: str) -> None:
    rows, error, words = BAD_ROWS[what]
    objective = variant.bind(X, Y)
    with pytest.raises(error) as caught:
        objective.value_and_grad(W, rows=rows)
    assert_one_line_with(caught.value, words)
    with pytest.raises(error):
        objective.value_and_grad(W, rows=torch.tensor(rows, device=variant.device))
