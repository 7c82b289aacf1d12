"""Passes of `fused-cpu` over a dense X with many models or classes: each reads X once.

A block's logits, rows by models, become the weights of its rows and are multiplied with the rows
while both lie in cache. No matrix of n rows and k columns is ever in memory.
"""

# Numba types the arguments itself.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from logreg_kernels.fused_cpu.blocks import FLUSH_ROWS, flush, take_rows
from logreg_kernels.fused_cpu.compile import compiled, inlined
from logreg_kernels.fused_cpu.losses import (
    add_nll_and_residuals,
    curve_softmax,
    softmax,
    softmax_nll_and_residuals,
    softmax_weight,
)
from logreg_kernels.fused_cpu.products import add_products


@compiled
def add_batch_grads(X, sign, coefficients, start, stop, block, nll, grads):
    """nll and grads grow by the sums over a part of the rows, for each of k models of two classes.

    Args:
        X: (n, d).  sign: 2 y - 1 as int8, (n,).
        coefficients: W^T, (d, `padded(k)`).
        start, stop: the part's rows.  block: rows at a time.
        nll: float64, (k,).  grads: float64, (d, `padded(k)`), without meaning beyond k.
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

    Args:
        X: (n, d).  label: (n,), integers 0 ... c - 1.  coefficients: W^T, (d, `padded(c)`).
        rows, start, stop, block: as `add_grad` takes them.
        grad: float64, (d, `padded(c)`); the padding stays 0.
    Raises:
        IndexError: a row index is out of range.
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
            logits(X, first, count, coefficients, n_classes, Z)
            labels = label[first : first + count]
        else:
            take_rows(X, label, rows[first : first + count], taken, taken_label)
            logits(taken, 0, count, coefficients, n_classes, Z)
            labels = taken_label[:count]
        for i in range(count):
            nll += softmax_nll_and_residuals(Z[i], labels[i], tops)
        if rows is None:
            add_products(X, first * d, 1, d, d, count, Z, sums)
        else:
            add_products(taken, 0, 1, d, d, count, Z, sums)
        if (first - start) % FLUSH_ROWS >= FLUSH_ROWS - block:
            flush(sums.reshape(-1), grad.reshape(-1))
    flush(sums.reshape(-1), grad.reshape(-1))
    return nll


@compiled
def add_softmax_hvp(X, coefficients, v_coefficients, n_classes, start, stop, block, product):
    """product += sum_i S_i x_i^T over a part of the rows,  S_i = p_i * (u_i - p_i . u_i).

    u_i = V x_i.

    Args:
        X: (n, d).  coefficients, v_coefficients: W^T and V^T, (d, `padded(c)`).
        product: float64, (d, `padded(c)`); the padding stays 0.
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

    Args:
        X: (n, d).  coefficients: W^T, (d, `padded(c)`).
        hessian: float64, (c, c, d, `padded(d)`), class by class; blocks above l = k stay 0.
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
