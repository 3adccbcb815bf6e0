"""Scalers as river 0.26 has them: of all numbers of a row at once.

Straight loops over flat arrays, cut so that a compiler can take several numbers at once: few arrays in each, no sum,
and no branch but a choice between two values. `base` is NaN where the row does not have a number: such a number changes
nothing, and what is written as its scaled value is never read.
"""

from __future__ import annotations

from stream_ml.kernels.arrays import Floats
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import NAN, sqrt

#: What a scaler does; the numbers are those of the operations in :mod:`stream_ml.kernels.linear`.
STANDARD, CENTER, MIN_MAX = range(1, 4)


@kernel(inlined=True)
def _learn_moments(x: Floats, base: Floats, counts: Floats, means: Floats, variances: Floats) -> None:
    """Welford's update: n += 1; mean += d / n; variance += (d (x - mean) - variance) / n, with d = x - old mean."""
    for i in range(x.shape[0]):
        here = base[i] == base[i]
        value = float(x[i])
        seen = float(counts[i])
        old = float(means[i])
        variance = float(variances[i])
        count = seen + 1.0
        mean = old + (value - old) / count
        moved = variance + ((value - old) * (value - mean) - variance) / count
        counts[i] = count if here else seen
        means[i] = mean if here else old
        variances[i] = moved if here else variance


@kernel(inlined=True)
def _learn_means(x: Floats, base: Floats, counts: Floats, means: Floats) -> None:
    for i in range(x.shape[0]):
        here = base[i] == base[i]
        seen = float(counts[i])
        old = float(means[i])
        count = seen + 1.0
        mean = old + (float(x[i]) - old) / count
        counts[i] = count if here else seen
        means[i] = mean if here else old


@kernel(inlined=True)
def _learn_extremes(x: Floats, base: Floats, lows: Floats, highs: Floats) -> None:
    for i in range(x.shape[0]):
        here = base[i] == base[i]
        value = float(x[i])
        low = float(lows[i])
        high = float(highs[i])
        lows[i] = value if here and value < low else low
        highs[i] = value if here and value > high else high


@kernel(inlined=True)
def _deviate(x: Floats, means: Floats, variances: Floats, deviations: Floats, z: Floats) -> None:
    """Write the roots of the variances, and (x - mean) / deviation into z, 0 where nothing varied."""
    for i in range(x.shape[0]):
        deviation = sqrt(float(variances[i]))
        deviations[i] = deviation
        z[i] = (float(x[i]) - float(means[i])) / deviation if deviation != 0.0 else 0.0


@kernel(inlined=True)
def _standardise(x: Floats, means: Floats, deviations: Floats, z: Floats) -> None:
    """Write (x - mean) / deviation into z, 0 where nothing varied."""
    for i in range(x.shape[0]):
        deviation = float(deviations[i])
        z[i] = (float(x[i]) - float(means[i])) / deviation if deviation != 0.0 else 0.0


@kernel(inlined=True)
def _center(x: Floats, means: Floats, z: Floats) -> None:
    for i in range(x.shape[0]):
        z[i] = float(x[i]) - float(means[i])


@kernel(inlined=True)
def _squeeze(x: Floats, lows: Floats, highs: Floats, z: Floats) -> None:
    """Write (x - min) / (max - min) into z, 0 where they are equal, NaN before the first value (as river)."""
    for i in range(x.shape[0]):
        low = float(lows[i])
        high = float(highs[i])
        width = high - low
        share = (float(x[i]) - low) / width if width != 0.0 else 0.0
        z[i] = NAN if high < low else share


@kernel(inlined=True)
def scale(
    operation: int, values: Floats, first: int, last: int, learn: bool, x: Floats, base: Floats, z: Floats
) -> None:
    """Run one scaler, which keeps columns `first` to `last` of `values`, over a row: it learns x, then scales it."""
    one = values[0, first:last]
    two = values[1, first:last]
    if operation == MIN_MAX:
        if learn:
            _learn_extremes(x, base, one, two)
        _squeeze(x, one, two, z)
    elif operation == CENTER:
        if learn:
            _learn_means(x, base, one, two)
        _center(x, two, z)
    elif learn:
        variances = values[2, first:last]
        _learn_moments(x, base, one, two, variances)
        _deviate(x, two, variances, values[3, first:last], z)
    else:
        _standardise(x, two, values[3, first:last], z)
