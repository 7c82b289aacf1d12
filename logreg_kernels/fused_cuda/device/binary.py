"""Device code of `fused-cuda` for two classes: partial sums of one model, and of 16 at a time."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from logreg_kernels.fused_cuda.device.functions import block_rows, load_tile, nll_and_residual


# A row count of 1 or of a multiple of 16 must not start a compilation in mid-run. Neither must
# coefficients or row indices that are a view at an odd offset.
@triton.jit(
    do_not_specialize=["n_rows", "n_samples"],
    do_not_specialize_on_alignment=["w", "rows"],
)
def nll_and_grad_partials(
    X,
    sign,
    w,
    rows,
    partials,
    n_rows,
    n_samples,
    N_FEATURES: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Sums of nll_i and of (dnll_i/dz_i) x_i over this program's rows, X read once.

        partials[p, :] = sum_i -s_i sigmoid(-m_i) x_i,    m_i = s_i x_i . w
        partials[P d + p] = sum_i nll_i,                  i in the row blocks p, p + P, ...

    A tile is (CHUNKS, BLOCK_N, BLOCK_K), chunk by row by column of the chunk. Lanes are handed
    out along the last two axes only. Neighbouring lanes hold neighbouring columns of a row, and
    one lane holds the same columns of all chunks. So each lane has the sum over chunks for itself,
    few lanes repeat a row's exp and log, and the gradient's sum over rows stays in registers until
    the loop is over. Rejected: a plain (BLOCK_N, d) tile. It spreads a row over a whole warp. At
    d = 100 that costs 8 times the exps and logs and, in float64, 238 registers instead of 140.

    Args:
        X: design matrix, shape (n_samples, N_FEATURES), row-contiguous.
        sign: 2 y - 1 as int8, shape (n_samples,).
        w: coefficients, shape (N_FEATURES,).
        rows: int64 row indices, shape (n_rows,), or None for the rows 0 ... n_rows - 1. An
            index outside 0 ... n_samples - 1 is not read, and makes all sums NaN.
        partials: written, shape (P (N_FEATURES + 1),), P the number of programs.
        n_rows, n_samples: >= 1.
        N_FEATURES: d, at most CHUNKS * BLOCK_K.
        CHUNKS, BLOCK_N, BLOCK_K: the tile; powers of two.
    Traffic: n_rows (d itemsize + 1) bytes, and 8 n_rows more with `rows`; writes
        P (d + 1) itemsize.
    """
    program = tl.program_id(0).to(tl.int64)  # 64 bits from here on: n d may exceed 2^31
    n_programs = tl.num_programs(0)
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    within = tl.arange(0, BLOCK_K)
    column = chunk[:, None, None] + within[None, None, :]
    w_tile = tl.load(w + column, mask=column < N_FEATURES, other=0)
    dtype = w_tile.dtype

    nll_sums = tl.zeros((BLOCK_N,), dtype)
    grad_sums = tl.zeros((CHUNKS, BLOCK_N, BLOCK_K), dtype)
    start = program * BLOCK_N
    # Loops are `while`: the interpreter of Triton 3.6 can't make a range of device integers under
    # NumPy 2.4. Compiled, both are the same loop.
    while start < n_rows:
        row, live, known = block_rows(start, rows, n_rows, n_samples, BLOCK_N)
        tile = load_tile(X, row, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K).to(dtype)
        s = tl.load(sign + row, mask=row >= 0, other=0).to(dtype)
        margin = s * tl.sum(tl.sum(tile * w_tile, axis=0), axis=1)
        nll, residual = nll_and_residual(margin, s)
        if rows is not None:
            nll = tl.where(known, nll, float("nan"))
            residual = tl.where(known, residual, float("nan"))
        nll_sums += tl.where(live, nll, 0)
        grad_sums += tl.where(live, residual, 0)[None, :, None] * tile
        start += n_programs * BLOCK_N

    out = chunk[:, None] + within[None, :]
    grad = tl.sum(grad_sums, axis=1)
    tl.store(partials + program * N_FEATURES + out, grad, mask=out < N_FEATURES)
    tl.store(partials + n_programs * N_FEATURES + program, tl.sum(nll_sums, axis=0))


