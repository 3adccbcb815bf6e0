"""ADWIN, adaptive windowing: tell when the mean of the newest values differs from that of the ones before.

The window is summarised by buckets. Row r of `buckets` holds buckets of 2^r values each, oldest first: their totals
and their spreads (sums of squared deviations from the bucket's own mean). A new value is a bucket of row 0; when a row
holds more than M buckets, its two oldest merge into one of the next row. The window is cut at every edge between
buckets, and while some cut separates two means by more than the bound, the oldest bucket is dropped.

A. Bifet and R. Gavalda, Learning from time-changing data with adaptive windowing, SIAM SDM 2007. Spread of merged
buckets: B. Babcock et al., Maintaining variance and k-medians over data stream windows, PODS 2003. The order of the
operations is that of river's detector, so decisions are equal.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import log

#: Rows of buckets; a window can never hold 2^50 values.
ROWS = 50
#: Values beyond are taken as this one, so that no square can overflow.
LARGEST = 1e100
#: Places in `buckets[row]`, in `moments`, in `counts`, in `rules` and in a row of `found`.
TOTALS, SPREADS = 0, 1
WIDTH, TOTAL, SPREAD = 0, 1, 2
DEPTH, TICK, FIRED, SEEN = 0, 1, 2, 3
DELTA, LENGTH, GRACE, CLOCK = 0, 1, 2, 3
INDEX, BEFORE, AFTER, DROPPED, KEPT = 0, 1, 2, 3, 4


@kernel(inlined=True)
def insert(
    x: float,
    buckets: NDArray[np.float64],
    held: NDArray[np.int64],
    counts: NDArray[np.int64],
    moments: NDArray[np.float64],
) -> None:
    """Add one value to the window and merge buckets where a row has too many.

    W' = W + 1;  S' = S + (W' - 1)(x - T/(W' - 1))^2 / W';  T' = T + x.
    Two buckets of n values: T = T1 + T2;  S = S1 + S2 + (n/2)(T1/n - T2/n)^2.
    """
    before = moments[WIDTH]
    width = before + 1.0
    if before > 0.0:
        apart = x - moments[TOTAL] / before
        moments[SPREAD] += before * apart * apart / width
    moments[WIDTH] = width
    moments[TOTAL] += x
    newest = held[0]
    buckets[0, TOTALS, newest] = x
    buckets[0, SPREADS, newest] = 0.0
    held[0] = newest + 1
    most = buckets.shape[2] - 1
    row = 0
    size = 1.0
    while held[row] > most:
        first, second = buckets[row, TOTALS, 0], buckets[row, TOTALS, 1]
        apart = first / size - second / size
        spread = buckets[row, SPREADS, 0] + buckets[row, SPREADS, 1] + size * 0.5 * apart * apart
        up = row + 1
        place = held[up]
        buckets[up, TOTALS, place] = first + second
        buckets[up, SPREADS, place] = spread
        held[up] = place + 1
        if up == counts[DEPTH]:
            counts[DEPTH] = up + 1
        left = held[row] - 2
        for k in range(left):
            buckets[row, TOTALS, k] = buckets[row, TOTALS, k + 2]
            buckets[row, SPREADS, k] = buckets[row, SPREADS, k + 2]
        held[row] = left
        row = up
        size *= 2.0


@kernel
def drop(
    buckets: NDArray[np.float64], held: NDArray[np.int64], counts: NDArray[np.int64], moments: NDArray[np.float64]
) -> tuple[float, float]:
    """Take the oldest bucket (n values, total u, spread v) out of the window; returns (n, u).

    W' = W - n;  T' = T - u;  S' = S - (v + n W' (u/n - T'/W')^2 / (n + W')).
    """
    row = counts[DEPTH] - 1
    size = 1.0
    for _ in range(row):
        size *= 2.0
    total = buckets[row, TOTALS, 0]
    width = moments[WIDTH] - size
    moments[WIDTH] = width
    moments[TOTAL] -= total
    apart = total / size - moments[TOTAL] / width
    moments[SPREAD] -= buckets[row, SPREADS, 0] + size * width * apart * apart / (size + width)
    left = held[row] - 1
    for k in range(left):
        buckets[row, TOTALS, k] = buckets[row, TOTALS, k + 1]
        buckets[row, SPREADS, k] = buckets[row, SPREADS, k + 1]
    held[row] = left
    if left == 0:
        counts[DEPTH] = row
    return size, total


@kernel
def differs(
    buckets: NDArray[np.float64],
    held: NDArray[np.int64],
    counts: NDArray[np.int64],
    moments: NDArray[np.float64],
    rules: NDArray[np.float64],
) -> bool:
    """Say whether some cut of the window into n0 older and n1 newer values separates their means significantly.

    |u0/n0 - u1/n1| > sqrt(2 m (S/W) d) + (2/3) d m,  m = 1/(n0 - L + 1) + 1/(n1 - L + 1),  d = log(2 log(W) / delta),
    over cuts with n0, n1 >= L. A spread below zero (rounding) makes no bound, hence no cut.
    """
    least = rules[LENGTH]
    width = moments[WIDTH]
    if width < 2.0 * least:
        return False
    doubt = log(2.0 * log(width) / rules[DELTA])
    linear = 2.0 / 3.0 * doubt
    variance = moments[SPREAD] / width
    older, newer = 0.0, width
    below, above = 0.0, moments[TOTAL]
    size = 1.0
    for _ in range(counts[DEPTH] - 1):
        size *= 2.0
    for row in range(counts[DEPTH] - 1, -1, -1):
        for k in range(held[row]):
            total = buckets[row, TOTALS, k]
            older += size
            newer -= size
            below += total
            above -= total
            if newer < least:
                return False
            if older >= least:
                spacing = 1.0 / (older - least + 1.0) + 1.0 / (newer - least + 1.0)
                square = 2.0 * spacing * variance * doubt
                if square >= 0.0 and abs(below / older - above / newer) > math.sqrt(square) + linear * spacing:
                    return True
        size *= 0.5
    return False


@kernel(signature="i8(f8[::1], f8[:,:,::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[:,::1])")
def watch(
    values: NDArray[np.float64],
    buckets: NDArray[np.float64],
    held: NDArray[np.int64],
    counts: NDArray[np.int64],
    moments: NDArray[np.float64],
    rules: NDArray[np.float64],
    found: NDArray[np.float64],
) -> int:
    """Feed values [n] in order; NaN is left out; returns how many changes were written to `found`.

    A row of `found` is (index in `values`, mean of the dropped values, mean of the kept ones, dropped, kept).
    The value after a change starts an empty window.
    """
    changes = 0
    clock = int(rules[CLOCK])
    for i in range(values.shape[0]):
        x = values[i]
        if x != x:
            continue
        x = min(max(x, -LARGEST), LARGEST)
        if counts[FIRED] != 0:
            for row in range(counts[DEPTH]):
                held[row] = 0
            counts[DEPTH] = 1
            counts[TICK] = 0
            counts[FIRED] = 0
            moments[WIDTH] = 0.0
            moments[TOTAL] = 0.0
            moments[SPREAD] = 0.0
        insert(x, buckets, held, counts, moments)
        counts[SEEN] += 1
        counts[TICK] += 1
        if counts[TICK] % clock != 0 or moments[WIDTH] <= rules[GRACE]:
            continue
        dropped, lost = 0.0, 0.0
        while differs(buckets, held, counts, moments, rules):
            size, total = drop(buckets, held, counts, moments)
            dropped += size
            lost += total
        if dropped > 0.0:
            counts[FIRED] = 1
            found[changes, INDEX] = i
            found[changes, BEFORE] = lost / dropped
            found[changes, AFTER] = moments[TOTAL] / moments[WIDTH]
            found[changes, DROPPED] = dropped
            found[changes, KEPT] = moments[WIDTH]
            changes += 1
    return changes
