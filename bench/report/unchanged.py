"""Whether a report that was written is still up to date, told without reading or computing it.

Beside the page lies `.report.json`: the digest of all that the report depends on, what was printed,
and a digest of each file. It is no result: without it, a report is written anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.files.whole import write_whole
from bench.measure.environment import machine, version

_FILE = ".report.json"
_PACKAGES = Path(__file__).resolve().parents[2]
_LIBRARIES = (
    *("numpy", "scipy", "scikit-learn", "torch", "triton", "numba", "glum", "jax", "snapml"),
    *("pandas", "matplotlib", "jinja2", "tabulate"),
)
# What sets threads, devices and compilers; a program's own variables begin with BENCH_.
_VARIABLES = (
    *(
        "OMP_",
        "GOMP_",
        "KMP_",
        "MKL_",
        "OPENBLAS_",
        "BLIS_",
        "VECLIB_",
        "NUMBA_",
        "TORCH",
        "PYTORCH",
    ),
    *("CUDA", "NVIDIA_", "HIP_", "ROCR_", "TRITON_", "JAX_", "XLA_", "BENCH_", "MPL"),
)


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Args:
        state: see `state_of`.
        printed: on stdout.
        exit_code: of the command.
        files: a digest of each file, by its path within the results folder.
    """

    state: str
    printed: str
    exit_code: int
    files: dict[str, str]

    def files_are_there(self, folder: Path) -> bool:
        """Whether every file of the report is as it was written."""
        return all(_digest_of(folder / name) == known for name, known in self.files.items())


def state_of(folder: Path, asked: object) -> str:
    """Digest of all that a report depends on: records, code, libraries, machine and settings.

    Args:
        asked: what the command line asks for.
    """
    parts = {
        "asked": repr(asked),
        "folder": str(folder),
        "records": _digest_of(folder / "records.jsonl"),
        "code": [
            (str(path.relative_to(_PACKAGES)), _digest_of(path))
            for package in ("bench", "logreg_kernels")
            for path in sorted((_PACKAGES / package).rglob("*"))
            if path.suffix in (".py", ".j2", ".json", ".cu", ".css")
        ],
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": machine(),
        "compilers": [shutil.which(name) for name in ("nvcc", "cc", "gcc")],
        "variables": sorted(
            (name, value) for name, value in os.environ.items() if name.startswith(_VARIABLES)
        ),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def last_written(folder: Path) -> Written | None:
    """The report that was written last into a results folder, if that is known."""
    try:
        return Written(**json.loads((folder / _FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def keep(folder: Path, state: str, printed: str, exit_code: int, files: Iterable[Path]) -> None:
    """Keep what tells later that the report is up to date."""
    digests = {str(path.relative_to(folder)): str(_digest_of(path)) for path in files}
    written = Written(state, printed, exit_code, digests)
    write_whole(folder / _FILE, json.dumps(dataclasses.asdict(written)).encode())


def _digest_of(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
