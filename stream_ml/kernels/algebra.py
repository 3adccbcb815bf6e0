"""The aggregates as an algebra over records of one to three numbers: add a value, merge two records.

==== ========== ============================== =======================================
kind record     add x                          merge b into a
==== ========== ============================== =======================================
0    n          n + 1                          na + nb
1    n, sum     n + 1, sum + x                 na + nb, suma + sumb
2    n, mean,   Welford: d = x - mean;         Chan: d = mean_b - mean_a;
     m2         mean += d / n;                 mean_a + d * (nb / n);
                m2 += d * (x - mean)           m2a + m2b + d * d * (na * (nb / n))
3    n, min,    the smaller, the larger        the smaller, the larger
     max
==== ========== ============================== =======================================

A record with n = 0 is the zero; merging with it gives the other side.
Sources: Welford, Technometrics 4(3), 1962; Chan, Golub & LeVeque, STAN-CS-79-773, 1979.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.kernels.arrays import Floats
from stream_ml.kernels.jit import kernel

COUNT, SUM, VAR, MINMAX = 0, 1, 2, 3
#: Numbers in a record of each kind.
FIELDS = (1, 2, 3, 3)
#: What a reading takes out of a record.
READ_COUNT, READ_SUM, READ_MEAN, READ_VAR, READ_STD, READ_MIN, READ_MAX = 0, 1, 2, 3, 4, 5, 6


@kernel(inlined=True)
def zero(kind: int, record: Floats, at: int) -> None:
    """Write the zero of `kind` at record[at]."""
    record[at] = 0.0
    if kind != COUNT:
        record[at + 1] = 0.0
    if kind == VAR or kind == MINMAX:
        record[at + 2] = 0.0


@kernel(inlined=True)
def add(kind: int, record: Floats, at: int, x: float) -> None:
    """Add the value x to the record at record[at]."""
    n = record[at] + 1.0
    record[at] = n
    if kind == SUM:
        record[at + 1] += x
    elif kind == VAR:
        d = x - record[at + 1]
        mean = record[at + 1] + d / n
        record[at + 2] += d * (x - mean)
        record[at + 1] = mean
    elif kind == MINMAX:
        if n == 1.0:
            record[at + 1] = x
            record[at + 2] = x
        else:
            if x < record[at + 1]:
                record[at + 1] = x
            if x > record[at + 2]:
                record[at + 2] = x


@kernel(inlined=True)
def merge(kind: int, record: Floats, at: int, other: Floats, b: int) -> None:
    """Merge the record at other[b] into the one at record[at]."""
    nb = other[b]
    if nb == 0.0:
        return
    na = record[at]
    n = na + nb
    record[at] = n
    if kind == COUNT:
        return
    if na == 0.0:
        record[at + 1] = other[b + 1]
        if kind != SUM:
            record[at + 2] = other[b + 2]
        return
    if kind == SUM:
        record[at + 1] += other[b + 1]
    elif kind == VAR:
        d = other[b + 1] - record[at + 1]
        share = nb / n
        record[at + 1] += d * share
        record[at + 2] = record[at + 2] + other[b + 2] + d * d * (na * share)
    else:
        if other[b + 1] < record[at + 1]:
            record[at + 1] = other[b + 1]
        if other[b + 2] > record[at + 2]:
            record[at + 2] = other[b + 2]


@kernel(inlined=True)
def value(what: int, record: Floats, at: int) -> float:
    """Return one reading of the record at record[at]; NaN while it is not defined, or where it is not finite."""
    n: float = record[at]
    if what == READ_COUNT:
        return n
    if n == 0.0 and what != READ_SUM:
        return np.nan
    if what == READ_SUM or what == READ_MIN:
        r: float = record[at + 1]
    elif what == READ_MEAN:
        r = record[at + 1] / n
    elif what == READ_MAX:
        r = record[at + 2]
    elif n < 2.0:
        return np.nan
    else:
        r = record[at + 2] / (n - 1.0)
        if what == READ_STD:
            r = math.sqrt(r)
    if r - r == 0.0:
        return r
    return np.nan
