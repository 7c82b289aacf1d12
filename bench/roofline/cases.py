"""What `python -m bench roofline` measures, and the requirements on each case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.roofline.samples import READ, Requirement

# In the order of the tables: from what people write to what is fused.
KERNELS = ("numpy", "torch-autograd", "torch-compile", "jax", "fused-cpu")
CUDA_KERNELS = ("torch-autograd", "torch-compile", "jax", "fused-cuda")
FLOORS = ("two products and exp, in blocks", "two products and exp, whole")
SINGLES = "64 x fused-cpu"
SCIPY = "scipy's two products"


@dataclass(frozen=True)
class CaseSpec:
    """A case to measure.

    Args:
        name: `--case` selects by it, too.
        problem: spec of the data.
        dtype, device: of the kernels.
        kernels: names of the kernels that take turns.
        work: "value_and_grad"; or "batch", 64 models beside single calls and two bare products; or
            "csr", beside SciPy's products.
        cold: whether caches are swept before each call.
        asked: the requirements on its times.
    """

    name: str
    problem: str
    dtype: str
    kernels: tuple[str, ...] = KERNELS
    device: str = "cpu"
    work: Literal["value_and_grad", "batch", "csr"] = "value_and_grad"
    cold: bool = False
    asked: tuple[Requirement, ...] = ()


def _dense(
    n: int, d: int, *asked: Requirement, dtype: str = "float32", note: str = "", **options: Any
) -> CaseSpec:
    name, problem = f"{n:,} x {d} {dtype}{note}", f"synthetic:n={n},d={d}"
    return CaseSpec(name, problem, dtype, asked=asked, **options)


def _near_read(at_most: float) -> Requirement:
    return Requirement("fused-cpu", READ, at_most, f"at most {at_most:g} x the time to read X")


def _faster(beside: str, factor: float, entry: str = "fused-cpu") -> Requirement:
    return Requirement(entry, beside, 1 / factor, f"{factor:g} x faster than {beside}")


_SIZES = (100, 1_000, 10_000, 100_000)

CASES: tuple[CaseSpec, ...] = (
    _dense(
        1_000_000,
        54,
        _near_read(1.4),
        _faster("torch-autograd", 3.5),
        _faster("torch-compile", 2.8),
    ),
    _dense(200_000, 500, _near_read(1.25), _faster("torch-autograd", 4)),
    _dense(1_000_000, 54, _near_read(1.4), dtype="float64"),
    _dense(
        100,
        4,
        Requirement("fused-cpu", "", 5e-6, "at most 5 µs a call, or:"),
        _faster("torch-autograd", 5),
    ),
    CaseSpec(
        "batch of 64, 200,000 x 54 float32",
        "synthetic:n=200000,d=54",
        "float32",
        work="batch",
        asked=(
            _faster(SINGLES, 3),
            *(Requirement("fused-cpu", f, 1.6, f"at most 1.6 x {f}") for f in FLOORS),
        ),
    ),
    CaseSpec(
        "CSR 100,000 x 47,000, 0.2%, float32",
        "sparse:n=100000,d=47000,density=0.002",
        "float32",
        kernels=("numpy", "torch-autograd", "fused-cpu"),
        work="csr",
        asked=(_faster(SCIPY, 2),),
    ),
    *(_dense(n, 54) for n in _SIZES),
    *(_dense(n, 54, note=", cold", cold=True) for n in _SIZES),
)

CUDA_CASES: tuple[CaseSpec, ...] = tuple(
    _dense(
        n,
        d,
        Requirement("fused-cuda", READ, 1 / 0.9, "90% of the read bandwidth"),
        _faster("torch-autograd", 1.9, "fused-cuda"),
        *(Requirement("fused-cuda", k, 1.0, f"faster than {k}") for k in ("torch-compile", "jax")),
        note=", cuda",
        kernels=CUDA_KERNELS,
        device="cuda",
    )
    for n, d in ((10_000_000, 16), (10_000_000, 54), (10_000_000, 128), (1_000_000, 784))
)


def chosen_cases(
    names: Sequence[str], problems: Sequence[str], dtype: str, devices: Sequence[str]
) -> tuple[CaseSpec, ...]:
    """One case for each of the user's problems, and the cases whose name contains one of `names`.

    Where neither is named, these are all cases of the devices.
    """
    own = tuple(
        CaseSpec(
            f"{problem} {dtype}" + ("" if device == "cpu" else f", {device}"),
            problem,
            dtype,
            kernels=KERNELS if device == "cpu" else CUDA_KERNELS,
            device=device,
        )
        for problem in problems
        for device in devices
    )
    if own and not names:
        return own
    there = (case for case in (*CASES, *CUDA_CASES) if case.device in devices)
    return (*own, *(c for c in there if not names or any(name in c.name for name in names)))
