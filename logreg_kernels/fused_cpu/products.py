"""Products of a block of rows that lies in cache: the three inner loops of `fused-cpu`.

    row_products        z = X w              a few rows at a time, a vector along the columns
    add_weighted_rows   g += X^T r           a few vectors of g at a time, in registers
    add_products        C += A B             small tiles of C in registers, for many models

Each sum has a fixed order, which depends on the shapes and the machine's vectors alone. A block's
own sum starts from 0, so that rounding errors grow with the rows of a block and the number of
blocks, not with their product.

Memory would idle while a block is computed on. So the first two loops prefetch later rows, in their
order in memory, half of a block each. Rejected: to prefetch the next block's row as each row is
added up. All requests then come in the second loop, faster than their buffers empty. They also jump
from row to row.
"""

# Numba types the arguments of intrinsics itself.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from logreg_kernels.fused_cpu.vectors import I64, REGISTERS, Emitter

# Rows whose products with w grow side by side. Each has one accumulator. Together they hide the
# latency of a fused multiply-add, 4 cycles on two units.
ROWS_AT_ONCE = 8 if REGISTERS == 32 else 4
# Vectors of the gradient that stay in registers while all rows of a block are added to them.
COLUMN_VECTORS = 4
# A tile of C in `add_products`: 24 accumulators of 32 registers, or 12 of 16, leave room for the
# vectors of B and a number of A.
TILE_ROWS = 6
TILE_VECTORS = 4 if REGISTERS == 32 else 2


