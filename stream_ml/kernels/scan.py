"""Flat JSON records, from bytes to numbers and to the places of texts; what is not plain is left to a real parser.

Plain is an object of texts without escapes, numbers, true, false and null, each name once. Of such a record every byte
is checked, the parts that nobody asked for too, so that no other parser would refuse it. That the bytes are UTF-8 is
for the caller to know.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.arrays import Bytes, Floats, Ints
from stream_ml.kernels.jit import kernel

#: Kinds of fields: true or false, a whole number, a number, a time (a whole number or a text), a text.
TRUTH, WHOLE, NUMBER, TIME, TEXT = range(5)
#: Columns of `fields`: where its name begins and ends, its kind, whether it may be null, its row of `places`.
F_BEGIN, F_END, F_KIND, F_NULL, F_PLACE = range(5)
#: How a number is written: whole, with a fraction or an exponent, or so that it takes a real parser to round it.
INTEGER, REAL, HARD = range(3)
UNSURE = -1
#: A whole number below 2**53 times or over a power of ten up to 10**22 is rounded once, hence right.
EXACT = 1 << 53
POWERS = np.array([float(f"1e{power}") for power in range(23)])
DIGITS = 18
#: Longer numbers are refused by some parsers.
LONGEST = 1000


@kernel
def byte(text: Bytes, at: int) -> int:
    """Return text[at]; no index counts from the end."""
    return int(text[np.uint64(at)])


@kernel
def blank(text: Bytes, at: int, end: int) -> int:
    """Return the place of the first byte from `at` on that is no blank, `end` where there is none."""
    while at < end and (byte(text, at) == 32 or 9 <= byte(text, at) <= 10 or byte(text, at) == 13):
        at += 1
    return at


@kernel
def closing(text: Bytes, at: int, end: int) -> int:
    r"""Return the place of the quote that ends a text which begins at `at`; UNSURE where "\" or a control stands."""
    while at < end:
        one = byte(text, at)
        if one == 34:
            return at
        if one < 32 or one == 92:
            return UNSURE
        at += 1
    return UNSURE


@kernel
def literal(text: Bytes, at: int, end: int) -> int:
    """Return how long the word null, true or false at `at` is, 0 where none of them stands."""
    if at + 4 > end:
        return 0
    a, b, c, d = byte(text, at), byte(text, at + 1), byte(text, at + 2), byte(text, at + 3)
    if (a == 110 and b == 117 and c == 108 and d == 108) or (a == 116 and b == 114 and c == 117 and d == 101):
        return 4
    if a == 102 and b == 97 and c == 108 and d == 115 and at + 5 <= end and byte(text, at + 4) == 101:
        return 5
    return 0


@kernel
def number(text: Bytes, at: int, end: int) -> tuple[float, int, int]:
    """Return a number's value, how it is written, and the place after it (UNSURE where none stands)."""
    negative = byte(text, at) == 45
    begin = at + 1 if negative else at
    at = begin
    mantissa, power, form = 0, 0, INTEGER  # a mantissa of too many digits overflows, and is not used
    while at < end and 48 <= byte(text, at) <= 57:
        mantissa = mantissa * 10 + byte(text, at) - 48
        at += 1
    digits = at - begin
    if digits == 0 or (digits > 1 and byte(text, begin) == 48):
        return 0.0, form, UNSURE
    if at < end and byte(text, at) == 46:
        form, point = REAL, at + 1
        at = point
        while at < end and 48 <= byte(text, at) <= 57:
            mantissa = mantissa * 10 + byte(text, at) - 48
            at += 1
        if at == point:
            return 0.0, form, UNSURE
        power = point - at
        digits -= power
    if at < end and (byte(text, at) == 69 or byte(text, at) == 101):
        form = REAL
        exponent, at = written_exponent(text, at + 1, end)
        if at < 0:
            return 0.0, form, UNSURE
        power += exponent
    if digits > LONGEST:
        return 0.0, form, UNSURE
    if digits > DIGITS or mantissa > EXACT or power < -22 or power > 22:
        return np.nan, HARD, at
    if negative and mantissa == 0:  # parsers differ on the sign of -0
        return np.nan, HARD, UNSURE if form == INTEGER else at
    value = np.float64(mantissa)
    if power < 0:
        value /= POWERS[-power]
    elif power > 0:
        value *= POWERS[power]
    return (-value if negative else value), form, at


