"""Passes of `fused-cpu` over a dense X, two classes and one model: each reads X once.

A pass takes a thread's part of the rows, `start` to `stop`, in blocks. A block stays in the
first-level cache between its product with w and the sum of its weighted rows. Totals are float64.
"""

# Numba types the arguments itself.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from logreg_kernels.fused_cpu.blocks import (
    FLUSH_ROWS,
    ahead_of,
    flush,
    mean_value_and_grad,
    take_rows,
)
from logreg_kernels.fused_cpu.compile import compiled
from logreg_kernels.fused_cpu.losses import curvature, nll_and_residuals
from logreg_kernels.fused_cpu.products import add_products, add_weighted_rows, row_products


@compiled
def add_grad(X, sign, w, rows, start, stop, block, grad):
    """grad += sum_i (dnll_i/dz_i) x_i over a part of the rows; returns sum_i nll_i.

    Args:
        X: (n, d).  sign: 2 y - 1 as int8, (n,).  w: (d,).
        rows: int64 indices (m,), or None for all.  start, stop: positions in them.
        block: rows at a time.  grad: float64, (d,).
    Raises:
        IndexError: a row index is out of range.
    Traffic: d itemsize + 1 bytes a row, and 8 more with `rows`.
    """
    d = X.shape[1]
    z, residual = np.empty(block, X.dtype), np.empty(block, X.dtype)
    sums = np.zeros(d, X.dtype)
    nll, ahead = 0.0, ahead_of(X, block)
    if rows is not None:
        taken, taken_sign = np.empty((block, d), X.dtype), np.empty(block, np.int8)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        if rows is None:
            row_products(X, first, count, w, z, ahead)
            nll += nll_and_residuals(z, sign[first : first + count], residual)
            add_weighted_rows(X, first, count, residual, sums, ahead)
        else:
            take_rows(X, sign, rows[first : first + count], taken, taken_sign)
            row_products(taken, 0, count, w, z, 0)
            nll += nll_and_residuals(z, taken_sign[:count], residual)
            add_weighted_rows(taken, 0, count, residual, sums, 0)
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums, grad)
    flush(sums, grad)
    return nll


@compiled
def value_and_grad(X, sign, w, rows, l2, block):
    """f(w) and its gradient in float64, on this thread alone.

    It is one call: on a small X a second one would take longer than the work.
    """
    count = sign.shape[0] if rows is None else rows.shape[0]
    grad = np.zeros(w.shape[0])
    nll = add_grad(X, sign, w, rows, 0, count, block, grad)
    return mean_value_and_grad(nll, grad, w, l2, count)


@compiled
def add_hvp(X, w, v, start, stop, block, product):
    """product += sum_i p_i (1 - p_i) (x_i . v) x_i over a part of the rows.

    Args:
        X: (n, d).  w, v: (d,).  start, stop: the part's rows.  product: float64, (d,).
    Traffic: d itemsize bytes a row.
    """
    z, u = np.empty(block, X.dtype), np.empty(block, X.dtype)
    sums, ahead = np.zeros(X.shape[1], X.dtype), ahead_of(X, block)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        row_products(X, first, count, w, z, ahead)
        row_products(X, first, count, v, u, 0)
        curvature(z[:count])
        for i in range(count):
            u[i] *= z[i]
        add_weighted_rows(X, first, count, u, sums, ahead)
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums, product)
    flush(sums, product)


@compiled
def add_hessian(X, w, start, stop, block, hessian):
    """hessian += sum_i p_i (1 - p_i) x_i x_i^T over a part of the rows.

    Args:
        X: (n, d).  w: (d,).  hessian: float64, (d, `padded(d)`); the padding stays 0.
    Traffic: d itemsize bytes a row. The d^2 sums stay in cache while d is moderate.
    """
    d = X.shape[1]
    z = np.empty(block, X.dtype)
    weighted, rows = np.empty((block, d), X.dtype), np.zeros((block, hessian.shape[1]), X.dtype)
    sums, ahead = np.zeros(hessian.shape, X.dtype), ahead_of(X, block)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        row_products(X, first, count, w, z, ahead)
        curvature(z[:count])
        for i in range(count):
            row, x = rows[i], X[first + i]
            for j in range(d):
                row[j] = x[j]
                weighted[i, j] = z[i] * x[j]
        add_products(weighted, 0, 1, d, d, count, rows, sums)
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums.reshape(-1), hessian.reshape(-1))
    flush(sums.reshape(-1), hessian.reshape(-1))
