"""Ahead-of-time builds of `fused-cuda`, without a GPU: registers, spills, load widths, PTX.

python -m logreg_kernels.fused_cuda.build                      a table of typical shapes
python -m logreg_kernels.fused_cuda.build -d 54 -d 300 --json  other widths, with the PTX
python -m logreg_kernels.fused_cuda.build -c 10 -d 54          ten classes
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logreg_kernels.contract import DTYPES, DType
from logreg_kernels.fused_cuda.launch import (
    batch_options,
    block_shape,
    device_code,
    gram_options,
    max_batch_features,
    max_coefficients,
    max_features,
    reduction_options,
)

KERNELS = (
    "nll_and_grad_partials",
    "softmax_partials",
    "batch_partials",
    "hvp_partials",
    "softmax_hvp_partials",
    "curvatures",
    "gram_partials",
    "reduce_partials",
)
WIDTHS = (1, 4, 31, 54, 100, 784, 4096, 8192, 16384)
WITH_ROWS = ("nll_and_grad_partials", "softmax_partials")
# (classes, width). softmax_partials is compiled for the width alone, the reduction for both.
SHAPES = (*((2, d) for d in WIDTHS), (3, 4), (3, 13), (10, 64), (1000, 784))
CAPABILITIES = (80, 90)


@dataclass(frozen=True)
class KernelBuild:
    """One device function, compiled for one target, as the assembler reports it."""

    kernel: str
    dtype: DType  # of w, value and gradient
    storage: str  # type of X
    n_classes: int
    n_features: int
    rows: bool  # with row indices
    capability: int  # of the target, times ten
    num_warps: int
    registers: int  # of 32 bits, a thread
    # Stack and local memory a thread. There are no local arrays: registers did not hold this.
    spilled_bytes: int
    shared_bytes: int  # a program
    load_bytes: int  # the widest load of one lane from global memory
    ptx: str


def build(
    kernel: str,
    dtype: DType,
    n_features: int,
    *,
    n_classes: int = 2,
    rows: bool = False,
    capability: int = 90,
    storage: str | None = None,
) -> KernelBuild:
    """Compile one device function as a launch on such a GPU would.

    Args:
        kernel: one of `KERNELS`.
        n_classes: 2 is for `nll_and_grad_partials`, more is for `softmax_partials`.
        rows: with row indices. Only `WITH_ROWS` have such a variant.
        capability: of the device, times ten: 80 is an A100, 90 an H100 or H200.
        storage: "bfloat16" for X of that type. By default X has dtype.
    Raises:
        ImportError: Triton is not installed.
        RuntimeError: TRITON_INTERPRET is set, which leaves nothing to compile.
        ValueError: no such kernel, or n_features or n_classes is out of its range.
    """
    if kernel not in KERNELS:
        raise ValueError(f"no kernel {kernel!r}; there are {', '.join(KERNELS)}")
    if not 1 <= n_features <= max_features(dtype):
        raise ValueError(
            f"n_features must be in 1 ... {max_features(dtype)} in {dtype}; got {n_features}"
        )
    n_coefficients = n_features * (n_classes if n_classes > 2 else 1)
    if n_classes < 2 or n_coefficients > max_coefficients(dtype):
        most = max_coefficients(dtype) // n_features
        raise ValueError(
            f"n_classes must be in 2 ... {most} at d = {n_features} in {dtype}; got {n_classes}"
        )
    # Imported here, so that --help and errors in the arguments don't need Triton.
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if device_code().INTERPRETED:
        raise RuntimeError("Triton's interpreter is on: unset TRITON_INTERPRET to compile")
    function = getattr(device_code(), kernel)
    if kernel == "reduce_partials":
        launched = reduction_options(n_coefficients, dtype, batch=False)
    elif kernel == "gram_partials":
        launched = gram_options(n_features)
    elif kernel == "batch_partials":
        launched = batch_options(n_features, dtype)
    else:
        block = block_shape(n_features, dtype, 2 if storage else None)
        launched = block.launch_options(n_features)
    constants = {name: value for name, value in launched.items() if name.isupper()}
    options = {name: value for name, value in launched.items() if not name.isupper()}
    if not rows and any(parameter.name == "rows" for parameter in function.params):
        constants["rows"] = None
    if kernel == "gram_partials" and n_features <= constants["BLOCK_D"]:
        constants["weight"] = None
    signature, attributes = _specialisation(function, dtype, constants, storage)
    compiled = triton.compile(
        ASTSource(function, signature, constants, attributes),
        target=GPUTarget("cuda", capability, 32),
        options=options,
    )
    usage = _resource_usage(compiled.asm["cubin"], triton.knobs.nvidia.cuobjdump.path)
    return KernelBuild(
        kernel=kernel,
        dtype=dtype,
        storage=storage or dtype,
        n_classes=n_classes,
        n_features=n_features,
        rows=rows,
        capability=capability,
        num_warps=compiled.metadata.num_warps,
        registers=usage["REG"],
        spilled_bytes=usage["STACK"] + usage["LOCAL"],
        shared_bytes=compiled.metadata.shared,
        load_bytes=max(_load_widths(compiled.asm["ptx"])),
        ptx=compiled.asm["ptx"],
    )


def build_all(
    dtypes: Sequence[DType] = DTYPES,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    capabilities: Sequence[int] = CAPABILITIES,
) -> Iterator[KernelBuild]:
    """All that evaluations launch at each shape (c, d), with and without row indices."""
    for dtype, (c, d), capability in itertools.product(dtypes, shapes, capabilities):
        if d > max_features(dtype):
            continue
        for kernel in launched_kernels(c, d, dtype):
            half = ("bfloat16",) if dtype == "float32" and kernel != "reduce_partials" else ()
            for rows in (False, True) if kernel in WITH_ROWS else (False,):
                for storage in (None, *half):
                    yield build(
                        kernel,
                        dtype,
                        d,
                        n_classes=c,
                        rows=rows,
                        capability=capability,
                        storage=storage,
                    )


def launched_kernels(n_classes: int, n_features: int, dtype: DType) -> list[str]:
    """The device functions that some call launches at this shape."""
    if n_classes > 2:
        return ["softmax_partials", "softmax_hvp_partials", "reduce_partials"]
    kernels = ["nll_and_grad_partials", "hvp_partials", "gram_partials", "reduce_partials"]
    if n_features > gram_options(n_features)["BLOCK_D"]:
        kernels.append("curvatures")
    if n_features <= max_batch_features(dtype):
        kernels.append("batch_partials")
    return kernels


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the builds as a table or, with --json, as a list of records."""
    parser = argparse.ArgumentParser(
        prog="python -m logreg_kernels.fused_cuda.build",
        description="Compile fused-cuda ahead of time, without a GPU.",
    )
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="default: both")
    parser.add_argument("-d", "--n-features", action="append", type=int, help="width of X")
    parser.add_argument("-c", "--n-classes", action="append", type=int, help="default: 2")
    parser.add_argument("--capability", action="append", type=int, help="80, 90, ...")
    parser.add_argument("--json", action="store_true", help="all fields, PTX included")
    options = parser.parse_args(arguments)
    shapes: Sequence[tuple[int, int]] = SHAPES
    if options.n_features or options.n_classes:
        shapes = [*itertools.product(options.n_classes or [2], options.n_features or WIDTHS)]
    records: list[dict[str, Any]] = []
    try:
        for built in build_all(options.dtype or DTYPES, shapes, options.capability or CAPABILITIES):
            record = dataclasses.asdict(built)
            if not options.json:
                if not records:
                    print(_line(record))
                print(_line(record.values()), flush=True)
            records.append(record)
        if not records:
            raise ValueError(f"no dtype takes more than {max_features('float32')} columns")
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"fused_cuda.build: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(records))
    return 0


