"""Passes of `fused-cpu` over a dense X: each reads X once.

A pass takes a thread's part of the rows, `start` to `stop`, in blocks. A block stays in cache
between its products with the coefficients and the sum of its weighted rows. No matrix of n rows and
k columns is ever in memory.

    X             (n, d)
    sign, label   (n,), 2 y - 1 as int8 for two classes, y as int32 for more
    w, v          (d,)
    coefficients  W^T, (d, `padded(k)`), for k models or classes
    rows          int64 indices (m,), or None for all; one out of range raises an IndexError
    start, stop   positions in them
    block         rows at a time

The last arguments are totals in float64, which a pass adds to. Their padding stays 0.
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
from logreg_kernels.fused_cpu.compile import compiled, inlined
from logreg_kernels.fused_cpu.losses import (
    add_nll_and_residuals,
    curvature,
    curve_softmax,
    nll_and_residuals,
    softmax,
    softmax_nll_and_residuals,
    softmax_weight,
)
from logreg_kernels.fused_cpu.products import add_products, add_weighted_rows, row_products


@compiled
def add_grad(X, sign, w, rows, start, stop, block, grad):
    """grad += sum_i (dnll_i/dz_i) x_i over a part of the rows; returns sum_i nll_i.

    Traffic: d itemsize + 1 bytes a row, and 8 more with `rows`.
    """
    d = X.shape[1]
    z, residual = np.empty(block, X.dtype), np.empty(block, X.dtype)
    sums = np.zeros(d, X.dtype)
    nll = 0.0
    if rows is not None:
        taken, taken_sign = np.empty((block, d), X.dtype), np.empty(block, np.int8)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        if rows is None:
            source, at, signs, ahead = X, first, sign[first : first + count], ahead_of(X, block)
        else:
            take_rows(X, sign, rows[first : first + count], taken, taken_sign)
            source, at, signs, ahead = taken, 0, taken_sign[:count], 0
        row_products(source, at, count, w, z, ahead)
        nll += nll_and_residuals(z, signs, residual)
        add_weighted_rows(source, at, count, residual, sums, ahead)
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

    hessian has shape (d, `padded(d)`).

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


@compiled
def add_batch_grads(X, sign, coefficients, start, stop, block, nll, grads):
    """nll and grads grow by the sums over a part of the rows, for each of k models of two classes.

    nll has shape (k,), grads (d, `padded(k)`). Beyond k, grads have no meaning.

    Traffic: d itemsize + 1 bytes a row, for all models together.
    """
    d = X.shape[1]
    Z = np.empty((block, coefficients.shape[1]), X.dtype)
    sums, nll_sums = np.zeros(coefficients.shape, X.dtype), np.zeros(nll.shape[0], X.dtype)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        Z[:count] = 0
        add_products(X, first * d, d, 1, count, d, coefficients, Z)
        add_nll_and_residuals(Z, sign[first : first + count], nll_sums)
        add_products(X, first * d, 1, d, d, count, Z, sums)
        flush(nll_sums, nll)
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums.reshape(-1), grads.reshape(-1))
    flush(sums.reshape(-1), grads.reshape(-1))


@compiled
def add_softmax_grad(X, label, coefficients, n_classes, rows, start, stop, block, grad):
    """grad += sum_i (dnll_i/dZ_i) x_i^T over a part of the rows; returns sum_i nll_i.

    grad has shape (d, `padded(c)`).

    Traffic: d itemsize + 4 bytes a row, and 8 more with `rows`.
    """
    d = X.shape[1]
    Z = np.empty((block, coefficients.shape[1]), X.dtype)
    sums, tops = np.zeros(coefficients.shape, X.dtype), np.empty(16, X.dtype)
    nll = 0.0
    if rows is not None:
        taken, taken_label = np.empty((block, d), X.dtype), np.empty(block, label.dtype)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        if rows is None:
            source, at, labels = X, first, label[first : first + count]
        else:
            take_rows(X, label, rows[first : first + count], taken, taken_label)
            source, at, labels = taken, 0, taken_label[:count]
        logits(source, at, count, coefficients, n_classes, Z)
        for i in range(count):
            nll += softmax_nll_and_residuals(Z[i], labels[i], tops)
        add_products(source, at * d, 1, d, d, count, Z, sums)
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums.reshape(-1), grad.reshape(-1))
    flush(sums.reshape(-1), grad.reshape(-1))
    return nll


@compiled
def add_softmax_hvp(X, coefficients, v_coefficients, n_classes, start, stop, block, product):
    """product += sum_i S_i x_i^T over a part of the rows,  S_i = p_i * (u_i - p_i . u_i).

    u_i = V x_i. v_coefficients are V^T, and product is of their shape.

    Traffic: d itemsize bytes a row.
    """
    d = X.shape[1]
    P = np.empty((block, coefficients.shape[1]), X.dtype)
    U = np.empty((block, coefficients.shape[1]), X.dtype)
    sums, tops = np.zeros(coefficients.shape, X.dtype), np.empty(16, X.dtype)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        logits(X, first, count, coefficients, n_classes, P)
        U[:count] = 0
        add_products(X, first * d, d, 1, count, d, v_coefficients, U)
        for i in range(count):
            p, u = P[i], U[i]
            curve_softmax(p, u, softmax(p, tops)[2], n_classes)
        add_products(X, first * d, 1, d, d, count, P, sums)
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums.reshape(-1), product.reshape(-1))
    flush(sums.reshape(-1), product.reshape(-1))


@compiled
def add_softmax_hessian(X, coefficients, n_classes, start, stop, block, hessian):
    """hessian[k, :, l] += sum_i p_ik ([k = l] - p_il) x_i x_i^T over a part of the rows, l <= k.

    hessian has shape (c, c, d, `padded(d)`), class by class. Blocks above l = k stay 0.

    Traffic: d itemsize bytes a row. The c^2 d^2 sums stay in cache while they are few.
    """
    d = X.shape[1]
    P = np.empty((block, coefficients.shape[1]), X.dtype)
    weighted, rows = np.empty((block, d), X.dtype), np.zeros((block, hessian.shape[3]), X.dtype)
    sums, tops = np.zeros(hessian.shape, X.dtype), np.empty(16, X.dtype)
    for first in range(start, stop, block):
        count = min(block, stop - first)
        logits(X, first, count, coefficients, n_classes, P)
        for i in range(count):
            softmax(P[i], tops)
            rows[i, :d] = X[first + i]
        for k in range(n_classes):
            for j in range(k + 1):
                for i in range(count):
                    weight = softmax_weight(P[i], k, j, n_classes)
                    target, x = weighted[i], rows[i]
                    for m in range(d):
                        target[m] = weight * x[m]
                add_products(weighted, 0, 1, d, d, count, rows, sums[k, j])
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums.reshape(-1), hessian.reshape(-1))
    flush(sums.reshape(-1), hessian.reshape(-1))


@inlined
def logits(X, first, count, coefficients, n_classes, Z):
    """Z[i] = W x_{first + i} for i < count, and -inf in the padding, where there is no class."""
    d = X.shape[1]
    Z[:count] = 0
    add_products(X, first * d, d, 1, count, d, coefficients, Z)
    Z[:count, n_classes:] = -np.inf
