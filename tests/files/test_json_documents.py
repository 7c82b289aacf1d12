"""A JSON document that can't be read is refused in one line, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.files.json_documents import versioned_fields


def read(content: str | bytes) -> dict[str, Any]:
    return versioned_fields(content, "here", "one", 2, otherwise="x", other_version="y", older=(1,))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NOT_ONES = {
    "nothing": b"",
    "bytes": bytes(range(128, 256)),
    "another encoding": '{"schema_version": 1, "é": 1}'.encode("utf-16")[:-1],
    "words": b"these are my notes",
    "a list": b"[1]",
    "no version": b"{}",
    "deeply nested": b"[" * 100_000,
}


@pytest.mark.parametrize("case", NOT_ONES)
def test_what_is_something_else_is_called_so(case: str) -> None:
    with pytest.raises(InputError, match=r"^here is not one: x$"):
        read(NOT_ONES[case])


@given(ANYTHING)
def test_any_json_is_fields_of_its_version_or_one_line(value: object) -> None:
    with pytest.raises(InputError) as refused:
        read(json.dumps(value))
    assert "\n" not in str(refused.value)
    for version in (1, 2):
        fields = {"schema_version": version, "value": value}
        assert json.dumps(read(json.dumps(fields))) == json.dumps(fields)
    with pytest.raises(InputError, match="here has schema version 3, this code reads 2: y"):
        read('{"schema_version": 3}')
