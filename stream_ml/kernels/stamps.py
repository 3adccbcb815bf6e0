"""Time stamps in ISO form, from bytes to epoch milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stream_ml.kernels.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEWLINE = 10
DAY_MS = 86_400_000
#: First and last millisecond of the years 1 to 9999, UTC.
FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999


@kernel
def _number(text: NDArray[np.uint8], start: int, length: int) -> int:
    """Return the `length` decimal digits at `start` as a number, -1 where one is no digit."""
    value = 0
    for i in range(start, start + length):
        digit = int(text[i]) - 48
        if digit < 0 or digit > 9:  # the digits
            return -1
        value = value * 10 + digit
    return value


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant, *date algorithms*)."""
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    shifted = month - 3 if month > 2 else month + 9
    of_year = (153 * shifted + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@kernel
def _month_length(year: int, month: int) -> int:
    """Return the number of days of a month."""
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if leap else 28
    if month in (4, 6, 9, 11):
        return 30
    return 31


@kernel
def _clock(text: NDArray[np.uint8], start: int, end: int) -> int:
    """Return ``HH:MM[:SS[.f…]][Z|±HH:MM]`` as ms of the UTC day (it may lie outside of it), -2 days if it is none."""
    wrong = -2 * DAY_MS
    if end - start < 5 or text[start + 2] != 58:  # ":"
        return wrong
    hour, minute = _number(text, start, 2), _number(text, start + 3, 2)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return wrong
    value: int = hour * 3_600_000 + minute * 60_000
    at = start + 5
    if at < end and text[at] == 58:
        second = _number(text, at + 1, 2) if at + 3 <= end else -1
        if second < 0 or second > 59:
            return wrong
        value += second * 1000
        at += 3
        if at < end and text[at] == 46:  # "."
            at += 1
            first = at
            scale = 100
            while at < end and 48 <= text[at] <= 57:
                value += (int(text[at]) - 48) * scale  # the fourth digit and those after it weigh 0: floor
                scale = scale // 10
                at += 1
            if at == first or at - first > 6:
                return wrong
    if at == end or (at + 1 == end and text[at] == 90):  # "Z"
        return value
    if end - at != 6 or text[at + 3] != 58 or (text[at] != 43 and text[at] != 45):  # "+", "-"
        return wrong
    hours, minutes = _number(text, at + 1, 2), _number(text, at + 4, 2)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return wrong
    offset: int = hours * 3_600_000 + minutes * 60_000
    return value + offset if text[at] == 45 else value - offset


@kernel
def _stamp(text: NDArray[np.uint8], start: int, end: int) -> float:
    """Return one stamp, ``text[start:end]``, as epoch ms, NaN where it is none of the forms."""
    if end - start < 10 or text[start + 4] != 45 or text[start + 7] != 45:  # "-"
        return np.nan
    year, month, day = _number(text, start, 4), _number(text, start + 5, 2), _number(text, start + 8, 2)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > _month_length(year, month):
        return np.nan
    ms = _days(year, month, day) * DAY_MS
    at = start + 10
    if at < end:
        if text[at] != 84 and text[at] != 32:  # "T" or a blank
            return np.nan
        clock = _clock(text, at + 1, end)
        if clock == -2 * DAY_MS:
            return np.nan
        ms += clock
    if ms < FIRST_MS or ms > LAST_MS:
        return np.nan
    return float(ms)


@kernel(signature="i8(u1[::1], f8[::1])")
def stamps(text: NDArray[np.uint8], out: NDArray[np.float64]) -> int:
    r"""Parse stamps, one a line, to epoch milliseconds UTC.

    ``out[i] = 86,400,000 · days(date) + clock - offset``; the forms are ``YYYY-MM-DD``, alone or with
    ``[T or blank]HH:MM[:SS[.f to .ffffff]]`` and ``Z``, ``±HH:MM`` or nothing (UTC). Parts of a
    millisecond are floored.

    Parameters
    ----------
    text
        ASCII bytes, stamps separated by newlines (no newline after the last).
    out
        One float64 for each stamp; NaN where a line is none of the forms or lies outside the years 1 to 9999 UTC.

    Returns
    -------
    int
        How many lines there were; more than ``len(out)`` are counted but not parsed.

    Examples
    --------
    >>> out = np.empty(2)
    >>> stamps(np.frombuffer(bytearray(b"1970-01-02T00:00:00.0019Z\n1970-01-01 01:00+01:00"), np.uint8), out)
    2
    >>> out.tolist()
    [86400001.0, 0.0]
    """
    row = 0
    start = 0
    size = len(text)
    for i in range(size + 1):
        if i == size or text[i] == NEWLINE:
            if row < len(out):
                out[row] = _stamp(text, start, i)
            row += 1
            start = i + 1
    return row
