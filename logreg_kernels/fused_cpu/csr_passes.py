"""Passes of `fused-cpu` over a sparse X: each reads its entries once, and nothing is made dense.

They have the names and arguments of the passes over a dense X. X itself is a tuple, as `operand_of`
makes it: the values, their columns, and where each row begins. A row stays in the first-level cache
between its product with w and its sum.
"""

# Numba types the arguments itself.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np

from logreg_kernels.fused_cpu.blocks import flush, mean_value_and_grad
from logreg_kernels.fused_cpu.compile import compiled, inlined
from logreg_kernels.fused_cpu.losses import (
    add_nll_and_residuals,
    curvature_at,
    curve_softmax,
    nll_and_residual,
    softmax,
    softmax_nll_and_residuals,
    softmax_weight,
)

# After this many entries a column, on average, sums in X's dtype are added to those in float64.
FLUSH_ENTRIES = 8
# Unsigned, like the columns: compiled code checks whether a signed index counts from the end.
ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)


@compiled
def add_grad(X, sign, w, rows, start, stop, block, grad):
    """grad += sum_i (dnll_i/dz_i) x_i over a part of the rows; returns sum_i nll_i.

    A coefficient and its sum lie side by side. An entry of X then misses the first-level cache
    once, for the product, and finds the sum there.

    Raises:
        IndexError: a row index is out of range.
    Traffic: itemsize + 4 bytes an entry, and 9 a row.
    """
    d, total, unflushed = w.shape[0], 0.0, 0
    pairs = np.empty((d, 2), w.dtype)
    for j in range(d):
        pairs[j, 0], pairs[j, 1] = w[j], 0
    values, columns, starts = X
    flat = pairs.reshape(-1)
    for at in range(start, stop):
        i = at if rows is None else known_row(X, rows[at])
        z = dot_with_pairs(values, columns, starts[i], starts[i + 1], flat)
        nll, residual = nll_and_residual(z, w.dtype.type(sign[i]))
        total += nll
        for entry in range(starts[i], starts[i + 1]):
            e = np.uint64(entry)
            flat[TWO * columns[e] + ONE] += residual * values[e]
        unflushed += starts[i + 1] - starts[i]
        if unflushed > FLUSH_ENTRIES * d:
            flush(pairs[:, 1], grad)
            unflushed = 0
    flush(pairs[:, 1], grad)
    return total


@compiled
def value_and_grad(X, sign, w, rows, l2, block):
    """f(w) and its gradient, on this thread alone."""
    count = sign.shape[0] if rows is None else rows.shape[0]
    grad = np.zeros(w.shape[0])
    nll = add_grad(X, sign, w, rows, 0, count, block, grad)
    return mean_value_and_grad(nll, grad, w, l2, count)


@compiled
def add_hvp(X, w, v, start, stop, block, product):
    """product += sum_i p_i (1 - p_i) (x_i . v) x_i over a part of the rows."""
    for i in range(start, stop):
        values, columns = entries(X, i)
        weight = curvature_at(dot(values, columns, w)) * dot(values, columns, v)
        for e in range(values.shape[0]):
            product[columns[e]] += weight * values[e]


@compiled
def add_hessian(X, w, start, stop, block, hessian):
    """hessian += sum_i p_i (1 - p_i) x_i x_i^T over a part of the rows; (d, `padded(d)`)."""
    for i in range(start, stop):
        values, columns = entries(X, i)
        add_outer(values, columns, curvature_at(dot(values, columns, w)), hessian)


@compiled
def add_batch_grads(X, sign, coefficients, start, stop, block, nll, grads):
    """nll (k,) and grads (d, `padded(k)`) grow by the sums over a part of the rows."""
    Z = np.empty((1, coefficients.shape[1]), coefficients.dtype)
    nll_of_row = np.empty(nll.shape[0], coefficients.dtype)
    for i in range(start, stop):
        values, columns = entries(X, i)
        logits(values, columns, coefficients, Z[0])
        nll_of_row[:] = 0
        add_nll_and_residuals(Z, sign[i : i + 1], nll_of_row)
        for k in range(nll.shape[0]):
            nll[k] += nll_of_row[k]
        add_rows(values, columns, Z[0], grads)


