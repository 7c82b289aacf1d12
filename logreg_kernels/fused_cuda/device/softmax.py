"""Device code of `fused-cuda` for more than two classes: partial sums, X read once."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from logreg_kernels.fused_cuda.device.functions import (
    block_rows,
    exp_of_negative,
    load_tile,
    log1p_and_reciprocal,
    logit,
)


# W may not be at an odd offset. It is read from the L1 cache for every tile, in wide loads.
@triton.jit(
    do_not_specialize=["n_rows", "n_samples", "n_classes"],
    do_not_specialize_on_alignment=["rows"],
)
def softmax_partials(
    X,
    label,
    W,
    rows,
    partials,
    n_rows,
    n_samples,
    n_classes,
    N_FEATURES: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Sums of nll_i and of (dnll_i/dZ_ik) x_i over this program's rows, X read once.

        partials[p, k, :] = sum_i r_ik x_i,          r_ik = softmax(Z_i)_k - [k = y_i]
        partials[P c d + p] = sum_i nll_i,           i in the row blocks p, p + P, ...

        t = max_k z_k,   rest = sum_{k != top} exp(z_k - t)        (one row; top attains t)
        nll = (t - z_y) + log1p(rest)
        r_k = exp(z_k - t) / (1 + rest),   r_y = -((1 - exp(z_y - t)) + rest) / (1 + rest)

    A first loop over the classes finds t and rest. A second one computes the logits again, from the
    tile that is still in registers: no n x c matrix is ever in memory. Nothing cancels. If the
    label is on top, 1 - exp(0) is 0 and r_y is the small -rest. If it isn't, exp(z_y - t) is a term
    of rest, and the numerator is at least 1.

    A program adds each tile's gradient to its own sums in memory, which stay in L1 and L2 while
    c d is small. Rejected: sums in registers, which three classes fill at d = 100.

    Args:
        X: design matrix, shape (n_samples, N_FEATURES), row-contiguous.
        label: y as int32, shape (n_samples,).
        W: coefficients, shape (n_classes, N_FEATURES), at a multiple of 16 bytes.
        rows, n_rows, n_samples: as `nll_and_grad_partials` takes them.
        partials: written, shape (P (n_classes N_FEATURES + 1),), P the number of programs.
        n_classes: c.
        N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K: d and the tile, as there.
    Traffic: n_rows (d itemsize + 4) bytes, and 8 n_rows more with `rows`; writes
        P (c d + 1) itemsize. From the caches, per tile: W twice, and the sums, read and written.
    """
    program = tl.program_id(0).to(tl.int64)  # 64 bits from here on: n d may exceed 2^31
    n_programs = tl.num_programs(0)
    chunk = tl.arange(0, CHUNKS) * BLOCK_K
    within = tl.arange(0, BLOCK_K)
    out = chunk[:, None] + within[None, :]
    sums = partials + program * n_classes * N_FEATURES + out
    dtype = partials.dtype.element_ty

    nll_sums = tl.zeros((BLOCK_N,), dtype)
    n_stored = 0  # columns of the sums: none before the first tile
    start = program * BLOCK_N
    while start < n_rows:
        row, live, known = block_rows(start, rows, n_rows, n_samples, BLOCK_N)
        tile = load_tile(X, row, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K).to(dtype)
        y = tl.load(label + row, mask=row >= 0, other=0)

        top = tl.full((BLOCK_N,), float("-inf"), dtype)
        rest = tl.zeros((BLOCK_N,), dtype)
        z_label = tl.zeros((BLOCK_N,), dtype)
        k = 0
        while k < n_classes:
            z = logit(tile, W, k, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
            # Selects, since `tl.maximum` would swallow a NaN. Through the gap it stays in rest.
            gap = z - top
            e = exp_of_negative(-tl.abs(gap))
            rest = tl.where(gap > 0, (rest + 1) * e, rest + e)
            top = tl.where(gap > 0, z, top)
            z_label = tl.where(y == k, z, z_label)
            k += 1
        log1p_rest, reciprocal = log1p_and_reciprocal(rest)
        nll = (top - z_label) + log1p_rest
        if rows is not None:
            nll = tl.where(known, nll, float("nan"))
            reciprocal = tl.where(known, reciprocal, float("nan"))
        nll_sums += tl.where(live, nll, 0)

        label_residual = -((1 - exp_of_negative(z_label - top)) + rest) * reciprocal
        k = 0
        while k < n_classes:
            z = logit(tile, W, k, N_FEATURES, CHUNKS, BLOCK_N, BLOCK_K)
            residual = exp_of_negative(z - top) * reciprocal
            residual = tl.where(y == k, label_residual, residual)
            grad = tl.sum(residual[None, :, None] * tile, axis=1)
            pointers = sums + k * N_FEATURES
            grad += tl.load(pointers, mask=out < n_stored, other=0)
            tl.store(pointers, grad, mask=out < N_FEATURES)
            k += 1
        # The thread that reads a sum for the next tile need not be the one that wrote it.
        tl.debug_barrier()
        n_stored = N_FEATURES
        start += n_programs * BLOCK_N

    tl.store(partials + n_programs * n_classes * N_FEATURES + program, tl.sum(nll_sums, axis=0))
