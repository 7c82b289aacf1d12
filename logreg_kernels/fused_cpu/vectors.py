"""LLVM's vector types and instructions, for the inner loops of `fused-cpu`.

Numba turns scalar loops into vector code, but not these. With several rows of X in flight it
suspects that they overlap, and it has no masked loads for columns that don't fill a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))


_FEATURES = llvm.get_host_cpu_features()
# Of a vector register of this machine.
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16
REGISTERS = 32 if VECTOR_BYTES == 64 else 16


class Emitter:
    """Emits vector instructions on numbers of one type, float32 or float64."""

    def __init__(self, builder: Any, dtype: types.Float) -> None:
        self.builder = builder
        self.bytes = dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(
            ir.FloatType() if self.bytes == 4 else ir.DoubleType(), self.lanes
        )
        self.zero = ir.Constant(self.vector, None)
        self._suffix = f"v{self.lanes}f{8 * self.bytes}"

    def at(self, data: Any, index: Any) -> Any:
        """Pointer to a number."""
        return self.builder.gep(data, [index])

    def load(self, data: Any, index: Any, mask: Any = None) -> Any:
        """The vector that starts at `index`. Masked lanes are 0, and are not read."""
        pointer = self.builder.bitcast(self.at(data, index), self.vector.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=self.bytes)
        arguments = [pointer, I32(self.bytes), mask, self.zero]
        return self._call(f"llvm.masked.load.{self._suffix}.p0", self.vector, arguments)

    def store(self, value: Any, data: Any, index: Any, mask: Any = None) -> None:
        """Write a vector. Masked lanes stay as they are."""
        pointer = self.builder.bitcast(self.at(data, index), self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, pointer, align=self.bytes)
            return
        arguments = [value, pointer, I32(self.bytes), mask]
        self._call(f"llvm.masked.store.{self._suffix}.p0", ir.VoidType(), arguments)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z, rounded once."""
        return self._call(f"llvm.fma.{self._suffix}", self.vector, [x, y, z])

    def splat(self, number: Any) -> Any:
        """A vector with this number in all lanes."""
        return self._splat(number, self.vector)

    def first_lanes(self, count: Any) -> Any:
        """The mask of the lanes below `count`, which may be any integer."""
        integers = ir.VectorType(I64, self.lanes)
        lane = ir.Constant(integers, list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, self._splat(count, integers))

    def sums(self, vectors: Sequence[Any]) -> Any:
        """The sum of each vector's lanes, as a vector of as many lanes as there are vectors.

        Their number is a power of two. At each step of a tree the halves of two vectors become one:
        k vectors take k - 1 additions, not k times log2(lanes).
        """
        vectors, width, lanes = list(vectors), self.lanes, self.lanes
        while len(vectors) > 1 or width > 1:
            half = width // 2
            # A vector holds lanes // width sums in the making, each of them `width` lanes wide.
            if len(vectors) > 1:
                starts = range(0, 2 * lanes, width)
                pairs = list(zip(vectors[0::2], vectors[1::2], strict=True))
            else:
                starts = range(0, lanes, width)
                pairs, lanes = [(vectors[0], vectors[0])], lanes // 2
            low = [start + i for start in starts for i in range(half)]
            high = [start + half + i for start in starts for i in range(half)]
            vectors = [
                self.builder.fadd(self._shuffle(a, b, low), self._shuffle(a, b, high))
                for a, b in pairs
            ]
            width = half
        return vectors[0]

    def store_sums(self, sums: Any, data: Any, index: Any) -> None:
        """Write what `sums` returned."""
        pointer = self.builder.bitcast(self.at(data, index), sums.type.as_pointer())
        self.builder.store(sums, pointer, align=self.bytes)

    def prefetch(self, data: Any, index: Any, vectors: int) -> None:
        """Prefetch the cache lines of vectors from `index` on, which may lie beyond the end."""
        for number in range(vectors):
            start = self.at(data, self.builder.add(index, I64(number * self.lanes)))
            pointer = self.builder.bitcast(start, I8.as_pointer())
            # Arguments: to read, into the second-level cache, data. The first level has few
            # buffers: requests would wait for them, and the arithmetic behind the requests.
            self._call("llvm.prefetch.p0", ir.VoidType(), [pointer, I32(0), I32(2), I32(1)])

    def loop(self, start: Any, stop: Any, step: int) -> Any:
        """A context manager around the loop's body, which yields the counter first."""
        return cgutils.for_range_slice(self.builder, start, stop, I64(step), intp=I64)

    def accumulators(self, count: int) -> list[Any]:
        """Variables for vectors, which LLVM keeps in registers."""
        return [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]

    def _splat(self, number: Any, vector: ir.VectorType) -> Any:
        undefined = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(undefined, number, I32(0))
        everywhere = ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(one, undefined, everywhere)

    def _shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        picked = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
        return self.builder.shuffle_vector(a, b, picked)

    def _call(self, name: str, result: Any, arguments: list[Any]) -> Any:
        function = self.builder.module.globals.get(name)
        if function is None:
            function_type = ir.FunctionType(result, [argument.type for argument in arguments])
            function = ir.Function(self.builder.module, function_type, name)
        return self.builder.call(function, arguments)
