"""Count everything, in a process whose threads and code paths are pinned."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.counters.counters_file import Counters, as_json, read_counters
from bench.errors import InputError
from bench.measure.environment import version

PINNED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # OpenBLAS, torch and MKL choose code by the processor, and each code rounds in its own way.
    # These are the newest choices that all x86-64 machines in use have.
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "PYTHONHASHSEED": "0",
}
"""Environment of the counting process.

`NUMBA_CPU_NAME` is not set. Code for another processor would be compiled first, for minutes, and
the passes of fused-cpu would still have the vectors of this one.
"""

_LIBRARIES = ("numpy", "scipy", "torch", "numba")
_PROGRESS = "counting "


def count_pinned(on_progress: Callable[[str], None] | None = None) -> Counters:
    """`count` in a child process with the environment `PINNED`.

    Raises:
        InputError: the process failed; with the last line that it printed.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | PINNED
    root = str(Path(__file__).resolve().parents[2])
    others = filter(None, [environment.get("PYTHONPATH")])
    environment["PYTHONPATH"] = os.pathsep.join([root, *others])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counters.json"
        # -P takes the code from this checkout, not from the working directory.
        command = [sys.executable, "-P", "-m", "bench.counters.count", str(output)]
        with subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            last = ""
            for line in process.stdout:
                last = line.strip() or last
                if on_progress and line.startswith(_PROGRESS):
                    on_progress(line.removeprefix(_PROGRESS).strip())
        if process.returncode != 0 or not output.exists():
            raise InputError(
                f"counting ended with exit code {process.returncode}: {last}: see all of it by "
                "python -m bench.counters.count FILE"
            )
        return read_counters(output)


def count(on_progress: Callable[[str], None]) -> Counters:
    """Count in this process, with whatever threads and code paths it has.

    Args:
        on_progress: is told what is counted next.
    """
    from bench.counters import cuda_calls, reads_of_x, run_counts

    on_progress("reads of X")
    reads = reads_of_x.count_reads()
    runs = run_counts.count_runs(on_problem=lambda problem: on_progress(f"runs on {problem}"))
    on_progress("calls of the CUDA device")
    cuda = cuda_calls.count_cuda()
    not_counted = dict(reads_of_x.NOT_COUNTED)
    if not cuda:
        not_counted["cuda"] = cuda_calls.NO_DEVICE
    return Counters(
        runs=runs,
        reads_of_x=reads,
        cuda=cuda,
        settings={
            "suite": run_counts.SUITE,
            "kernels": ", ".join(run_counts.KERNELS),
            "dtype": run_counts.DTYPE,
            "seed": run_counts.SEED,
            "passes": run_counts.PASSES,
            "mini_batch_passes": run_counts.MINI_BATCH_PASSES,
        },
        environment=rounding_environment(),
        not_counted=not_counted,
    )


def rounding_environment() -> dict[str, Any]:
    """What rounding depends on: versions, threads, and the code chosen for this processor."""
    import scipy.linalg  # noqa: F401 - it loads a BLAS of its own, which is listed below
    import torch
    from threadpoolctl import threadpool_info

    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    blas_names = {f"{pool['internal_api']} {pool.get('architecture')}" for pool in blas}
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: (version(name) or "").partition("+")[0] or None for name in _LIBRARIES},
        "architecture": platform.machine(),
        "blas": ", ".join(sorted(blas_names)),
        "torch_cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": max([torch.get_num_threads(), *(pool["num_threads"] for pool in blas)]),
        "gpus": sorted({torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}),
    }


def keep_cuda(now: Counters, committed: Counters | None) -> Counters:
    """What to commit: without a device here, the committed CUDA numbers stay."""
    if now.cuda or committed is None or not committed.cuda:
        return now
    environment = {**now.environment, "gpus": committed.environment.get("gpus", [])}
    not_counted = {k: v for k, v in now.not_counted.items() if k != "cuda"}
    return replace(now, cuda=committed.cuda, environment=environment, not_counted=not_counted)


if __name__ == "__main__":
    counted = count(lambda what: print(f"{_PROGRESS}{what}", flush=True))
    Path(sys.argv[1]).write_text(as_json(counted), encoding="utf-8")
