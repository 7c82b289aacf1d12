"""The elementwise part of a pass of `fused-cpu`: from a block's logits to the weights of its rows.

There are no branches that depend on the data, so that LLVM makes vector code.
"""

# Numba types the arguments itself.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np

from logreg_kernels.fused_cpu.compile import inlined
from logreg_kernels.fused_cpu.math import exp_of_negative, log1p_of_fraction, number_like


@inlined
def nll_and_residual(z, s):
    """softplus(-m) and dnll/dz = -s sigmoid(-m) at the margin m = s z, s = +-1.

    e = exp(-|m|),   softplus(-m) = max(-m, 0) + log1p(e),
    sigmoid(-m) = (e if m >= 0 else 1) / (1 + e)
    """
    zero, one = number_like(z, 0), number_like(z, 1)
    margin = s * z
    e = exp_of_negative(-abs(margin))
    # A select, since `max` would swallow a NaN.
    nll = (zero if margin > zero else -margin) + log1p_of_fraction(e)
    return nll, -s * ((e if margin >= zero else one) / (one + e))


@inlined
def nll_and_residuals(z, sign, residual):
    """Sum of nll_i over a block of rows, and dnll_i/dz_i of each.

    Args:
        z: logits, at least (m,).  sign: 2 y - 1 as int8, (m,).
        residual: written, at least (m,). If it were z, the loop would not become vector code.
    """
    total = z.dtype.type(0)
    for i in range(sign.shape[0]):
        nll, residual[i] = nll_and_residual(z[i], z.dtype.type(sign[i]))
        total += nll
    return total


@inlined
def add_nll_and_residuals(Z, sign, nll):
    """The same for k models: logits Z (m, at least k) become residuals, and nll (k,) grows."""
    for i in range(sign.shape[0]):
        s = Z.dtype.type(sign[i])
        row = Z[i]
        for k in range(nll.shape[0]):
            nll_k, row[k] = nll_and_residual(row[k], s)
            nll[k] += nll_k


@inlined
def curvature_at(z):
    """p (1 - p) = e / (1 + e)^2 with e = exp(-|z|), exact where 1 - p rounds to 0."""
    one = number_like(z, 1)
    e = exp_of_negative(-abs(z))
    return e / ((one + e) * (one + e))


@inlined
def curvature(z):
    """Logits z become p (1 - p)."""
    for i in range(z.shape[0]):
        z[i] = curvature_at(z[i])


@inlined
def softmax(z, tops):
    """One row of logits z (c,) becomes its probabilities; returns (top, log1p(rest), best, rest).

        p_k = exp(z_k - top) / (1 + rest),   rest = sum_{k != best} exp(z_k - top)

    `best` is the first index of the largest logit, `top`. Its own term, 1, stays out of `rest`,
    which may be tiny. Then logsumexp(z) = top + log1p(rest) does not cancel.

    Args:
        z: shape (c,), c a multiple of `len(tops)`; -inf where there is no class.
        tops: scratch for running maxima, so that they are found a vector at a time.
    Source: Blanchard, Higham and Higham (2021), "Accurately computing the log-sum-exp and softmax
        functions", algorithm 3.1 with the largest term left out of the sum.
    """
    zero, one = z.dtype.type(0), z.dtype.type(1)
    lanes = tops.shape[0]
    tops[:] = z[:lanes]
    for start in range(lanes, z.shape[0], lanes):
        part = z[start : start + lanes]
        for lane in range(lanes):
            tops[lane] = part[lane] if part[lane] > tops[lane] else tops[lane]
    top = tops[0]
    for lane in range(1, lanes):
        top = tops[lane] if tops[lane] > top else top
    best = 0
    for k in range(z.shape[0]):
        if z[k] == top:
            best = k
            break
    for k in range(z.shape[0]):
        z[k] = exp_of_negative(z[k] - top)
    z[best] = zero
    rest = zero
    for k in range(z.shape[0]):
        rest += z[k]
    z[best] = one
    reciprocal = one / (one + rest)
    for k in range(z.shape[0]):
        z[k] *= reciprocal
    return top, np.log1p(rest), best, rest


@inlined
def softmax_nll_and_residuals(z, label, tops):
    """nll of one row of logits z, which become its residuals p_k - [k = label].

        nll = (top - z_label) + log1p(rest),   p_label - 1 = -sum_{k != label} p_k

    Nothing cancels. Where the label is certain, nll and residual are the small sum itself.
    Elsewhere the other terms contain the largest one, 1.

    Args:
        z, tops: as `softmax` takes them.
    """
    one = z.dtype.type(1)
    z_label = z[label]
    top, log1p_rest, best, rest = softmax(z, tops)
    if label == best:
        z[label] = -rest / (one + rest)
    else:
        z[label] = -((one - exp_of_negative(z_label - top)) + rest) / (one + rest)
    return (top - z_label) + log1p_rest


@inlined
def curve_softmax(p, u, best, n_classes):
    """Probabilities p become S = p * (u - p . u). u, the logits of v, is overwritten.

    u is taken relative to the likeliest class, `best`. Where that one is certain, p . u is a sum of
    small terms, and u - p . u does not cancel.
    """
    u_best, mean = u[best], p.dtype.type(0)
    for k in range(n_classes):
        u[k] -= u_best
        mean += p[k] * u[k]
    for k in range(n_classes):
        p[k] *= u[k] - mean


@inlined
def softmax_weight(p, k, j, n_classes):
    """p_k ([k = j] - p_j). The diagonal is p_k times the others' sum: 1 - p_k may round to 0."""
    if j != k:
        return -p[k] * p[j]
    others = p.dtype.type(0)
    for m in range(n_classes):
        if m != k:
            others += p[m]
    return p[k] * others