@kernel
def written_exponent(text: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return an exponent, at most 1000 either way, and the place after it (UNSURE where none stands)."""
    sign, value = 1, 0
    if at < end and (byte(text, at) == 43 or byte(text, at) == 45):
        sign = 44 - byte(text, at)
        at += 1
    begin = at
    while at < end and 48 <= byte(text, at) <= 57:
        value = min(value * 10 + byte(text, at) - 48, 1000)
        at += 1
    return sign * value, at if at > begin else UNSURE


@kernel
def named(text: Bytes, begin: int, end: int, names: Bytes, fields: Ints, guess: int) -> int:
    """Return which field is called text[begin:end], looking from `guess` on; UNSURE where none is."""
    field = guess
    for _ in range(fields.shape[0]):
        if field >= fields.shape[0]:
            field = 0
        first = fields[field, F_BEGIN]
        if fields[field, F_END] - first == end - begin:
            at = begin
            while at < end and byte(text, at) == byte(names, first + at - begin):
                at += 1
            if at == end:
                return field
        field += 1
    return UNSURE


@kernel
def record(
    text: Bytes, at: int, end: int, names: Bytes, fields: Ints, bounds: Floats, row: int, out: Floats, places: Ints
) -> int:
    """Read text[at:end] into row `row` of the columns; returns the bits of the fields that are there, or UNSURE."""
    at = blank(text, at, end)
    if at >= end or byte(text, at) != 123:
        return UNSURE
    seen, guess, more = 0, 0, True
    while more:
        at = blank(text, at + 1, end)
        if at >= end or byte(text, at) != 34:
            return UNSURE
        stop = closing(text, at + 1, end)
        if stop < 0:
            return UNSURE
        field, kind = named(text, at + 1, stop, names, fields, guess), UNSURE
        if field >= 0:
            if (seen >> field) & 1:
                return UNSURE
            seen |= 1 << field
            guess, kind = field + 1, fields[field, F_KIND]
        at = blank(text, stop + 1, end)
        if at >= end or byte(text, at) != 58:
            return UNSURE
        at = blank(text, at + 1, end)
        if at >= end:
            return UNSURE
        one = byte(text, at)
        if one == 34:
            stop = closing(text, at + 1, end)
            if stop < 0 or TRUTH <= kind < TIME:
                return UNSURE
            if field >= 0:
                places[fields[field, F_PLACE], row, 0] = at + 1
                places[fields[field, F_PLACE], row, 1] = stop - at - 1
            at = stop + 1
        elif one == 45 or 48 <= one <= 57:
            value, form, stop = number(text, at, end)
            if stop < 0 or kind == TRUTH or kind == TEXT or (form != INTEGER and (kind == WHOLE or kind == TIME)):
                return UNSURE
            if field >= 0:
                if value < bounds[field, 0] or value > bounds[field, 1]:
                    return UNSURE
                out[field, row] = value
                if form == HARD:
                    places[fields[field, F_PLACE], row, 0] = at
                    places[fields[field, F_PLACE], row, 1] = stop - at
            at = stop
        else:
            size = literal(text, at, end)
            if size == 0:
                return UNSURE
            if field >= 0:
                if (one == 110 and fields[field, F_NULL] == 0) or (one != 110 and kind != TRUTH):
                    return UNSURE
                out[field, row] = np.nan if one == 110 else 1.0 if one == 116 else 0.0
            at += size
        at = blank(text, at, end)
        if at >= end:
            return UNSURE
        more = byte(text, at) == 44
    if byte(text, at) != 125 or blank(text, at + 1, end) != end:
        return UNSURE
    return seen


@kernel(signature="i8(u1[::1], i8[::1], i8[::1], u1[::1], i8[:,::1], f8[:,::1], i8, f8[:,::1], i8[:,:,::1], b1[::1])")
def scan(
    text: Bytes, begins: Ints, ends: Ints, names: Bytes, fields: Ints, bounds: Floats, needed: int, out: Floats,
    places: Ints, plain: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Read records; returns how many were looked at: all, unless a quarter is not plain or not as the fields want it.

    Parameters
    ----------
    text, begins, ends
        UTF-8 bytes [size]; record i is text[begins[i]:ends[i]].
    names, fields
        The names of all fields as bytes, and the fields [f, 5] (F_BEGIN and so on), at most 62.
    bounds
        Least and greatest value of each field's numbers [f, 2].
    needed
        Bits of the fields that must be there.
    out
        Out: the numbers [f, n], NaN for null; left as it is for an absent field and for a text.
    places
        Out: begin and length (and a word of no use) of texts and of HARD numbers [p, n, 3]; left as it is for others.
    plain
        Out: which records were read; of the others, columns and places may hold parts.
    """
    rows = begins.shape[0]
    left = rows // 4
    for row in range(rows):
        seen = record(text, begins[row], ends[row], names, fields, bounds, row, out, places)
        plain[row] = seen >= 0 and (seen & needed) == needed
        if not plain[row]:
            left -= 1
            if left < 0:
                return row
    return int(rows)