def _line(cells: Iterable[Any]) -> str:
    """A line of the table. The last cell, the PTX, is left out."""
    first, *others, _ = map(str, cells)
    return f"{first:<22}" + "".join(f"{cell:>14}" for cell in others)


def _specialisation(
    function: Any, dtype: DType, constants: dict[str, Any], storage: str | None
) -> tuple[dict[str, str], dict[tuple[int], list[list[Any]]]]:
    """Signature and attributes as Triton's launcher derives them from the arguments.

    Tensors of torch's own allocation lie at multiples of 16 bytes, and the compiler is told so,
    unless the decorator says not to look.
    """
    element = {"float32": "*fp32", "float64": "*fp64"}[dtype]
    types = {"sign": "*i8", "label": "*i32", "rows": "*i64"}
    types |= {"X": "*bf16"} if storage else {}
    types |= dict.fromkeys(("n_rows", "n_samples", "n_classes", "n_models", "n_programs"), "i32")
    signature: dict[str, str] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    for index, parameter in enumerate(function.params):
        name = parameter.name
        signature[name] = "constexpr" if name in constants else types.get(name, element)
        looked_at = not (parameter.do_not_specialize or parameter.do_not_specialize_on_alignment)
        if looked_at and signature[name].startswith("*"):
            attributes[(index,)] = [["tt.divisibility", 16]]
    return signature, attributes


def _load_widths(ptx: str) -> set[int]:
    """Bytes of each kind of load from global memory: ld.global.v4.b32 has 16."""
    loads = re.findall(r"\bld\.global\.(?:\w+(?:::\w+)*\.)*?(?:v(\d)\.)?b(\d+)", ptx)
    return {int(count or 1) * int(bits) // 8 for count, bits in loads}


def _resource_usage(cubin: bytes, cuobjdump: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [cuobjdump, "--dump-resource-usage", str(path)]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name: int(count) for name, count in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", report)}


if __name__ == "__main__":
    sys.exit(main())