# W may be a view at an odd offset.
@triton.jit(do_not_specialize=["n_rows", "n_models"], do_not_specialize_on_alignment=["W"])
def batch_partials(
    X,
    sign,
    W,
    partials,
    n_rows,
    n_models,
    N_FEATURES: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Sums of nll_i and of (dnll_i/dz_i) x_i for each model of a block, X read once for the block.

        partials[m, p, :] = sum_i r_im x_i,        Z = tile W^T,   G = R^T tile
        partials[m, P d + p] = sum_i nll_im,       i in the row blocks p, p + P, ...

    Launched with (P, ceil(n_models / BLOCK_M)) programs. Both products have the full precision of
    the dtype. Rejected for float32: three products in tf32. They use the tensor cores, but keep 22
    of 24 bits of each factor.

    Args:
        X: design matrix, shape (n_rows, N_FEATURES), row-contiguous.
        sign: 2 y - 1 as int8, shape (n_rows,).
        W: coefficients, shape (n_models, N_FEATURES).
        partials: written, shape (n_models, P (N_FEATURES + 1)).
        n_rows, n_models: >= 1.
        N_FEATURES: d, at most BLOCK_D.
        BLOCK_N, BLOCK_M, BLOCK_D: rows, models and columns of a tile; powers of two.
    Traffic: ceil(n_models / BLOCK_M) n_rows (d itemsize + 1) bytes; writes n_models P (d + 1)
        itemsize.
    """
    program = tl.program_id(0).to(tl.int64)  # 64 bits from here on: n d may exceed 2^31
    n_programs = tl.num_programs(0)
    dtype = partials.dtype.element_ty
    column = tl.arange(0, BLOCK_D)
    is_feature = column < N_FEATURES
    model = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    is_model = model < n_models
    pointers = W + model.to(tl.int64)[:, None] * N_FEATURES + column[None, :]
    mask = is_model[:, None] & is_feature[None, :]
    w_tile = tl.trans(tl.load(pointers, mask=mask, other=0))

    nll_sums = tl.zeros((BLOCK_N, BLOCK_M), dtype)
    grad_sums = tl.zeros((BLOCK_M, BLOCK_D), dtype)
    row = program * BLOCK_N + tl.arange(0, BLOCK_N).to(tl.int64)
    # Signs are loaded one block ahead. Triton 3.6 can't compile a product of float64 matrices that
    # depends on a load of bytes in the same turn of the loop.
    s = tl.load(sign + row, mask=row < n_rows, other=0).to(dtype)
    start = program * BLOCK_N
    while start < n_rows:
        live = row < n_rows
        tile = tl.load(
            X + (row * N_FEATURES)[:, None] + column[None, :],
            mask=live[:, None] & is_feature[None, :],
            other=0,
        ).to(dtype)
        z = tl.dot(tile, w_tile, input_precision="ieee", out_dtype=dtype)
        nll, residual = nll_and_residual(s[:, None] * z, s[:, None])
        nll_sums += tl.where(live[:, None], nll, 0)
        residual = tl.trans(tl.where(live[:, None], residual, 0))
        grad_sums = tl.dot(residual, tile, grad_sums, input_precision="ieee", out_dtype=dtype)
        start += n_programs * BLOCK_N
        row += n_programs * BLOCK_N
        s = tl.load(sign + row, mask=row < n_rows, other=0).to(dtype)

    of_model = partials + model.to(tl.int64) * n_programs * (N_FEATURES + 1)
    pointers = of_model[:, None] + program * N_FEATURES + column[None, :]
    tl.store(pointers, grad_sums, mask=mask)
    nlls = of_model + n_programs.to(tl.int64) * N_FEATURES + program
    tl.store(nlls, tl.sum(nll_sums, axis=0), mask=is_model)
