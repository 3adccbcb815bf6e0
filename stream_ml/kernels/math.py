"""exp, log, log1p, sin, cos, pow and sigmoid in plain double arithmetic, one value at a time.

libm, SVML and numpy's loops round differently from CPU to CPU; these do not: additions, multiplications and divisions
in a fixed order give the same bits compiled, interpreted and on every machine with IEEE doubles. The algorithms and
constants are those of fdlibm (Sun Microsystems 1993: e_exp.c, e_log.c, s_log1p.c, e_rem_pio2.c, k_sin.c; k_cos.c as in
FreeBSD); "permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is
preserved". Errors: exp < 1 ulp, log < 1 ulp, log1p < 2.5 ulp, sin and cos < 1 ulp while ``|x| <= 1647099``; past that
their absolute error grows to ``4e-17 * |x|`` and the result stays in [-1, 1].

NaN gives NaN; nothing raises, nothing warns.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.kernels.jit import kernel

NAN = float("nan")
INF = float("inf")

LN2_HI = 6.93147180369123816490e-01
LN2_LO = 1.90821492927058770002e-10
INV_LN2 = 1.44269504088896338700e00
HALF_LN2 = 0.34657359027997264
EXP_MAX = 7.09782712893383973096e02
EXP_MIN = -7.45133219101941108420e02

P1 = 1.66666666666666019037e-01
P2 = -2.77777777770155933842e-03
P3 = 6.61375632143793436117e-05
P4 = -1.65339022054652515390e-06
P5 = 4.13813679705723846039e-08

L1 = 6.666666666666735130e-01
L2 = 3.999999999940941908e-01
L3 = 2.857142874366239149e-01
L4 = 2.222219843214978396e-01
L5 = 1.818357216161805012e-01
L6 = 1.531383769920937332e-01
L7 = 1.479819860511658591e-01

S1 = -1.66666666666666324348e-01
S2 = 8.33333333332248946124e-03
S3 = -1.98412698298579493134e-04
S4 = 2.75573137070700676789e-06
S5 = -2.50507602534068634195e-08
S6 = 1.58969099521155010221e-10

C1 = 4.16666666666666019037e-02
C2 = -1.38888888888741095749e-03
C3 = 2.48015872894767294178e-05
C4 = -2.75573143513906633035e-07
C5 = 2.08757232129817482790e-09
C6 = -1.13596475577881948265e-11

INV_PIO2 = 6.36619772367581382433e-01
PIO2_1 = 1.57079632673412561417e00
PIO2_2 = 6.07710050630396597660e-11
PIO2_2T = 2.02226624879595063154e-21
PIO2_3 = 2.02226624871116645580e-21
PIO2_3T = 8.47842766036889956997e-32
TWO_PI = 6.283185307179586
#: Up to here the argument of sin and cos is reduced with 151 bits of pi/2 (2**20 * pi/2).
REDUCIBLE = 1647099.0

#: Powers with a whole exponent up to this size are products; past it, exp(b * log(a)).
WHOLE_POWER = 1024.0


@kernel
def power_of_two(k: int) -> float:
    """Return 2**k, exactly, for -1022 <= k <= 1023."""
    return float(np.int64((k + 1023) << 52).view(np.float64))


@kernel
def bits_of(x: float) -> int:
    """Return the 64 bits of a double as a signed integer."""
    return int(np.float64(x).view(np.int64))


@kernel
def exp(x: float) -> float:
    """Return e**x: x = k ln2 + r with |r| <= ln2 / 2, then a rational form of e**r, times 2**k."""
    x = float(x)
    if x != x:
        return NAN
    if x > EXP_MAX:
        return INF
    if x < EXP_MIN:
        return 0.0
    size = abs(x)
    if size < 3.725290298461914e-09:
        return 1.0 + x
    half = 0.5 if x > 0.0 else -0.5
    k = int(INV_LN2 * x + half) if size > HALF_LN2 else 0
    hi = x - k * LN2_HI
    lo = k * LN2_LO
    x = hi - lo
    t = x * x
    c = x - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))))
    y = 1.0 - ((lo - (x * c) / (2.0 - c)) - hi)
    if k > 1023:
        return y * 2.0 * power_of_two(k - 1)
    if k < -1021:
        return y * power_of_two(k + 1000) * 9.332636185032189e-302
    return y * power_of_two(k)


@kernel
def log(x: float) -> float:
    """Return the natural logarithm: x = 2**k (1 + f) with sqrt(2)/2 < 1 + f < sqrt(2), a polynomial in s = f / (2 + f).

    0 gives -inf, a negative number NaN.
    """
    x = float(x)
    if x != x or x < 0.0:
        return NAN
    if x == 0.0:
        return -INF
    if x == INF:
        return INF
    k = 0
    if x < 2.2250738585072014e-308:
        k = -54
        x = x * 18014398509481984.0
    word = int(bits_of(x))
    high = (word >> 32) & 0xFFFFF
    k += (word >> 52) - 1023
    up = (high + 0x95F64) & 0x100000
    k += up >> 20
    f = float(np.int64((word & 0xFFFFFFFFFFFFF) | ((0x3FF - (up >> 20)) << 52)).view(np.float64)) - 1.0
    if (0xFFFFF & (2 + high)) < 3:
        if f == 0.0:
            return k * LN2_HI + k * LN2_LO
        r = f * f * (0.5 - 0.33333333333333333 * f)
        return k * LN2_HI - ((r - k * LN2_LO) - f)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    r = z * (L1 + w * (L3 + w * (L5 + w * L7))) + w * (L2 + w * (L4 + w * L6))
    if ((high - 0x6147A) | (0x6B851 - high)) > 0:
        half = 0.5 * f * f
        return k * LN2_HI - ((half - (s * (half + r) + k * LN2_LO)) - f)
    return k * LN2_HI - ((s * (f - r) - k * LN2_LO) - f)


@kernel
def log1p(x: float) -> float:
    """Return log(1 + x), exact to the last bits also for small x; -1 gives -inf, less gives NaN."""
    x = float(x)
    if x != x or x < -1.0:
        return NAN
    if x == -1.0:
        return -INF
    if x == INF:
        return INF
    size = abs(x)
    if size < 5.551115123125783e-17:
        return x
    if size < 1.862645149230957e-09:
        return x - x * x * 0.5
    k = 0
    c = 0.0
    f = x
    small = False
    if not -0.29289341 < x < 0.41421300:
        u = x
        if x < 9007199254740992.0:
            u = 1.0 + x
            word = int(bits_of(u))
            k = (word >> 52) - 1023
            c = 1.0 - (u - x) if k > 0 else x - (u - 1.0)
            c = c / u
        else:
            word = int(bits_of(u))
            k = (word >> 52) - 1023
        high = (word >> 32) & 0xFFFFF
        exponent = 0x3FF
        if high >= 0x6A09E:
            k += 1
            exponent = 0x3FE
            high = (0x100000 - high) >> 2
        small = high == 0
        f = float(np.int64((word & 0xFFFFFFFFFFFFF) | (exponent << 52)).view(np.float64)) - 1.0
    half = 0.5 * f * f
    if small:
        if f == 0.0:
            return k * LN2_HI + (c + k * LN2_LO)
        r = half * (1.0 - 0.66666666666666666 * f)
        return k * LN2_HI - ((r - (k * LN2_LO + c)) - f)
    s = f / (2.0 + f)
    z = s * s
    r = z * (L1 + z * (L2 + z * (L3 + z * (L4 + z * (L5 + z * (L6 + z * L7))))))
    if k == 0:
        return f - (half - s * (half + r))
    return k * LN2_HI - ((half - (s * (half + r) + (k * LN2_LO + c))) - f)


@kernel
def _sin_reduced(x: float, y: float) -> float:
    z = x * x
    v = z * x
    r = S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))
    return x - ((z * (0.5 * y - v * r) - y) - v * S1)


@kernel
def _cos_reduced(x: float, y: float) -> float:
    z = x * x
    r = z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6)))))
    half = 0.5 * z
    w = 1.0 - half
    return w + (((1.0 - w) - half) + (z * r - x * y))


@kernel
def _quadrant(x: float) -> tuple[int, float, float]:
    """Return q, r and r's tail with x = q pi/2 + r + tail, |r| <= pi/4, for finite x >= 0."""
    if x > REDUCIBLE:
        x = x % TWO_PI
    q = int(x * INV_PIO2 + 0.5)
    t = x - q * PIO2_1
    w = q * PIO2_2
    r = t - w
    w = q * PIO2_2T - ((t - r) - w)
    y = r - w
    if q > 0 and abs(y) < x * 1.7763568394002505e-15:
        t = r
        w = q * PIO2_3
        first = q * PIO2_2
        t = x - q * PIO2_1
        r = t - first
        lost = (t - r) - first
        t = r
        r = t - w
        w = q * PIO2_3T - (((t - r) - w) + lost)
        y = r - w
    return q & 3, y, (r - y) - w


