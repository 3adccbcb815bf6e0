"""Windows that keep every event: exact spans of time and the last n; and points: forever, first, last, lag, since_last.

An event window stands in `heads` as (block, packed); its events are (time, value) in a block, exact ones sorted by
(time, arrival), last-n ones by arrival. A point is a few words in `heads` itself.
"""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.algebra import add, value, zero
from stream_ml.kernels.arrays import Bytes, Floats, Ints
from stream_ml.kernels.blocks import drop_first, length_of, lengthen, room, start_of
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.memory import prefetch
from stream_ml.kernels.windows import ADD, AHEAD, LOOK

#: Columns of a call's `spans`: word in the key's heads, last n (0: exact), length (ms), offset (ms), time up to which
#: events may go, before, then twice (register, reading); kind of record, register of the value.
AT, NEWEST, LENGTH, OFFSET, KEEP, BEFORE, OUT, READ, OUT2, READ2, KIND, VALUE = range(12)
WIDTH = 2
#: Kinds of point.
LAST, FIRST, LAG, SINCE, FOREVER = 0, 1, 2, 3, 4


@kernel
def insert(
    heads: Floats, base: int, slab: Floats, alloc: Ints, time: float, x: float, newest: int, kept: float
) -> None:
    """Put (time, x) behind every event that is not later (last n: at the end) and drop what no window can reach."""
    at = room(heads, base, slab, alloc, WIDTH)
    if newest == 0:
        first = int(heads[base]) + start_of(heads[base + 1]) * WIDTH
        while at > first and slab[at - WIDTH] > time:
            slab[at] = slab[at - WIDTH]
            slab[at + 1] = slab[at - 1]
            at -= WIDTH
    slab[at] = time
    slab[at + 1] = x
    lengthen(heads, base)
    if newest > 0:
        while length_of(heads[base + 1]) > newest:
            drop_first(heads, base, slab, alloc)
    else:
        while heads[base] >= 0.0 and slab[int(heads[base]) + start_of(heads[base + 1]) * WIDTH] <= kept:
            drop_first(heads, base, slab, alloc)


@kernel(inlined=True)
def fold(
    kind: int, heads: Floats, base: int, slab: Floats, low: float, high: float, newest: int, scratch: Floats
) -> None:
    """Add the values with low < time <= high (last n: all) to the zero, in their order."""
    zero(kind, scratch, 0)
    block = int(heads[base])
    if block < 0:
        return
    at = block + start_of(heads[base + 1]) * WIDTH
    for _ in range(length_of(heads[base + 1])):
        if newest > 0 or (slab[at] > low and slab[at] <= high):
            add(kind, scratch, 0, slab[at + 1])
        at += WIDTH


@kernel(
    signature="i8(i8[::1], i8[::1], u1[::1], i8[::1], f8[::1], i8, f8[::1], i8[::1], i8[:,::1], i8, i8, f8[::1], "
    "f8[:,::1], i8, i8)"
)
def kept_events(
    rows: Ints,
    reads: Ints,
    flags: Bytes,
    times: Ints,
    heads: Floats,
    stride: int,
    slab: Floats,
    alloc: Ints,
    spans: Ints,
    mark: int,
    lateness: int,
    scratch: Floats,
    registers: Floats,
    begin: int,
    end: int,
) -> int:
    """Bring rows begin .. end through the windows `spans`, writing at `rows` and reading at `reads`.

    No reader will ask for a moment before `mark` (epoch ms), nor one after a row that writes for a moment further back
    from it than `lateness` (ms). Returns the first row not done, because the slab ran out of room.
    """
    for g in range(begin, end):
        adding = rows[g] >= 0 and (flags[g] & ADD) != 0
        looks = reads[g] >= 0 and (flags[g] & LOOK) != 0
        if not (adding or looks):
            continue
        if alloc[0] + alloc[63] > slab.shape[0]:
            return g
        time = np.float64(times[g])
        if adding:
            mark = max(mark, times[g] - lateness)
        for s in range(spans.shape[0]):
            spans[s, KEEP] = mark - spans[s, LENGTH] - spans[s, OFFSET]
            newest = spans[s, NEWEST]
            x = registers[spans[s, VALUE], g]
            adds = adding and x == x  # x == x: not missing
            for turn in range(2):
                if turn == spans[s, BEFORE]:
                    if adds:
                        base = rows[g] * stride + spans[s, AT]
                        insert(heads, base, slab, alloc, time, x, newest, np.float64(spans[s, KEEP]))
                elif looks:
                    high = time - np.float64(spans[s, OFFSET])
                    low = high - np.float64(spans[s, LENGTH])
                    base = reads[g] * stride + spans[s, AT]
                    fold(spans[s, KIND], heads, base, slab, low, high, newest, scratch)
                    registers[spans[s, OUT], g] = value(spans[s, READ], scratch, 0)
                    if spans[s, OUT2] >= 0:
                        registers[spans[s, OUT2], g] = value(spans[s, READ2], scratch, 0)
    return end


@kernel(inlined=True)
def point_add(kind: int, what: int, heads: Floats, base: int, size: int, time: float, x: float) -> None:
    """Write the value x of moment `time` into one point."""
    if kind == FOREVER:
        add(what, heads, base, x)
    elif kind == LAST:
        heads[base] = x
    elif kind == FIRST:
        if heads[base] != heads[base]:  # missing
            heads[base] = x
    elif kind == LAG:
        for j in range(size - 1, 0, -1):
            heads[base + j] = heads[base + j - 1]
        heads[base] = x
    else:
        heads[base] = time


@kernel(inlined=True)
def point_read(kind: int, heads: Floats, base: int, size: int, time: float) -> float:
    """Return the reading of one point, of forever windows apart."""
    if kind == LAG:
        return float(heads[base + size - 1])
    if kind == SINCE:
        seen = heads[base]
        return max(time - seen, 0.0) / 1000.0 if seen == seen else np.nan  # not missing
    return float(heads[base])


@kernel(signature="void(i8[::1], i8[::1], u1[::1], i8[::1], f8[::1], f8[::1], i8, i8[::1], f8[:,::1], i8)")
def points(
    rows: Ints,
    reads: Ints,
    flags: Bytes,
    times: Ints,
    values: Floats,
    heads: Floats,
    stride: int,
    spec: Ints,
    out: Floats,
    end: int,
) -> None:
    """Bring rows 0 .. end through one point.

    Parameters
    ----------
    spec
        (word in the key's heads, kind of point, kind of record, words, before, register, reading, register 2,
        reading 2). A lag and since_last read before they write, as every `.before` does.
    """
    kind = spec[1]
    size = spec[3]
    first = spec[4] != 0 or kind == LAG or kind == SINCE
    for g in range(end):
        if g + AHEAD < end:
            prefetch(heads, max(rows[g + AHEAD], 0) * stride + spec[0])
        x = values[g]
        time = np.float64(times[g])
        adds = rows[g] >= 0 and (flags[g] & ADD) != 0 and x == x  # x == x: not missing
        if adds and not first:
            point_add(kind, spec[2], heads, rows[g] * stride + spec[0], size, time, x)
        if reads[g] >= 0 and (flags[g] & LOOK) != 0:
            seen = reads[g] * stride + spec[0]
            if kind == FOREVER:
                out[spec[5], g] = value(spec[6], heads, seen)
                if spec[7] >= 0:
                    out[spec[7], g] = value(spec[8], heads, seen)
            else:
                out[spec[5], g] = point_read(kind, heads, seen, size, time)
        if adds and first:
            point_add(kind, spec[2], heads, rows[g] * stride + spec[0], size, time, x)
