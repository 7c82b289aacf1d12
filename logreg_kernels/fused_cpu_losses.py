"""The elementwise middle of a pass of `fused-cpu`: from a block's logits to what weighs its rows.

All of it is written without branches that depend on the data, so that LLVM makes vector code.
"""

# Numba types the arguments itself.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np

from logreg_kernels.fused_cpu_compile import inlined
from logreg_kernels.fused_cpu_math import exp_of_negative, log1p_of_fraction


@inlined
def nll_and_residuals(z, sign, residual):
    """Sum of softplus(-m_i), and dnll_i/dz_i = -s_i sigmoid(-m_i), at margins m_i = s_i z_i.

        e = exp(-|m|),   softplus(-m) = max(-m, 0) + log1p(e),
        sigmoid(-m) = (e if m >= 0 else 1) / (1 + e)

    Args:
        z: logits, at least (m,).  sign: 2 y - 1 as int8, (m,).
        residual: written, at least (m,); not z, or the loop would run number by number.
    """
    zero, one = z.dtype.type(0), z.dtype.type(1)
    nll = zero
    for i in range(sign.shape[0]):
        s = z.dtype.type(sign[i])
        margin = s * z[i]
        e = exp_of_negative(-abs(margin))
        # A select, since `max` would swallow a NaN.
        nll += (zero if margin > zero else -margin) + log1p_of_fraction(e)
        residual[i] = -s * ((e if margin >= zero else one) / (one + e))
    return nll


@inlined
def add_nll_and_residuals(Z, sign, nll):
    """`nll_and_residuals` of many models at once: logits Z (m, k) become residuals, nll (k,) grows.

    A row has one label and as many logits as there are models.
    """
    zero, one = Z.dtype.type(0), Z.dtype.type(1)
    for i in range(sign.shape[0]):
        s = Z.dtype.type(sign[i])
        row = Z[i]
        for k in range(nll.shape[0]):
            margin = s * row[k]
            e = exp_of_negative(-abs(margin))
            nll[k] += (zero if margin > zero else -margin) + log1p_of_fraction(e)
            row[k] = -s * ((e if margin >= zero else one) / (one + e))


@inlined
def curvature(z):
    """p (1 - p) = e / (1 + e)^2 with e = exp(-|z|): does not cancel where 1 - p rounds to 0."""
    one = z.dtype.type(1)
    for i in range(z.shape[0]):
        e = exp_of_negative(-abs(z[i]))
        z[i] = e / ((one + e) * (one + e))


@inlined
def softmax(z, tops):
    """One row of logits z (c,) becomes its probabilities; returns (top, log1p(rest), best, rest).

        p_k = exp(z_k - top) / (1 + rest),   rest = sum_{k != best} exp(z_k - top)

    with `best` the first index of the largest logit, `top`. Its own term, 1, stays out of `rest`,
    which may be tiny: logsumexp(z) is then top + log1p(rest) without cancellation.

    Args:
        z: shape (c,), c a multiple of `len(tops)`; -inf where there is no class.
        tops: scratch; as many running maxima, so that they are found a vector at a time.
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

    Nothing cancels: where the label is certain, nll and residual are the small sum itself, and
    elsewhere the other terms contain the largest one, 1.

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