@kernel
def sin(x: float) -> float:
    """Return the sine of x in radians; of an infinity, NaN."""
    x = float(x)
    if x != x or abs(x) == INF:
        return NAN
    if abs(x) < 7.450580596923828e-09:
        return x
    q, r, tail = _quadrant(abs(x))
    y = _sin_reduced(r, tail) if q & 1 == 0 else _cos_reduced(r, tail)
    if q >= 2:
        y = -y
    return -y if x < 0.0 else y


@kernel
def cos(x: float) -> float:
    """Return the cosine of x in radians; of an infinity, NaN."""
    x = float(x)
    if x != x or abs(x) == INF:
        return NAN
    q, r, tail = _quadrant(abs(x))
    y = _cos_reduced(r, tail) if q & 1 == 0 else _sin_reduced(r, tail)
    return -y if q == 1 or q == 2 else y


@kernel
def sqrt(x: float) -> float:
    """Return the square root, correctly rounded everywhere; of a negative number, NaN."""
    x = float(x)
    if x != x or x < 0.0:
        return NAN
    return math.sqrt(x)


@kernel
def pow(a: float, b: float) -> float:
    """Return a**b: a product for whole |b| <= 1024, a square root for b = 0.5, else exp(b log(a)).

    A negative base with a fraction as exponent gives NaN, 0 with a negative exponent inf. The last form's relative
    error grows with ``|b log(a)|``: about 1e-16 times it.
    """
    a = float(a)
    b = float(b)
    if b == 0.0:
        return 1.0
    if a != a or b != b:
        return NAN
    if b == 0.5:
        return sqrt(a)
    if abs(b) <= WHOLE_POWER and b == math.floor(b):
        n = int(abs(b))
        y = 1.0
        square = a
        while n > 0:
            if n & 1 == 1:
                y = y * square
            n = n >> 1
            if n > 0:
                square = square * square
        if b > 0.0:
            return y
        return INF if y == 0.0 else 1.0 / y
    if a == 0.0:
        return 0.0 if b > 0.0 else INF
    if a == 1.0:
        return 1.0
    return exp(b * log(a))


@kernel
def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)); 0 below -30 and 1 above 30, as river does."""
    x = float(x)
    if x < -30.0:
        return 0.0
    if x > 30.0:
        return 1.0
    return 1.0 / (1.0 + exp(-x))
