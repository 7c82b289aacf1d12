"""`fused-cuda`: products with the Hessian, and the Hessian itself; the host's side."""

from __future__ import annotations

from collections.abc import Callable

import torch

from logreg_kernels.contract import DType
from logreg_kernels.fused_cuda.launch import (
    aligned,
    block_shape,
    device_code,
    gram_shape,
    launching,
    max_coefficients,
    reduce_partials,
)

_MODULE = "hessian_triton"


def hvp(
    X: torch.Tensor,
    w: torch.Tensor,
    v: torch.Tensor,
    penalty: torch.Tensor,
    dtype: DType,
    max_programs: int,
) -> torch.Tensor:
    """H(w) v in one pass over X, for w (d,) and for W (c, d), by two launches.

    Traffic: n d itemsize bytes, and the partial sums, written and read.
    """
    w, v = aligned(w.contiguous()), aligned(v.contiguous())
    n_samples, n_features = X.shape
    block = block_shape(n_features, dtype, X.element_size())
    n_programs = min((n_samples - 1) // block.rows + 1, max_programs)
    product = torch.empty_like(w)
    partials = w.new_empty(n_programs * w.numel())
    grid, options = (n_programs,), block.launch_options(n_features)
    with launching(X):
        code = device_code(_MODULE)
        if w.ndim == 1:
            code.hvp_partials[grid](X, w, v, partials, n_samples, **options)
        else:
            code.softmax_hvp_partials[grid](X, w, v, partials, n_samples, w.shape[0], **options)
        reduce_partials(partials, v, penalty, None, product, n_samples, n_programs, dtype)
    return product


def binary_hessian(
    X: torch.Tensor,
    w: torch.Tensor,
    penalty: torch.Tensor,
    dtype: DType,
    max_programs: int,
) -> torch.Tensor:
    """H = 1/n X^T diag(p_i (1 - p_i)) X + l2 I, shape (d, d), for two classes.

    Up to d = 64 one pass over X. Beyond, one for the weights p (1 - p), and then each block of
    64 columns is read by the programs of each pair of blocks that it is in: b + 1 times for
    b = ceil(d / 64), mostly from L2.

    Traffic: n d itemsize bytes, or (b + 2) of these; S d^2 itemsize for S partial sums, written
        and read, S being limited like the number of programs.
    """
    w = w.contiguous()
    n_samples, n_features = X.shape
    tile = gram_shape(n_features)
    n_blocks = (n_features - 1) // tile.columns + 1
    n_pairs = n_blocks * (n_blocks + 1) // 2
    wanted = max_programs // n_pairs
    memory = max_coefficients(dtype) // n_features**2
    n_splits = max(1, min(wanted, memory, (n_samples - 1) // tile.rows + 1))
    H = w.new_empty((n_features, n_features))
    partials = w.new_empty((n_splits, n_features, n_features))
    weight = None
    with launching(X):
        code = device_code(_MODULE)
        if n_blocks > 1:
            weight = w.new_empty(n_samples)
            block = block_shape(n_features, dtype, X.element_size())
            n_programs = min((n_samples - 1) // block.rows + 1, max_programs)
            options = block.launch_options(n_features)
            code.curvatures[(n_programs,)](X, w, weight, n_samples, **options)
        options = tile.launch_options(n_features)
        grid = (n_splits, n_blocks, n_blocks)
        code.gram_partials[grid](X, w, weight, partials, n_samples, **options)
        reduce_partials(partials, None, penalty, None, H, n_samples, n_splits, dtype)
    H.diagonal().add_(penalty)
    return H


def hessian_by_products(
    product: Callable[[torch.Tensor], torch.Tensor], w: torch.Tensor
) -> torch.Tensor:
    """H (p, p) column by column, from products H v with the p unit vectors."""
    p = w.numel()
    H = w.new_empty((p, p))
    for column, unit in zip(H, torch.eye(p, dtype=w.dtype, device=w.device), strict=True):
        column.copy_(product(unit.view(w.shape)).flatten())
    # Rounding differs between H_jk and H_kj; what is symmetric stays so.
    return (H + H.T) / 2
