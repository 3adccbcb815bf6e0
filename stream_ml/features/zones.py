"""UTC offsets of time zones as arrays, from the interpreter's zone data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

FIRST, LAST = datetime(1900, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
STEP = timedelta(days=5)


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=64)
def transitions(name: str) -> tuple[tuple[int, int], ...]:
    """Return (UTC moment in ms, offset in ms from then on) of a zone, from 1900 to 2100."""
    zone = ZoneInfo(name)

    def offset(moment: datetime) -> timedelta:
        return moment.astimezone(zone).utcoffset() or timedelta(0)

    found = [(_ms(FIRST), offset(FIRST))]
    low = FIRST
    while low < LAST:
        high = low + STEP
        if offset(high) != found[-1][1]:
            left, right = low, high
            while right - left > timedelta(seconds=1):
                middle = left + timedelta(seconds=(right - left) // timedelta(seconds=2))
                left, right = (left, middle) if offset(middle) != found[-1][1] else (middle, right)
            found.append((_ms(right), offset(right)))
        low = high
    return tuple((moment, delta // timedelta(milliseconds=1)) for moment, delta in found)


def arrays(names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (transitions, offsets, bounds) of the zones, one after the other, as kernels read them."""
    tables = [((_ms(FIRST), 0),) if name == "UTC" else transitions(name) for name in names] or [((_ms(FIRST), 0),)]
    bounds = np.cumsum([0, *(len(table) for table in tables)], dtype=np.int64)
    flat = [pair for table in tables for pair in table]
    return (
        np.array([moment for moment, _ in flat], np.int64),
        np.array([offset for _, offset in flat], np.int64),
        bounds,
    )
