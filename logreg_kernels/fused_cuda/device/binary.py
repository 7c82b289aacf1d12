"""Device code of `fused-cuda` for two classes: partial sums, X read once."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from logreg_kernels.fused_cuda.device.functions import block_rows, load_tile, nll_and_residual


# A row count of 1 or one divisible by 16 must not start a compilation in mid-run, and neither
# must coefficients or row indices that are a view at an odd offset.
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
    out along the last two axes only: neighbouring lanes hold neighbouring columns of a row, and
    one lane the same columns of all its chunks. Thus the sum over chunks is each lane's own,
    few lanes repeat a row's exp and log, and the gradient's sum over rows stays in registers
    until the loop is over. Rejected: a plain (BLOCK_N, d) tile. It spreads a row over a whole
    warp, which at d = 100 costs 8 times the exps and logs and, in float64, 238 registers for 140.

    Args:
        X: design matrix, shape (n_samples, N_FEATURES), row-contiguous.
        sign: 2 y - 1 as int8, shape (n_samples,).
        w: coefficients, shape (N_FEATURES,).
        rows: int64 row indices, shape (n_rows,), or None for the rows 0 ... n_rows - 1. An
            index outside 0 ... n_samples - 1 is not read from; it makes all sums NaN.
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
    # `while` throughout: the interpreter of Triton 3.6 can't make a range of device integers
    # under NumPy 2.4. Compiled, both are the same loop.
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
