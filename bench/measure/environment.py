"""The machine, threads and versions that a result depends on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.git import git

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "triton")
"""All times depend on their versions."""
_PEERS = ("glum", "jax", "snapml")
"""Only their own cells depend on their versions."""
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia", "/dev/dxg", "/dev/kfd")
"""Files that the drivers of CUDA (natively and under WSL) and of ROCm make."""


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """The environment as a flat JSON object; `machine` is the fingerprint of its hardware.

    Absolute times can be compared within one machine only. Versions and threads are part of a
    cell's key, so a new version is measured anew.
    """
    # Each has a BLAS or a thread pool of its own, which is found only once it is loaded.
    import scipy.linalg  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch
    from threadpoolctl import threadpool_info

    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "machine": machine(),
        **_hardware(),
        "cuda_driver": _cuda_driver() if torch.cuda.is_available() else None,
        "memory_bytes": _memory_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in (*LIBRARIES, *_PEERS)},
        "blas": sorted({f"{pool['internal_api']} {pool['version']}" for pool in blas}),
        "blas_threads": max((pool["num_threads"] for pool in blas), default=None),
        "torch_threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def machine() -> str:
    """Fingerprint of the hardware. torch is not imported where there can be no GPU."""
    return _digest(_hardware())


@lru_cache(maxsize=1)
def _hardware() -> dict[str, Any]:
    has_affinity = hasattr(os, "sched_getaffinity")
    usable = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "logical_cores": os.cpu_count(),
        "usable_cores": usable,
        "architecture": platform.machine(),
        "gpus": _gpus(),
    }


def configuration() -> str:
    """Fingerprint of the hardware, versions and threads that a time depends on."""
    ignored = ("commit", "memory_bytes", "os", *_PEERS)
    return _digest({k: v for k, v in environment().items() if k not in ignored})


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """torch's names of the GPUs. On Linux there are none without a driver's device file."""
    if platform.system() == "Linux" and not any(map(os.path.exists, _GPU_DRIVERS)):
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def version(distribution: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, "+" appended if it has changes."""
    root = Path(__file__).resolve().parents[2]
    try:
        changes = git("status", "--porcelain", cwd=root)
        return git("rev-parse", "HEAD", cwd=root) + ("+" if changes else "")
    except InputError:
        return None


def _cuda_driver() -> str | None:
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
