"""JSON objects that name their schema version: read, or refused in one line."""

from __future__ import annotations

import json
from typing import Any

from bench.errors import InputError


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
        what: name of such an object, with its article: "a record".
        version: the schema version that is written now.
        otherwise: for the message, what to do with an object of another kind.
        other_version: for the message, what to do with another version.
        older: further versions that can be read.
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
