"""Device code of `fused-cuda` that adds up the partial sums of all programs."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl


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
    """f and its gradient from the partial sums of k models. Of one model the value may be left out.

        value = 1/n_rows sum_p partials[P m + p] + l2/2 ||w||^2       (the last program)
        grad  = 1/n_rows sum_p partials[p, :]    + l2 w               (BLOCK_K columns each)

    Launched with (ceil(m / BLOCK_K) + 1, k) programs, or, without a value, ceil(m / BLOCK_K).

    Args:
        partials: shape (k, P (N_COEFFICIENTS + 1)), or (P, N_COEFFICIENTS) without a value.
        w: coefficients, shape (k, N_COEFFICIENTS), or None for no penalty.
        l2: penalty, shape (1,), in memory: Triton passes a Python float as float32.
        value: written, shape (k,), or None.
        grad: written, shape (k, N_COEFFICIENTS).
        n_rows: rows that were summed over.
        n_programs: P.
        N_COEFFICIENTS: m, which is d for two classes and c d for more.
        BLOCK_P, BLOCK_K: the tile, partials by columns; powers of two.
        BATCH: whether k may be above 1. Then reads need not be at multiples of 16 bytes.
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
