"""Whether the report that was written last is still up to date, told from digests alone.

They are kept beside the page, in `.report.json`. Without that file a report is written anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.files.whole import write_whole
from bench.measure.environment import LIBRARIES, machine, version

_FILE = ".report.json"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Args:
        state: see `state_of`.
        printed: what the command printed on stdout.
        exit_code: of the command.
        files: a digest of each file, by its path within the results folder.
    """

    state: str
    printed: str
    exit_code: int
    files: dict[str, str | None]

    def files_are_there(self, folder: Path) -> bool:
        """Whether every file of the report is as it was written."""
        return all(_digest_of(folder / name) == known for name, known in self.files.items())


def state_of(folder: Path, no_run: bool) -> str:
    """Digest of all that a report depends on: records, code, libraries, machine, what was asked.

    Threads and other settings are no part of it: a suite that is complete is not run again for
    another setting, and a report on records does not depend on any.
    """
    sources = [
        path
        for package in ("bench", "logreg_kernels")
        for path in sorted((_ROOT / package).rglob("*"))
        if path.suffix in (".py", ".j2", ".json")
    ]
    parts = {
        "no_run": no_run,
        "folder": str(folder),
        "records": _digest_of(folder / "records.jsonl"),
        "code": {str(path.relative_to(_ROOT)): _digest_of(path) for path in sources},
        "versions": {name: version(name) for name in (*LIBRARIES, "pandas", "matplotlib")},
        "python": platform.python_version(),
        "machine": machine(),
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def last_written(folder: Path) -> Written | None:
    """The report that was written last into a results folder, if that is known."""
    try:
        return Written(**json.loads((folder / _FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def keep(folder: Path, state: str, printed: str, exit_code: int, files: Iterable[Path]) -> None:
    """Write down what tells later that the report is up to date."""
    digests = {str(path.relative_to(folder)): _digest_of(path) for path in files}
    written = Written(state, printed, exit_code, digests)
    write_whole(folder / _FILE, json.dumps(dataclasses.asdict(written)).encode())


def _digest_of(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
