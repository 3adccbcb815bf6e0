"""The aggregates as an algebra: zero, add, merge, value; every floating-point operation in the order written here."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: What an aggregate keeps of the values it has seen. The first number is always how many they were.
Record = tuple[float, ...]

#: kind of aggregate -> kind of record
RECORD_OF = {
    "count": "count",
    "sum": "sum",
    "mean": "sum",
    "var": "moments",
    "std": "moments",
    "min": "bounds",
    "max": "bounds",
}

ZERO: dict[str, Record] = {
    "count": (0.0,),
    "sum": (0.0, 0.0),
    "moments": (0.0, 0.0, 0.0),
    "bounds": (0.0, 0.0, 0.0),
}


def add(record: str, seen: Record, x: float) -> Record:
    """Return the record after one more value.

    count    n + 1
    sum      (n + 1, sum + x)
    moments  Welford: n = n + 1; d = x - mean; mean = mean + d / n; m2 = m2 + d * (x - mean)
    bounds   the first value is both; then a smaller x replaces min, a greater x replaces max (so of 0.0 and -0.0
             the first seen stays)
    """
    n = seen[0] + 1.0
    if record == "count":
        return (n,)
    if record == "sum":
        return (n, seen[1] + x)
    if record == "moments":
        d = x - seen[1]
        mean = seen[1] + d / n
        return (n, mean, seen[2] + d * (x - mean))
    if seen[0] == 0.0:
        return (n, x, x)
    low = x if x < seen[1] else seen[1]
    high = x if x > seen[2] else seen[2]
    return (n, low, high)


def merge(record: str, a: Record, b: Record) -> Record:
    """Return the record of a's values followed by b's; where one side is empty, the other side as it is.

    sum      (na + nb, suma + sumb)
    moments  Chan: n = na + nb; d = meanb - meana; mean = meana + d * (nb / n);
             m2 = (m2a + m2b) + (d * d) * (na * (nb / n))
    bounds   b's bound where it is strictly further out, else a's
    """
    if a[0] == 0.0:
        return b
    if b[0] == 0.0:
        return a
    n = a[0] + b[0]
    if record == "count":
        return (n,)
    if record == "sum":
        return (n, a[1] + b[1])
    if record == "moments":
        d = b[1] - a[1]
        mean = a[1] + d * (b[0] / n)
        return (n, mean, (a[2] + b[2]) + (d * d) * (a[0] * (b[0] / n)))
    low = b[1] if b[1] < a[1] else a[1]
    high = b[2] if b[2] > a[2] else a[2]
    return (n, low, high)


def value(kind: str, seen: Record) -> float | None:
    """Return the aggregate's value: of nothing, count and sum are 0 and the others missing; non-finite is missing.

    mean = sum / n; var = m2 / (n - 1), missing for n < 2; std = sqrt(var).
    """
    n = seen[0]
    if kind == "count":
        return n
    if kind == "sum":
        return finite(seen[1])
    if n == 0.0:
        return None
    if kind == "mean":
        return finite(seen[1] / n)
    if kind == "min":
        return finite(seen[1])
    if kind == "max":
        return finite(seen[2])
    if n < 2.0:
        return None
    var = finite(seen[2] / (n - 1.0))
    if kind == "var" or var is None:
        return var
    return math.sqrt(var) if var >= 0.0 else None


def fold(record: str, values: Iterable[float]) -> Record:
    """Add the values one by one to nothing."""
    seen = ZERO[record]
    for x in values:
        seen = add(record, seen, x)
    return seen


def fold_records(record: str, records: Iterable[Record]) -> Record:
    """Merge the records one by one, from the left; the first stands as it is."""
    seen = ZERO[record]
    for other in records:
        seen = merge(record, seen, other)
    return seen


def finite(x: float) -> float | None:
    """Return x, or missing where it is NaN or infinite."""
    return x if math.isfinite(x) else None
