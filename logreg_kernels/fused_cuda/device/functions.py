"""Functions of `fused-cuda`'s device code: losses, logits, and tiles of X."""

# Triton reads annotations as compile-time types, so its functions can't carry Python's.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

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
    the second term gives back what u has lost, to rounding.

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
    """The rows of X in the block at `start`.

    Args:
        start: position of the block's first row, int64.
        rows, n_rows, n_samples: as `nll_and_grad_partials` takes them.
    Returns:
        row: int64 index into X, -1 where there is nothing to read.
        live: whether the position is below n_rows.
        known: whether the index is in 0 ... n_samples - 1. Without `rows` it is `live`.
        All are of shape (BLOCK_N,).
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

    It is loaded as (CHUNKS, BLOCK_N * BLOCK_K), where only one axis is contiguous. With three axes
    Triton 3.6 hands out lanes along the chunks before the rows, and spills.
    """
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    flat_column = chunk[:, None] + (tl.arange(0, BLOCK_N * BLOCK_K) % BLOCK_K)[None, :]
    flat_row = tl.broadcast_to(row[:, None], (BLOCK_N, BLOCK_K))
    # With this hint Triton 3.6 loads up to 16 bytes at a time. Through a reshape it does not see
    # that BLOCK_K neighbours are one row.
    flat_row = tl.max_constancy(tl.reshape(flat_row, (BLOCK_N * BLOCK_K,)), [BLOCK_K])
    tile = tl.load(
        X + (flat_row * N_FEATURES)[None, :] + flat_column,
        mask=(flat_row >= 0)[None, :] & (flat_column < N_FEATURES),
        other=0,
    )
    return tl.reshape(tile, (CHUNKS, BLOCK_N, BLOCK_K))


@triton.jit
def logit(
    tile,
    W,
    k,
    N_FEATURES: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """z_k = x . W_k of each row in the tile, shape (BLOCK_N,)."""
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    flat_column = chunk[:, None] + (tl.arange(0, BLOCK_N * BLOCK_K) % BLOCK_K)[None, :]
    w_tile = tl.load(W + k * N_FEATURES + flat_column, mask=flat_column < N_FEATURES, other=0)
    w_tile = tl.reshape(w_tile, (CHUNKS, BLOCK_N, BLOCK_K))
    return tl.sum(tl.sum(tile * w_tile, axis=0), axis=1)


@triton.jit
def curvature(z):
    """p (1 - p) = e / (1 + e)^2 with e = exp(-|z|): relatively exact where 1 - p rounds to 0."""
    e = exp_of_negative(-tl.abs(z))
    reciprocal = 1 / (1 + e)
    return e * reciprocal * reciprocal
