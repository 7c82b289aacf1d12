"""Files of JSON lines, which are appended whole and never rewritten."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The number and the bytes of each line that is not empty; none where there is no file.

    What follows the last newline is left out: its writing was cut off.
    """
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    yield from ((number, line) for number, line in enumerate(lines[:-1], 1) if line)


def append_lines(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Append an object a line, in one write, and sync. An unfinished last line is dropped."""
    text = "".join(json.dumps(jsonable(one), allow_nan=False) + "\n" for one in objects)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.truncate(_whole_bytes(path))
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())


def _whole_bytes(path: Path) -> int:
    """Length of the file up to its last newline."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


def jsonable(value: Any) -> Any:
    """The value with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    return value