@intrinsic
def row_products(typing_context, X, first, count, w, z, ahead):
    """z[i] = X[first + i] . w for 0 <= i < count.

    Args:
        X: (n, d), row-contiguous.  w: (d,), contiguous.  z: written, at least (count,).
        ahead: numbers between a block and what is prefetched; see `ahead_of`.
    """

    def generate(context, builder, signature, arguments):
        emit = Emitter(builder, signature.args[0].dtype)
        x, (_, d) = _matrix(context, builder, signature.args[0], arguments[0])
        w_data = _data(context, builder, signature.args[3], arguments[3])
        z_data = _data(context, builder, signature.args[4], arguments[4])
        whole = builder.and_(d, I64(-emit.lanes))
        tail = emit.first_lanes(builder.sub(d, whole))
        asked = builder.add(builder.mul(arguments[1], d), arguments[5])
        sums = emit.accumulators(ROWS_AT_ONCE)

        def rows_at(i: Any, n_rows: int) -> None:
            starts = [
                builder.mul(builder.add(arguments[1], builder.add(i, I64(row))), d)
                for row in range(n_rows)
            ]

            def add_columns(j: Any, mask: Any) -> None:
                w_vector = emit.load(w_data, j, mask)
                if n_rows == ROWS_AT_ONCE:  # as many numbers as half of these rows have
                    done = builder.udiv(builder.mul(i, d), I64(2))
                    done = builder.add(done, builder.mul(j, I64(ROWS_AT_ONCE // 2)))
                    emit.prefetch(x, builder.add(asked, done), ROWS_AT_ONCE // 2)
                for start, total in zip(starts, sums, strict=False):
                    x_vector = emit.load(x, builder.add(start, j), mask)
                    builder.store(emit.fma(x_vector, w_vector, builder.load(total)), total)

            for total in sums[:n_rows]:
                builder.store(emit.zero, total)
            with emit.loop(I64(0), whole, emit.lanes) as (j, _):
                add_columns(j, None)
            with builder.if_then(builder.icmp_signed("<", whole, d)):
                add_columns(whole, tail)
            emit.store_sums(emit.sums([builder.load(total) for total in sums[:n_rows]]), z_data, i)

        grouped = builder.and_(arguments[2], I64(-ROWS_AT_ONCE))
        with emit.loop(I64(0), grouped, ROWS_AT_ONCE) as (i, _):
            rows_at(i, ROWS_AT_ONCE)
        with emit.loop(grouped, arguments[2], 1) as (i, _):
            rows_at(i, 1)
        return context.get_dummy_value()

    return types.void(X, types.int64, types.int64, w, z, types.int64), generate


@intrinsic
def add_weighted_rows(typing_context, X, first, count, r, grad, ahead):
    """grad += sum_i r[i] X[first + i] over 0 <= i < count.

    Args:
        X: (n, d), row-contiguous.  r: at least (count,).  grad: (d,), contiguous.
        ahead: as `row_products` takes it.
    """

    def generate(context, builder, signature, arguments):
        emit = Emitter(builder, signature.args[0].dtype)
        x, (_, d) = _matrix(context, builder, signature.args[0], arguments[0])
        r_data = _data(context, builder, signature.args[3], arguments[3])
        grad_data = _data(context, builder, signature.args[4], arguments[4])
        start = builder.mul(arguments[1], d)
        half = builder.udiv(builder.mul(arguments[2], d), I64(2))
        asked = builder.add(builder.add(start, arguments[5]), half)
        sums = emit.accumulators(COLUMN_VECTORS)

        def columns_at(j: Any, masks: list[Any]) -> None:
            here = [builder.add(j, I64(k * emit.lanes)) for k in range(len(masks))]
            for total in sums[: len(masks)]:
                builder.store(emit.zero, total)
            with emit.loop(I64(0), arguments[2], 1) as (i, _):
                weight = emit.splat(builder.load(emit.at(r_data, i)))
                row = builder.add(start, builder.mul(i, d))
                done = builder.udiv(builder.mul(j, arguments[2]), I64(2))
                done = builder.add(done, builder.mul(i, I64(COLUMN_VECTORS // 2 * emit.lanes)))
                emit.prefetch(x, builder.add(asked, done), COLUMN_VECTORS // 2)
                for total, column, mask in zip(sums, here, masks, strict=False):
                    index = builder.add(row, column)
                    product = emit.fma(emit.load(x, index, mask), weight, builder.load(total))
                    builder.store(product, total)
            for total, column, mask in zip(sums, here, masks, strict=False):
                grown = builder.fadd(emit.load(grad_data, column, mask), builder.load(total))
                emit.store(grown, grad_data, column, mask)

        step = COLUMN_VECTORS * emit.lanes
        whole = builder.and_(d, I64(-step))
        with emit.loop(I64(0), whole, step) as (j, _):
            columns_at(j, [None] * COLUMN_VECTORS)
        left = builder.sub(d, whole)
        masks = [
            emit.first_lanes(builder.sub(left, I64(k * emit.lanes))) for k in range(COLUMN_VECTORS)
        ]
        with builder.if_else(builder.icmp_signed(">", left, I64(emit.lanes))) as (many, few):
            with many:
                columns_at(whole, masks)
            with few, builder.if_then(builder.icmp_signed(">", left, I64(0))):
                columns_at(whole, masks[:1])
        return context.get_dummy_value()

    return types.void(X, types.int64, types.int64, r, grad, types.int64), generate


@intrinsic
def add_products(typing_context, A, first, row_step, term_step, rows, terms, B, C):
    """C[a, :] += sum_t A.flat[first + a row_step + t term_step] B[t, :],  a < rows, t < terms.

    A is read a number at a time, B and C a vector at a time. The steps say whether A is read by
    rows or by columns: this is A B as well as A^T B.

    Args:
        A: contiguous.
        B: (at least `terms`, m).  C: (at least `rows`, m). Both are row-contiguous, and m is a
            multiple of `padded(1)`, since there are no masks here.
    Source: Goto and van de Geijn (2008), "Anatomy of high-performance matrix multiplication",
        section 5, for the tile in registers. Nothing is packed, since the blocks lie in cache.
    """

    def generate(context, builder, signature, arguments):
        emit = Emitter(builder, signature.args[0].dtype)
        a_data = _data(context, builder, signature.args[0], arguments[0])
        _, a_first, row_step, term_step, rows_, terms_, _, _ = arguments
        b, (_, m) = _matrix(context, builder, signature.args[6], arguments[6])
        c, _ = _matrix(context, builder, signature.args[7], arguments[7])
        sums = emit.accumulators(TILE_ROWS * TILE_VECTORS)

        def tile_at(i: Any, j: Any, n_rows: int, n_vectors: int) -> None:
            row = [builder.add(i, I64(k)) for k in range(n_rows)]
            column = [builder.add(j, I64(v * emit.lanes)) for v in range(n_vectors)]
            places = [(k, v) for k in range(n_rows) for v in range(n_vectors)]
            index = [builder.add(builder.mul(row[k], m), column[v]) for k, v in places]
            for total in sums[: len(places)]:
                builder.store(emit.zero, total)
            a_rows = [builder.add(a_first, builder.mul(r, row_step)) for r in row]
            with emit.loop(I64(0), terms_, 1) as (t, _):
                offset = builder.mul(t, term_step)
                b_row = builder.mul(t, m)
                vectors = [emit.load(b, builder.add(b_row, j_v)) for j_v in column]
                numbers = [
                    emit.splat(builder.load(emit.at(a_data, builder.add(a_row, offset))))
                    for a_row in a_rows
                ]
                for total, (k, v) in zip(sums, places, strict=False):
                    builder.store(emit.fma(numbers[k], vectors[v], builder.load(total)), total)
            for total, where in zip(sums, index, strict=False):
                emit.store(builder.fadd(emit.load(c, where), builder.load(total)), c, where)

        def columns_of(j: Any, n_vectors: int) -> None:
            whole = builder.sub(rows_, builder.srem(rows_, I64(TILE_ROWS)))
            with emit.loop(I64(0), whole, TILE_ROWS) as (i, _):
                tile_at(i, j, TILE_ROWS, n_vectors)
            with emit.loop(whole, rows_, 1) as (i, _):
                tile_at(i, j, 1, n_vectors)

        step = TILE_VECTORS * emit.lanes
        whole = builder.and_(m, I64(-step))
        with emit.loop(I64(0), whole, step) as (j, _):
            columns_of(j, TILE_VECTORS)
        with emit.loop(whole, m, emit.lanes) as (j, _):
            columns_of(j, 1)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(A, i64, i64, i64, i64, i64, B, C), generate


def _matrix(context: Any, builder: Any, array_type: Any, array: Any) -> tuple[Any, list[Any]]:
    """Pointer to the data of a 2-D array, and its shape."""
    made = context.make_array(array_type)(context, builder, array)
    return made.data, cgutils.unpack_tuple(builder, made.shape, 2)


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data
