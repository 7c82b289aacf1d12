"""exp and log1p without branches, for loops that LLVM turns into vector code.

These are inlined into the loop over a block of rows. libm would be called for each element, and
NumPy for a whole array, which would have left the cache by then.
"""

# Numba reads these functions, and types its arguments itself.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload, register_jitable

# Contraction to fused multiply-adds alone. With "reassoc", which the loops around these have, LLVM
# would add up the two parts of ln 2.
_OPTIONS = {"fastmath": {"contract"}, "forceinline": True}

_LOG2_E = 1.4426950408889634
# ln 2 in two parts. The first has few enough bits that k times it is exact.
_LN2 = {
    np.float32: (0.693145751953125, 1.4286067653301e-06),
    np.float64: (0.6931471803691238, 1.9082149292705877e-10),
}
# Below these exp is less than half of the smallest number: 2^-149 and 2^-1074.
_LOWEST = {np.float32: -104.0, np.float64: -746.0}
# Coefficients from the highest power down.
_Q = {
    np.float32: (
        *(0.0013926183587713494, 0.008363179052722578, 0.041666554617204574),
        *(0.16666576989698775, 0.5),
    ),
    np.float64: (
        *(2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06),
        *(2.4801521295954376e-05, 0.00019841269863053618, 0.0013888888917213717),
        *(0.008333333333330062, 0.04166666666662413, 0.16666666666666669, 0.5),
    ),
}
_G = {
    np.float32: (
        *(0.11612164612011674, 0.10853287900440187, 0.14296178997151418),
        *(0.1999985316596486, 0.3333333366026371),
    ),
    np.float64: (
        *(0.08082022805971766, 0.04400369243072337, 0.06000536404795356),
        *(0.06657072104827468, 0.07692785032479312, 0.09090894718066429),
        *(0.11111111358713932, 0.1428571428355438, 0.20000000000007292, 0.3333333333333333),
    ),
}


def exp_of_negative(x):
    """exp(x) for x <= 0, to one rounding more than libm's; 0 at -inf, NaN at NaN.

        exp(x) = 2^k exp(r),   k = round(x / ln 2),   r = x - k ln 2,   |r| <= ln(2) / 2
        exp(r) = 1 + r + r^2 q(r),   q of degree 4 (float32) or 9 (float64)

    2^k is a product of two factors, so that results below the smallest normal number are right.

    Source: Cody and Waite (1980), Software Manual for the Elementary Functions, ch. 6; q by
        Chebyshev interpolation of (exp(r) - 1 - r) / r^2, error below 7e-8 and 2e-16.
    """
    raise NotImplementedError("called from compiled code only")


def log1p_of_fraction(e):
    """log(1 + e) for 0 <= e <= 1, to a few roundings, also where e is tiny; NaN at NaN.

        log(1 + e) = 2 artanh(s),   s = e / (2 + e) <= 1/3
        artanh(s) = s + s^3 g(s^2),   g of degree 4 (float32) or 9 (float64)

    Source: Abramowitz and Stegun (1964), eq. 4.1.27; g by Chebyshev interpolation of
        (artanh(s) / s - 1) / s^2, error below 4e-9 and 5e-17.
    """
    raise NotImplementedError("called from compiled code only")


def number_like(x, value):
    """`value` as a number of x's type. A plain 1 would make float64 of float32."""
    raise NotImplementedError("called from compiled code only")


@overload(number_like, jit_options=_OPTIONS)
def _number_like(x, value):
    T = np.float32 if x == types.float32 else np.float64
    return lambda x, value: T(value)


@overload(exp_of_negative, jit_options=_OPTIONS)
def _exp_of_negative(x):
    if x not in (types.float32, types.float64):
        return None
    T = np.float32 if x == types.float32 else np.float64
    log2_e, half, one = T(_LOG2_E), T(0.5), T(1)
    ln2_high, ln2_low = map(T, _LN2[T])
    lowest = T(_LOWEST[T])
    q = _polynomial(T, _Q[T])

    def exp(x):
        x = lowest if x < lowest else x  # a comparison that NaN passes through
        k = np.floor(x * log2_e + half)
        r = (x - k * ln2_high) - k * ln2_low
        half_way = np.int32(k) >> np.int32(1)
        scale = power_of_two(half_way, x) * power_of_two(np.int32(k) - half_way, x)
        return (one + (r + r * r * q(r))) * scale

    return exp


@overload(log1p_of_fraction, jit_options=_OPTIONS)
def _log1p_of_fraction(e):
    if e not in (types.float32, types.float64):
        return None
    T = np.float32 if e == types.float32 else np.float64
    two = T(2)
    g = _polynomial(T, _G[T])

    def log1p(e):
        s = e / (two + e)
        square = s * s
        return two * (s + s * square * g(square))

    return log1p


def _polynomial(number, coefficients):
    """A compiled polynomial. Of ten coefficients, two halves are evaluated side by side."""
    if len(coefficients) == 5:
        a4, a3, a2, a1, a0 = map(number, coefficients)
        return register_jitable(**_OPTIONS)(lambda x: a0 + x * (a1 + x * (a2 + x * (a3 + x * a4))))
    b9, b8, b7, b6, b5, b4, b3, b2, b1, b0 = map(number, coefficients)

    def polynomial(x):
        low = b0 + x * (b1 + x * (b2 + x * (b3 + x * b4)))
        high = b5 + x * (b6 + x * (b7 + x * (b8 + x * b9)))
        square = x * x
        return low + square * square * x * high

    return register_jitable(**_OPTIONS)(polynomial)


@intrinsic
def power_of_two(typing_context, exponent, like):
    """2^exponent as a number of `like`'s type, from an int32 in the range of its exponents."""
    bits, bias, integer, floating = {
        types.float32: (23, 127, ir.IntType(32), ir.FloatType()),
        types.float64: (52, 1023, ir.IntType(64), ir.DoubleType()),
    }[like]

    def generate(context, builder, signature, arguments):
        k = builder.sext(arguments[0], integer) if integer.width > 32 else arguments[0]
        biased = builder.add(k, ir.Constant(integer, bias))
        return builder.bitcast(builder.shl(biased, ir.Constant(integer, bits)), floating)

    return like(types.int32, like), generate
