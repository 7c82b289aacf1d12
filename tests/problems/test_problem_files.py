"""The user's own files: the same problem from every format, or one line that says what is wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import refused
from sklearn.model_selection import train_test_split

from bench.errors import InputError
from bench.problems import load_problem

ROWS = 40
_RNG = np.random.default_rng(5)
FEATURES = _RNG.normal([3.0, -1.0, 100.0], [1.0, 0.1, 20.0], (ROWS, 3))
LABELS = np.arange(ROWS) % 2


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def frame(**columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(FEATURES, columns=["a", "b", "c"]).assign(y=LABELS)
    return table.assign(**columns)


def write(name: str, content: bytes | str | pd.DataFrame | dict[str, Any]) -> str:
    """Put a file of that name here; its suffix says how a frame or arrays are written."""
    path = Path(name)
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False, sep="\t" if path.suffix == ".tsv" else ",")
    if isinstance(content, dict):
        np.savez(path, **content)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def svmlight() -> str:
    rows = zip(FEATURES.tolist(), LABELS, strict=True)
    return "".join(
        f"{'+1' if y else '-1'} " + " ".join(f"{j}:{v!r}" for j, v in enumerate(x, 1)) + "\n"
        for x, y in rows
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my.csv", frame()),
        ("my.CSV", frame()),
        ("my.tsv", frame()),
        ("my.npz", {"X": FEATURES, "y": LABELS}),
        ("my.svm", svmlight()),
        ("my.libsvm", svmlight()),
        ("my.svmlight", svmlight()),
        ("text classes.csv", frame(y=np.where(LABELS, "yes", "no"))),
        ("truth.csv", frame(y=LABELS.astype(bool))),
        ("other numbers.csv", frame(y=3.5 * LABELS - 7)),
        ("text classes.npz", {"X": FEATURES, "y": np.where(LABELS, "yes", "no"), "z": 1}),
        ("byte order mark.csv", b"\xef\xbb\xbf" + frame().to_csv(index=False).encode()),
    ],
)
def test_file_of_every_kind_is_the_same_problem(name: str, content: Any) -> None:
    path = write(name, content)
    loaded = load_problem(f"file:path={path}")
    assert loaded.name == f"file:path={path}"
    assert loaded.l2 == 1e-3
    X, X_test, y, y_test = train_test_split(
        FEATURES, LABELS, test_size=0.25, random_state=0, stratify=LABELS
    )
    np.testing.assert_array_equal(loaded.y, y)
    np.testing.assert_array_equal(loaded.y_test, y_test)
    # Mean 0 and variance 1 on the training rows; the test rows are moved with them.
    np.testing.assert_allclose(loaded.X, (X - X.mean(0)) / X.std(0), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(
        loaded.X_test, (X_test - X.mean(0)) / X.std(0), rtol=1e-9, atol=1e-11
    )


def test_file_options() -> None:
    path = write("my.csv", frame()[["a", "y", "b", "c"]])
    loaded = load_problem(f"file:path={path},target=y,standardise=no,l2=0.5")
    assert loaded.l2 == 0.5
    X, X_test, y, _ = train_test_split(
        FEATURES, LABELS, test_size=0.25, random_state=0, stratify=LABELS
    )
    np.testing.assert_array_equal(loaded.X, X)
    np.testing.assert_array_equal(loaded.X_test, X_test)
    np.testing.assert_array_equal(loaded.y, y)


def test_file_of_more_classes_than_two() -> None:
    path = write("my.csv", frame(y=np.array(["b", "c", "a"])[np.arange(ROWS) % 3]))
    loaded = load_problem(f"file:path={path}")
    assert loaded.n_classes == 3
    assert loaded.coefficient_shape == (3, loaded.n_features)
    counts = np.bincount(loaded.y) + np.bincount(loaded.y_test)
    assert counts.tolist() == [13, 14, 13]  # a, b, c


def test_file_takes_truth_values_as_features() -> None:
    path = write("my.csv", frame(a=FEATURES[:, 0] > 3))
    X = load_problem(f"file:path={path},standardise=no").X
    assert set(np.unique(X[:, 0])) == {0.0, 1.0}


HAS_PARQUET = any(importlib.util.find_spec(name) for name in ("pyarrow", "fastparquet"))


@pytest.mark.skipif(not HAS_PARQUET, reason="pandas has no Parquet engine here")
def test_parquet_file() -> None:
    frame().to_parquet("my.parquet")
    assert load_problem("file:path=my.parquet").X.shape == (30, 3)
    refused(f"file:path={write('bad.parquet', b'PAR1 and no more')}", "bad.parquet")


@pytest.mark.skipif(HAS_PARQUET, reason="pandas has a Parquet engine here")
def test_parquet_file_without_an_engine() -> None:
    refused(f"file:path={write('my.parquet', b'PAR1')}", "my.parquet.*pyarrow")


def _corrupt_zip() -> bytes:
    np.savez("whole.npz", X=FEATURES, y=LABELS)
    content = Path("whole.npz").read_bytes()
    return content[:300] + bytes(16) + content[316:]


def _corrupt_deflate() -> bytes:
    np.savez_compressed("whole.npz", X=FEATURES, y=LABELS)
    content = Path("whole.npz").read_bytes()
    return content[:100] + b"\xff" * 32 + content[132:]


def _cut_zip() -> bytes:
    np.savez("whole.npz", X=FEATURES, y=LABELS)
    return Path("whole.npz").read_bytes()[:-60]


def _plain_array() -> bytes:
    np.save("whole.npy", FEATURES)
    return Path("whole.npy").read_bytes()


NAN = np.where(np.arange(ROWS) == 3, np.nan, FEATURES[:, 0])
GARBAGE = bytes(np.random.default_rng(0).integers(0, 256, 400, dtype=np.uint8))
OBJECTS = np.array([None, *range(ROWS - 1)], dtype=object)
LETTERS = np.where(LABELS, "é", "e")


def csv(**columns: Any) -> str:
    return frame(**columns).to_csv(index=False)


def npz(X: Any = FEATURES, y: Any = LABELS) -> dict[str, Any]:
    return {"X": X, "y": y}


def far_down(feature: str, label: str) -> str:
    """A last row of another type than the rest, beyond what pandas reads at once by default."""
    header = ",".join([*(f"c{j}" for j in range(999)), "y"])
    rows = ["0," * 999 + str(i % 2) for i in range(1100)]
    return "\n".join([header, *rows, f"{feature}," + "0," * 998 + label])


UNREADABLE = {
    "csv of no bytes": (".csv", "", "empty|no rows|nothing"),
    "csv of blank lines": (".csv", "\n\n", "empty|no rows|nothing"),
    "csv of a header": (".csv", "a,b,y\n", "empty|no rows"),
    "csv of garbage": (".csv", GARBAGE, "UTF-8|not text"),
    "csv of zero bytes": (".csv", bytes(100), "CSV|not text|no rows|empty"),
    "csv in UTF-16": (".csv", csv().encode("utf-16"), "UTF-8"),
    "csv in Latin-1": (".csv", csv(y=LETTERS).encode("latin-1"), "UTF-8"),
    "csv with a longer row": (".csv", "a,b,y\n1,2,0\n1,2,3,4,5\n", "line 3"),
    "csv with an open quote": (".csv", 'a,b,y\n"1,2,0\n1,2,1\n', "CSV|quote|inside string"),
    "csv with semicolons": (
        ".csv",
        csv().replace(",", ";"),
        "one column .*by commas",
    ),
    "npz of no bytes": (".npz", b"", "NPZ"),
    "npz of garbage": (".npz", GARBAGE, "NPZ"),
    "npz of a zip's head": (".npz", b"PK\x03\x04" + GARBAGE, "NPZ"),
    "npz cut off": (".npz", _cut_zip, "NPZ"),
    "npz corrupt": (".npz", _corrupt_zip, "NPZ"),
    "npz corrupt and compressed": (".npz", _corrupt_deflate, "NPZ"),
    "npz of one plain array": (".npz", _plain_array, "X and y"),
    "svmlight of no bytes": (".svm", "", "empty|no rows|nothing"),
    "svmlight of a comment": (".svm", "# nothing\n", "empty|no rows|nothing"),
    "svmlight of words": (".svm", "hello world\n", "svmlight"),
    "svmlight of garbage": (".svm", GARBAGE, "svmlight"),
    "svmlight with two labels": (".svm", "1,2 1:1\n0 1:2\n", "svmlight"),
    "svmlight with an index twice": (".svm", "1 1:1 1:2\n0 1:2\n" * 9, "(?i)svmlight"),
    "svmlight beyond int": (".svm", "1 1:1\n0 4000000000:2\n" * 9, "svmlight|columns|features"),
    "svmlight beyond memory": (".svm", "1 1:1\n0 2000000000:2\n" * 400, "memory|columns|features"),
    "xlsx": (".xlsx", b"", r"'\.xlsx'.*\.csv.*\.npz"),
    "no suffix": ("", b"", r"without.*\.csv.*\.npz"),
}

UNFIT = {
    "text feature": (".csv", csv(b="red"), "columns? b .*text.*encode"),
    "text far down": (".csv", lambda: far_down("x", "1"), "columns? c0 .*text"),
    "text label far down": (".csv", lambda: far_down("0", "x"), "class x has 1"),
    "date feature": (".csv", csv(b="2020-01-01"), "columns? b .*text.*encode"),
    "target only": (".csv", "y\n" + "0\n1\n" * 9, "column"),
    "no array y": (".npz", {"X": FEATURES}, "arrays X and y; found X"),
    "other arrays": (".npz", {"A": FEATURES, "b": LABELS}, "arrays X and y; found A, b"),
    "no arrays": (".npz", {}, "arrays X and y; found none"),
    "array of objects": (".npz", npz(y=OBJECTS), "y .*(numbers|objects)"),
    "flat X": (".npz", npz(X=FEATURES[:, 0]), r"shape \(n, d\); got \(40,\)"),
    "y a column": (".npz", npz(y=LABELS[:, None]), r"shape \(40,\); got \(40, 1\)"),
    "y too short": (".npz", npz(y=LABELS[1:]), r"shape \(40,\); got \(39,\)"),
    "complex X": (".npz", npz(X=FEATURES + 1j), "real numbers; got dtype complex128"),
    "text X": (".npz", npz(X=FEATURES.astype(str)), "real numbers; got dtype <U"),
    "no rows": (".npz", npz(FEATURES[:0], LABELS[:0]), "no rows|at least one row"),
    "nan in csv": (".csv", csv(b=NAN), r"(b|X\[3, 1\]).*(nan|missing).*drop or impute"),
    "inf in csv": (".csv", csv(b=np.where(LABELS, np.inf, 1)), r"(b|X\[1, 1\]).* inf"),
    "nan in npz": (".npz", npz(X=np.column_stack([NAN, NAN])), r"X\[3, 0\] is nan: drop"),
    "nan in svmlight": (".svm", "1 1:nan\n0 1:2\n" * 9, r"X\[0, 0\] is nan"),
    "too wide to scale": (".csv", csv(b=np.where(LABELS, 1e308, -1e308)), "scale"),
    "label missing": (".csv", csv(y=[None, *LABELS[1:]]), "'y' .*missing"),
    "labels nan": (".npz", npz(y=np.where(LABELS, np.nan, 1)), "missing|nan"),
    "one class": (".csv", csv(y=1), "two classes; found 1: 1"),
    "one class in npz": (".npz", npz(y=LABELS * 0), "two classes; found 1: 0"),
    "40 classes": (".csv", csv(y=range(ROWS)), r"40 values in 40 rows \(0, 1, 2, 3, 4, \.\.\.\)"),
    "one row of a class": (".csv", csv(y=np.arange(ROWS) == 7), "rows? .*class|class .*rows?"),
    "two rows": (".csv", frame()[:2].to_csv(index=False), "rows? .*class|class .*rows?"),
    "four rows": (".csv", frame()[:4].to_csv(index=False), "rows? .*class|class .*rows?"),
}

CASES = UNREADABLE | UNFIT


@pytest.mark.parametrize("case", CASES)
def test_file_that_cannot_be_used(case: str) -> None:
    suffix, content, says = CASES[case]
    path = write(f"my{suffix}", content() if callable(content) else content)
    assert path in refused(f"file:path={path}", says)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("file", r"needs path=\.\.\."),
        ("file:path=missing.csv", "no file 'missing.csv'"),
        ("file:path=missing.npz", "no file 'missing.npz'"),
        ("file:path=folder.csv", "folder.csv"),
        ("file:path=my.csv,target=z", "no column 'z'; there are a, b, c, y"),
        ("file:path=my.csv,target=a", "40 values in 40 rows .* is it a measurement"),
        ("file:path=my.csv,standardise=maybe", "standardise must be true or false; got 'maybe'"),
        ("file:path=my.csv,l2=-1", "l2 must be finite and >= 0; got -1"),
        ("file:path=my.csv,delimiter=;", "no parameter 'delimiter'"),
    ],
)
def test_file_spec_that_cannot_be_used(spec: str, says: str) -> None:
    write("my.csv", frame())
    Path("folder.csv").mkdir()
    refused(spec, says)


@settings(max_examples=60)
@given(st.sampled_from([".csv", ".tsv", ".npz", ".svm"]), st.binary(max_size=200))
def test_no_bytes_get_past_input_error(suffix: str, content: bytes) -> None:
    path = write(f"any{suffix}", content)
    with pytest.raises(InputError) as refusal:
        load_problem(f"file:path={path}")
    assert "\n" not in str(refusal.value)
