"""A JSON document that can't be read is refused in one line, whatever it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.files.json_documents import read_document, versioned_fields


def load_comparison(path: Path) -> list[dict[str, Any]]:
    return read_document(
        path,
        "a comparison",
        1,
        "python -m bench compare",
        lambda fields: [dict(cell) for cell in fields["cells"]],
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
LOADERS = {"a comparison": load_comparison}
NOT_ONES = {
    "nothing": b"",
    "bytes": bytes(range(128, 256)),
    "another encoding": '{"schema_version": 1, "é": 1}'.encode("utf-16")[:-1],
    "words": b"these are my notes",
    "a list": b"[1]",
    "no version": b"{}",
    "no fields": b'{"schema_version": 1}',
    "fields of another kind": b'{"schema_version": 1, "cases": 3, "cells": 3, "base": 1}',
    "deeply nested": b"[" * 100_000,
}


@pytest.mark.parametrize("what", LOADERS)
@pytest.mark.parametrize("case", NOT_ONES)
def test_what_is_something_else_is_called_so(tmp_path: Path, what: str, case: str) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(NOT_ONES[case])
    with pytest.raises(InputError) as refused:
        LOADERS[what](path)
    assert str(refused.value) == f"{path} is not {what}: move the file away"


@pytest.mark.parametrize(("load", "command"), [(load_comparison, "compare")])
def test_another_version_names_the_command_that_writes_this_one(
    tmp_path: Path, load: Callable[[Path], Any], command: str
) -> None:
    path = tmp_path / "kept.json"
    path.write_text('{"schema_version": 99, "of the future": true}')
    says = f"{path} has schema version 99, this code reads 1: run python -m bench {command} again"
    with pytest.raises(InputError, match=f"^{re.escape(says)}$"):
        load(path)


@given(ANYTHING)
def test_any_json_is_fields_of_its_version_or_one_line(value: object) -> None:
    def read(content: str) -> dict[str, Any]:
        return versioned_fields(
            content, "here", "one", 2, otherwise="x", other_version="y", older=(1,)
        )

    with pytest.raises(InputError) as refused:
        read(json.dumps(value))
    assert "\n" not in str(refused.value)
    for version in (1, 2):
        fields = {"schema_version": version, "value": value}
        assert json.dumps(read(json.dumps(fields))) == json.dumps(fields)
    with pytest.raises(InputError, match="here has schema version 3, this code reads 2: y"):
        read('{"schema_version": 3}')


def test_what_is_not_there_is_not_called_something_else(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_document(tmp_path / "none.json", "one", 1, "x", dict)


def test_a_mistake_of_ours_is_not_put_on_the_file(tmp_path: Path) -> None:
    def broken(fields: dict[str, Any]) -> None:
        raise ZeroDivisionError

    (tmp_path / "one.json").write_text('{"schema_version": 1}')
    with pytest.raises(ZeroDivisionError):
        read_document(tmp_path / "one.json", "one", 1, "x", broken)
