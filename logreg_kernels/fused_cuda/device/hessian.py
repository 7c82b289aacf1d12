"""Device code of `fused-cuda` for second derivatives: products with the Hessian, and its blocks."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from logreg_kernels.fused_cuda.device.functions import (
    block_rows,
    curvature,
    exp_of_negative,
    load_tile,
    logit,
)


# Neither w nor v may be at an odd offset. They are read from the L1 cache for every tile.
@triton.jit(do_not_specialize=["n_rows"])
def hvp_partials(
    X,
    w,
    v,
    partials,
    n_rows,
    N_FEATURES: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Sums of p_i (1 - p_i) (x_i.v) x_i over this program's rows, X read once.

    The tile is that of `nll_and_grad_partials`. Beside it and the sums, registers have no room for
    both w and v: each tile reads them from L1.

    Args:
        X: design matrix, shape (n_rows, N_FEATURES), row-contiguous.
        w, v: coefficients and direction, shape (N_FEATURES,), at multiples of 16 bytes.
        partials: written, shape (P, N_FEATURES), P the number of programs.
        n_rows: >= 1.
        N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K: d and the tile, as there.
    Traffic: n_rows d itemsize bytes; writes P d itemsize. From L1, per tile: w and v.
    """
    program = tl.program_id(0).to(tl.int64)  # 64 bits from here on: n d may exceed 2^31
    n_programs = tl.num_programs(0)
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    within = tl.arange(0, BLOCK_K)
    dtype = partials.dtype.element_ty
    sums = tl.zeros((CHUNKS, BLOCK_N, BLOCK_K), dtype)
    start = program * BLOCK_N
    while start < n_rows:
        row, live, _ = block_rows(start, None, n_rows, n_rows, BLOCK_N)
        tile = load_tile(X, row, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K).to(dtype)
        z = logit(tile, w, 0, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
        u = logit(tile, v, 0, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
        sums += tl.where(live, curvature(z) * u, 0)[None, :, None] * tile
        start += n_programs * BLOCK_N

    out = chunk[:, None] + within[None, :]
    product = tl.sum(sums, axis=1)
    tl.store(partials + program * N_FEATURES + out, product, mask=out < N_FEATURES)


@triton.jit(do_not_specialize=["n_rows", "n_classes"])
def softmax_hvp_partials(
    X,
    W,
    V,
    partials,
    n_rows,
    n_classes,
    N_FEATURES: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Sums of S_i^T x_i over this program's rows, X read once.

        partials[p, k, :] = sum_i S_ik x_i,   S_k = p_k ((u_k - u_top) - mean)    (one row)
        mean = sum_{k != top} exp(z_k - t) (u_k - u_top) / (1 + rest),            u = V x

    with t = max_k z_k attained by top, and rest as in `softmax_partials`. u is taken relative to
    the likeliest class. Where that one is certain, mean is a sum of small terms, and nothing
    cancels. A first loop over the classes finds t, rest and mean. A second one computes the logits
    and u again, from the tile that is still in registers.

    Args:
        X: design matrix, shape (n_rows, N_FEATURES), row-contiguous.
        W, V: coefficients and direction, shape (n_classes, N_FEATURES), at multiples of 16 bytes.
        partials: written, shape (P, n_classes, N_FEATURES), P the number of programs.
        n_rows: >= 1.  n_classes: c.
        N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K: d and the tile, as there.
    Traffic: n_rows d itemsize bytes; writes P c d itemsize. From the caches, per tile: W and V
        twice, and the sums, read and written.
    """
    program = tl.program_id(0).to(tl.int64)
    n_programs = tl.num_programs(0)
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    within = tl.arange(0, BLOCK_K)
    out = chunk[:, None] + within[None, :]
    sums = partials + program * n_classes * N_FEATURES + out
    dtype = partials.dtype.element_ty

    n_stored = 0  # columns of the sums: none before the first tile
    start = program * BLOCK_N
    while start < n_rows:
        row, live, _ = block_rows(start, None, n_rows, n_rows, BLOCK_N)
        tile = load_tile(X, row, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K).to(dtype)

        top = tl.full((BLOCK_N,), float("-inf"), dtype)
        u_top = tl.zeros((BLOCK_N,), dtype)
        rest = tl.zeros((BLOCK_N,), dtype)
        mean = tl.zeros((BLOCK_N,), dtype)
        k = 0
        while k < n_classes:
            z = logit(tile, W, k, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
            u = logit(tile, V, k, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
            gap = z - top
            lead = u - u_top
            e = exp_of_negative(-tl.abs(gap))
            # The first class has gap inf and e 0.
            mean = tl.where(gap > 0, (mean - (rest + 1) * lead) * e, mean + e * lead)
            rest = tl.where(gap > 0, (rest + 1) * e, rest + e)
            top = tl.where(gap > 0, z, top)
            u_top = tl.where(gap > 0, u, u_top)
            k += 1
        reciprocal = tl.where(live, 1 / (1 + rest), 0)
        mean *= reciprocal

        k = 0
        while k < n_classes:
            z = logit(tile, W, k, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
            u = logit(tile, V, k, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
            S = exp_of_negative(z - top) * reciprocal * ((u - u_top) - mean)
            product = tl.sum(S[None, :, None] * tile, axis=1)
            pointers = sums + k * N_FEATURES
            product += tl.load(pointers, mask=out < n_stored, other=0)
            tl.store(pointers, product, mask=out < N_FEATURES)
            k += 1
        # The thread that reads a sum for the next tile need not be the one that wrote it.
        tl.debug_barrier()
        n_stored = N_FEATURES
        start += n_programs * BLOCK_N


# w may be a view at an odd offset.
@triton.jit(do_not_specialize=["n_rows"], do_not_specialize_on_alignment=["w"])
def curvatures(
    X,
    w,
    weight,
    n_rows,
    N_FEATURES: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """weight_i = p_i (1 - p_i) of every row, for rows wider than a block of `gram_partials`.

    Args:
        X, w, n_rows, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K: as `nll_and_grad_partials` takes them.
        weight: written, shape (n_rows,).
    Traffic: n_rows (d + 1) itemsize bytes.
    """
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    column = chunk[:, None, None] + tl.arange(0, BLOCK_K)[None, None, :]
    w_tile = tl.load(w + column, mask=column < N_FEATURES, other=0)
    dtype = w_tile.dtype
    start = tl.program_id(0).to(tl.int64) * BLOCK_N
    while start < n_rows:
        row, live, _ = block_rows(start, None, n_rows, n_rows, BLOCK_N)
        tile = load_tile(X, row, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K).to(dtype)
        z = tl.sum(tl.sum(tile * w_tile, axis=0), axis=1)
        tl.store(weight + row, curvature(z), mask=live)
        start += tl.num_programs(0) * BLOCK_N


@triton.jit(do_not_specialize=["n_rows"], do_not_specialize_on_alignment=["w"])
def gram_partials(
    X,
    w,
    weight,
    partials,
    n_rows,
    N_FEATURES: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Sums of weight_i x_i x_i^T over a program's rows, for one pair of column blocks.

        partials[s, j, l] = sum_i weight_i x_ij x_il,         i in the row blocks s, s + S, ...

    Launched with (S, ceil(d / BLOCK_D), ceil(d / BLOCK_D)) programs. Those below the diagonal
    return at once. Entries above it are stored twice, so that the sum is symmetric to the last
    bit. Products have the full precision of the dtype: tf32 would leave 11 of float32's 24 bits.

    Args:
        X: design matrix, shape (n_rows, N_FEATURES), row-contiguous.
        w: coefficients, shape (N_FEATURES,); read where d <= BLOCK_D.
        weight: p (1 - p) of each row, shape (n_rows,), or None where d <= BLOCK_D. Then a program
            has all of a row, and computes its weight from w.
        partials: written, shape (S, N_FEATURES, N_FEATURES).
        n_rows: >= 1.
        N_FEATURES: d.  BLOCK_N, BLOCK_D: the tile of X; powers of two, 16 at least.
    Traffic: n_rows d itemsize bytes where d <= BLOCK_D. Beyond, each of the b = ceil(d / BLOCK_D)
        blocks is read b + 1 times, mostly from L2, and weight b (b + 1) / 2 times; writes
        S d^2 itemsize.
    """
    if tl.program_id(1) <= tl.program_id(2):
        split = tl.program_id(0).to(tl.int64)
        n_splits = tl.num_programs(0)
        column = tl.arange(0, BLOCK_D)
        left_column = tl.program_id(1) * BLOCK_D + column
        right_column = tl.program_id(2) * BLOCK_D + column
        dtype = partials.dtype.element_ty
        sums = tl.zeros((BLOCK_D, BLOCK_D), dtype)
        if weight is None:
            w_row = tl.load(w + column, mask=column < N_FEATURES, other=0)
        start = split * BLOCK_N
        while start < n_rows:
            row = start + tl.arange(0, BLOCK_N).to(tl.int64)
            live = (row < n_rows)[:, None]
            line = X + (row * N_FEATURES)[:, None]
            mask = live & (left_column < N_FEATURES)[None, :]
            left = tl.load(line + left_column[None, :], mask=mask, other=0).to(dtype)
            if weight is None:
                right = left
                factor = curvature(tl.sum(left * w_row[None, :], axis=1))
            else:
                mask = live & (right_column < N_FEATURES)[None, :]
                right = tl.load(line + right_column[None, :], mask=mask, other=0).to(dtype)
                factor = tl.load(weight + row, mask=row < n_rows, other=0)
            # A NaN in w belongs in the sums, but not from rows that are not there.
            weighted = tl.where(live, left * factor[:, None], 0)
            sums = tl.dot(tl.trans(weighted), right, sums, input_precision="ieee", out_dtype=dtype)
            start += n_splits * BLOCK_N

        matrix = partials + split * N_FEATURES * N_FEATURES
        j = left_column.to(tl.int64)[:, None]
        m = right_column.to(tl.int64)[None, :]
        mask = (j < N_FEATURES) & (m < N_FEATURES)
        tl.store(matrix + j * N_FEATURES + m, sums, mask=mask & (j <= m))
        tl.store(matrix + m * N_FEATURES + j, sums, mask=mask & (j < m))
