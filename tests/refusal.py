"""What a refusal of bad input looks like, for all tests of it."""

from __future__ import annotations

import pytest

from bench.errors import InputError
from bench.problems import load_problem

# Words from inside the libraries, which tell a user nothing.
JARGON = (
    "allow_pickle",
    "codec",
    "tokenizing",
    "test_size",
    "populated",
    "ufunc",
    "ndarray",
    "context manager",
    "convert string to float",
)


def refused(spec: str, says: str) -> str:
    """Load a problem, which must be refused in one line that matches `says`."""
    with pytest.raises(InputError, match=says) as refusal:
        load_problem(spec)
    message = str(refusal.value)
    assert "\n" not in message
    assert [word for word in JARGON if word in message] == []
    return message