@compiled
def add_softmax_grad(X, label, coefficients, n_classes, rows, start, stop, block, grad):
    """grad += sum_i (dnll_i/dZ_i) x_i^T over a part of the rows; returns sum_i nll_i.

    Raises:
        IndexError: a row index is out of range.
    """
    z, tops = np.empty(coefficients.shape[1], coefficients.dtype), np.empty(16, coefficients.dtype)
    total = 0.0
    for at in range(start, stop):
        i = at if rows is None else known_row(X, rows[at])
        values, columns = entries(X, i)
        logits(values, columns, coefficients, z)
        z[n_classes:] = -np.inf
        total += softmax_nll_and_residuals(z, label[i], tops)
        add_rows(values, columns, z, grad)
    return total


@compiled
def add_softmax_hvp(X, coefficients, v_coefficients, n_classes, start, stop, block, product):
    """product += sum_i S_i x_i^T over a part of the rows,  S_i = p_i * (u_i - p_i . u_i)."""
    p, u = np.empty_like(coefficients[0]), np.empty_like(coefficients[0])
    tops = np.empty(16, coefficients.dtype)
    for i in range(start, stop):
        values, columns = entries(X, i)
        logits(values, columns, coefficients, p)
        logits(values, columns, v_coefficients, u)
        p[n_classes:] = -np.inf
        best = softmax(p, tops)[2]
        curve_softmax(p, u, best, n_classes)
        add_rows(values, columns, p, product)


@compiled
def add_softmax_hessian(X, coefficients, n_classes, start, stop, block, hessian):
    """hessian[k, l] += sum_i p_ik ([k = l] - p_il) x_i x_i^T over a part of the rows, l <= k."""
    p, tops = np.empty_like(coefficients[0]), np.empty(16, coefficients.dtype)
    for i in range(start, stop):
        values, columns = entries(X, i)
        logits(values, columns, coefficients, p)
        p[n_classes:] = -np.inf
        softmax(p, tops)
        for k in range(n_classes):
            for j in range(k + 1):
                add_outer(values, columns, softmax_weight(p, k, j, n_classes), hessian[k, j])


@inlined
def entries(X, i):
    """Values and columns of row i."""
    values, columns, starts = X
    return values[starts[i] : starts[i + 1]], columns[starts[i] : starts[i + 1]]


@inlined
def known_row(X, row):
    """A row index from 0 on; negative ones count from the end."""
    n = X[2].shape[0] - 1
    if row < -n or row >= n:
        raise IndexError("a row index is beyond the rows of X")
    return row + n if row < 0 else row


@inlined
def dot(values, columns, w):
    """x_i . w."""
    total = w.dtype.type(0)
    for e in range(values.shape[0]):
        total += values[e] * w[columns[e]]
    return total


@inlined
def dot_with_pairs(values, columns, start, stop, pairs):
    """x_i . w, of coefficients with a sum beside each. Four totals hide the latency."""
    a = b = c = d = pairs.dtype.type(0)
    whole = start + (stop - start) // 4 * 4
    for entry in range(start, whole, 4):
        e = np.uint64(entry)
        a += values[e] * pairs[TWO * columns[e]]
        b += values[e + ONE] * pairs[TWO * columns[e + ONE]]
        c += values[e + TWO] * pairs[TWO * columns[e + TWO]]
        d += values[e + THREE] * pairs[TWO * columns[e + THREE]]
    for entry in range(whole, stop):
        e = np.uint64(entry)
        a += values[e] * pairs[TWO * columns[e]]
    return (a + b) + (c + d)


@inlined
def logits(values, columns, coefficients, z):
    """z[k] = x_i . w_k, of coefficients (d, `padded(k)`)."""
    z[:] = 0
    for e in range(values.shape[0]):
        row, value = coefficients[columns[e]], values[e]
        for k in range(z.shape[0]):
            z[k] += value * row[k]


@inlined
def add_rows(values, columns, r, sums):
    """sums[j, k] += x_ij r[k]."""
    for e in range(values.shape[0]):
        row, value = sums[columns[e]], values[e]
        for k in range(r.shape[0]):
            row[k] += value * r[k]


@inlined
def add_outer(values, columns, weight, hessian):
    """hessian += weight x_i x_i^T."""
    for a in range(values.shape[0]):
        row, weighted = hessian[columns[a]], weight * values[a]
        for b in range(values.shape[0]):
            row[columns[b]] += weighted * values[b]
