"""JSON that names its schema version, a whole file or a line of one: read, or refused in one line.

Who reads says what a document is called and what to do with one that it can't take, since that
differs: a comparison is made anew, a record is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import InputError

Made = TypeVar("Made")


def versioned_fields(
    content: str | bytes,
    where: str,
    what: str,
    version: int,
    *,
    otherwise: str,
    other_version: str,
    older: tuple[int, ...] = (),
) -> dict[str, Any]:
    """The fields of a JSON object whose `schema_version` can be read.

    Args:
        where: the file, and the line.
        what: it should be, with its article: "a record".
        version: that is written; `older` ones are taken, too.
        otherwise: what to do with something else.
        other_version: what to do with another version.
    Raises:
        InputError: it is something else, or of another version.
    """
    try:
        fields: dict[str, Any] = json.loads(content)
        found = fields["schema_version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{where} is not {what}: {otherwise}") from None
    if found != version and found not in older:
        raise InputError(
            f"{where} has schema version {found}, this code reads {version}: {other_version}"
        )
    return fields


def read_document(
    path: Path, what: str, version: int, made_by: str, make: Callable[[dict[str, Any]], Made]
) -> Made:
    """A whole file, as `make` makes it of its fields.

    Args:
        made_by: the command that writes such files, and writes this one anew.
        make: may fail as code does that takes apart what isn't there.
    Raises:
        InputError: see `versioned_fields`.
        OSError: there is no such file, or it can't be read.
    """
    not_one = "move the file away"
    fields = versioned_fields(
        path.read_bytes(),
        str(path),
        what,
        version,
        otherwise=not_one,
        other_version=f"run {made_by} again",
    )
    try:
        return make(fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is not {what}: {not_one}") from None
