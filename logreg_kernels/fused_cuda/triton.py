"""Device code of `fused-cuda`: the Triton kernels, and nothing that runs on the host.

`nll_and_grad_partials` reads X once and leaves one partial sum per program;
`reduce_partials` adds them up in a fixed order and adds the penalty. Every sum has a fixed
order, so that two runs on the same device agree to the last bit; there are no atomics.
"""

# Triton reads annotations as compile-time types, so its functions can't carry Python's.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED: bool = bool(triton.knobs.runtime.interpret)
"""Whether the decorators below made interpreted functions: TRITON_INTERPRET at import time."""

_LOG2_E = tl.constexpr(1.4426950408889634)
# ln 2 in two parts; the first has 15 significant bits, so that its product with an exponent
# k, |k| <= 151, is exact in float32.
_LN2_HIGH = tl.constexpr(0.693145751953125)
_LN2_LOW = tl.constexpr(1.4286067653301e-06)
# exp(-104) is below half of the smallest float32, 2^-149.
_LOWEST_FLOAT32_EXPONENT = tl.constexpr(-104.0)


@triton.jit
def exp_of_negative(x):
    """exp(x) for x <= 0, to rounding in both dtypes; 0 at -inf, NaN at NaN.

    In float64 Triton's `exp` is right to rounding. In float32 it is exp2 of the rounded product
    x log2(e), whose relative error grows with |x|, up to 2e-6 at x = -37.5. So:

        exp(x) = 2^k exp(r),   k = round(x / ln 2),   r = x - k ln 2,   |r| <= ln(2) / 2

    Source: Cody & Waite (1980), Software Manual for the Elementary Functions, ch. 6.
    """
    if x.dtype == tl.float64:
        return tl.exp(x)
    # A select, since `tl.maximum` would turn NaN into the bound.
    x = tl.where(x < _LOWEST_FLOAT32_EXPONENT, _LOWEST_FLOAT32_EXPONENT, x)
    k = tl.floor(x * _LOG2_E + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    return tl.exp2(k) * tl.exp(r)


@triton.jit
def log1p_and_reciprocal(e):
    """log1p(e) and 1 / (1 + e) for e >= 0, to rounding; NaN at NaN.

        log1p(e) = log(u) + (e - (u - 1)) / u,   u = 1 + e as rounded

    Plain log(1 + e) loses e: at e = 5e-17 it is 0. Here u - 1 and the difference are exact, and
    what u has lost comes back to first order, to rounding thus.

    Source: GNU Scientific Library, sys/log1p.c.
    """
    u = 1 + e
    reciprocal = 1 / u
    return tl.log(u) + (e - (u - 1)) * reciprocal, reciprocal


@triton.jit
def nll_and_residual(margin, sign):
    """nll = softplus(-m) and dnll/dz = -s sigmoid(-m) at margins m = s z, s = +-1.

        e = exp(-|m|),   nll = max(-m, 0) + log1p(e),   sigmoid(-m) = (e if m >= 0 else 1) / (1 + e)

    Args:
        margin, sign: shape (BLOCK_N,).
    Returns:
        nll, residual: shape (BLOCK_N,); finite at any finite margin, NaN at NaN.
    """
    e = exp_of_negative(-tl.abs(margin))
    log1p_e, reciprocal = log1p_and_reciprocal(e)
    nll = tl.maximum(-margin, 0) + log1p_e
    return nll, -sign * (tl.where(margin >= 0, e, 1) * reciprocal)


@triton.jit
def block_rows(start, rows, n_rows, n_samples, BLOCK_N: tl.constexpr):
    """Which rows of X the block at `start` has.

    Args:
        start: position of the block's first row, int64.
        rows, n_rows, n_samples: as `nll_and_grad_partials` takes them.
    Returns:
        row: int64 index into X, -1 where there is nothing to read.
        live: whether the position is below n_rows.
        known: whether the index is in 0 ... n_samples - 1; as `live` without `rows`.
        All of shape (BLOCK_N,).
    """
    row = start + tl.arange(0, BLOCK_N).to(tl.int64)
    live = row < n_rows
    known = live
    if rows is not None:
        row = tl.load(rows + row, mask=live, other=0)
        known = (row >= 0) & (row < n_samples)
    return tl.where(live & known, row, -1), live, known


@triton.jit
def load_tile(
    X,
    row,
    N_FEATURES: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Rows `row` (BLOCK_N,) of X as a tile (CHUNKS, BLOCK_N, BLOCK_K); 0 beyond d and at row -1.

    It is loaded as (CHUNKS, BLOCK_N * BLOCK_K), where only one axis is contiguous. As three axes
    Triton 3.6 would hand out lanes along the chunks before the rows, and spill.
    """
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    flat_column = chunk[:, None] + (tl.arange(0, BLOCK_N * BLOCK_K) % BLOCK_K)[None, :]
    flat_row = tl.broadcast_to(row[:, None], (BLOCK_N, BLOCK_K))
    # With the hint the loads are up to 16 bytes wide in Triton 3.6, too, which does not see
    # through a reshape that BLOCK_K neighbours are one row.
    flat_row = tl.max_constancy(tl.reshape(flat_row, (BLOCK_N * BLOCK_K,)), [BLOCK_K])
    tile = tl.load(
        X + (flat_row * N_FEATURES)[None, :] + flat_column,
        mask=(flat_row >= 0)[None, :] & (flat_column < N_FEATURES),
        other=0,
    )
    return tl.reshape(tile, (CHUNKS, BLOCK_N, BLOCK_K))


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


@triton.jit(
    do_not_specialize=["n_rows", "n_programs"],
    do_not_specialize_on_alignment=["w", "l2", "value", "grad"],
)
def reduce_partials(
    partials,
    w,
    l2,
    value,
    grad,
    n_rows,
    n_programs,
    N_COEFFICIENTS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BATCH: tl.constexpr,
):
    """f and its gradient from the partial sums, of each of k models; or, of one, without a value.

        value = 1/n_rows sum_p partials[P m + p] + l2/2 ||w||^2       (the last program)
        grad  = 1/n_rows sum_p partials[p, :]    + l2 w               (BLOCK_K columns each)

    Launched with (ceil(m / BLOCK_K) + 1, k) programs, or, without a value, ceil(m / BLOCK_K).

    Args:
        partials: shape (k, P (N_COEFFICIENTS + 1)), or (P, N_COEFFICIENTS) without a value.
        w: coefficients, shape (k, N_COEFFICIENTS), or None for no penalty.
        l2: penalty, shape (1,). In memory, since Triton passes a Python float as float32.
        value: written, shape (k,), or None.
        grad: written, shape (k, N_COEFFICIENTS).
        n_rows: rows that were summed over.
        n_programs: P.
        N_COEFFICIENTS: m, which is d for two classes and c d for more.
        BLOCK_P, BLOCK_K: the tile, partials by columns; powers of two.
        BATCH: whether k may be above 1: then what is read need not be at a multiple of 16 bytes.
    Traffic: k P (m + 1) itemsize bytes, most of them still in L2; writes k (m + 1) itemsize.
    """
    dtype = partials.dtype.element_ty
    count = n_rows.to(dtype)
    n_column_blocks = tl.num_programs(0) - (0 if value is None else 1)
    if BATCH:
        model = tl.program_id(1).to(tl.int64)
        partials += model * n_programs * (N_COEFFICIENTS + 1)
        w += model * N_COEFFICIENTS
        grad += model * N_COEFFICIENTS
        value += model
    if tl.program_id(0) < n_column_blocks:
        column = tl.program_id(0).to(tl.int64) * BLOCK_K + tl.arange(0, BLOCK_K)
        is_feature = column < N_COEFFICIENTS
        sums = tl.zeros((BLOCK_P, BLOCK_K), dtype)
        start = 0
        while start < n_programs:
            p = (start + tl.arange(0, BLOCK_P))[:, None]
            sums += tl.load(
                partials + p.to(tl.int64) * N_COEFFICIENTS + column[None, :],
                mask=(p < n_programs) & is_feature[None, :],
                other=0,
            )
            start += BLOCK_P
        total = tl.sum(sums, axis=0) / count
        if w is not None:
            total += tl.load(l2) * tl.load(w + column, mask=is_feature, other=0)
        tl.store(grad + column, total, mask=is_feature)
    elif value is not None:
        lanes = tl.arange(0, BLOCK_P * BLOCK_K)
        nll_sums = tl.zeros((BLOCK_P * BLOCK_K,), dtype)
        squares = tl.zeros((BLOCK_P * BLOCK_K,), dtype)
        nlls = partials + n_programs.to(tl.int64) * N_COEFFICIENTS
        start = 0
        while start < n_programs:
            p = start + lanes
            nll_sums += tl.load(nlls + p, mask=p < n_programs, other=0)
            start += BLOCK_P * BLOCK_K
        for start in range(0, N_COEFFICIENTS, BLOCK_P * BLOCK_K):
            j = start + lanes
            coefficients = tl.load(w + j, mask=j < N_COEFFICIENTS, other=0)
            squares += coefficients * coefficients
        nll = tl.sum(nll_sums, axis=0) / count
        penalty = tl.load(l2)
        # Where there is no penalty, 0 times an overflown ||w||^2 must not be NaN.
        ridge = tl.where(penalty == 0, 0, 0.5 * penalty * tl.sum(squares, axis=0))
        tl.store(value, nll + ridge)
