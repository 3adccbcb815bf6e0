"""Tile windows: one kernel call brings every window of a group through a turn, row by row.

A window of one key stands in `heads` as

    head tile, block, packed, far, oldest, head record, closed record

The head tile is the newest that holds something; older tiles are (tile, record) in a block of the slab, oldest first.
`closed` is the fold of the older tiles from tile `oldest` on, made for the far edge `far` (both may be made anew at any
time and are no part of the state); so the value at the live edge is closed + head, which is the plain fold to the last
bit.
"""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.algebra import COUNT, SUM, add, merge, value, zero
from stream_ml.kernels.arrays import NEAR, Bytes, Floats, Ints
from stream_ml.kernels.blocks import FIELD, give, length_of, lengthen, room, start_of
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.memory import prefetch

#: No tile: below every tile number.
NONE = -1.0e18
#: Words before the head record.
FRONT = 5
#: Columns of a call's `spans`: word in the key's heads, tile (ms), length (ms), shift (tiles), oldest tile that a
#: reader may still ask for, before, then twice (register, reading), register -1 meaning none; the length in tiles where
#: it is whole, else 0; kind of record, numbers in it, register of the value.
AT, TILE, LENGTH, SHIFT, KEEP, BEFORE, OUT, READ, OUT2, READ2, WHOLE, KIND, FIELDS, VALUE = range(14)
#: How many rows ahead blocks are fetched; the heads that point to them twice as many.
AHEAD = 8
#: Row flags.
ADD, LOOK = 1, 2


@kernel(inlined=True)
def close(kind: int, fields: int, heads: Floats, base: int, slab: Floats, far: float) -> None:
    """Fold the older tiles from tile `far` on into the closed record, oldest first.

    Every tile holds something, so the loops of counts and of sums are :func:`merge` without its questions. Counts are
    whole numbers: tiles that left are subtracted from them, which gives the fold to the last bit.
    """
    closed = base + FRONT + fields
    was = heads[base + 3]
    oldest = heads[base + 4]
    heads[base + 3] = far
    heads[base + 4] = heads[base]
    block = int(heads[base + 1])
    if block < 0:
        zero(kind, heads, closed)
        return
    width = 1 + fields
    at = (block & NEAR) + start_of(heads[base + 2]) * width
    end = at + length_of(heads[base + 2]) * width
    if kind == COUNT and was != NONE and was <= far:
        while at < end and slab[at] < oldest:
            at += width
        n = heads[closed]
        while at < end and slab[at] < far:
            n -= slab[at + 1]
            at += width
        heads[closed] = n
        if at < end:
            heads[base + 4] = slab[at]
        return
    while at < end and slab[at] < far:
        at += width
    zero(kind, heads, closed)
    if at < end:
        heads[base + 4] = slab[at]
        if kind == COUNT:
            n = 0.0
            while at < end:
                n += slab[at + 1]
                at += width
            heads[closed] = n
        elif kind == SUM:
            n = slab[at + 1]
            total = slab[at + 2]
            at += width
            while at < end:
                n += slab[at + 1]
                total += slab[at + 2]
                at += width
            heads[closed] = n
            heads[closed + 1] = total
        else:
            while at < end:
                merge(kind, heads, closed, slab, at + 1)
                at += width


@kernel(inlined=True)
def push_head(kind: int, fields: int, heads: Floats, base: int, slab: Floats, alloc: Ints, oldest_kept: float) -> None:
    """Move the head tile into the block, drop tiles older than `oldest_kept`, and carry the closed fold on."""
    width = 1 + fields
    if heads[base] < oldest_kept and heads[base + 1] < 0.0:
        heads[base + 3] = NONE
        return
    at = room(heads, base + 1, slab, alloc, width) & NEAR
    slab[at] = heads[base]
    for j in range(fields):
        slab[at + 1 + j] = heads[base + FRONT + j]
    if heads[base + 3] != NONE and heads[base] >= heads[base + 3]:
        merge(kind, heads, base + FRONT + fields, heads, base + FRONT)
    else:
        heads[base + 3] = NONE
    packed = int(heads[base + 2]) + FIELD
    block = int(heads[base + 1])
    first = (block & NEAR) + (packed & (FIELD - 1)) * width
    while slab[first] < oldest_kept:
        if kind == COUNT and slab[first] >= heads[base + 4]:
            heads[base + FRONT + fields] -= slab[first + 1]  # of no meaning where nothing is closed
        if (packed >> 20) & (FIELD - 1) == 1:
            give(slab, alloc, packed >> 40, block)
            heads[base + 1] = -1.0
            packed = 0
            break
        packed += 1 - FIELD
        first += width
    heads[base + 2] = np.float64(packed)


@kernel
def into_older(
    kind: int, fields: int, heads: Floats, base: int, slab: Floats, alloc: Ints, tile: float, x: float
) -> None:
    """Add x to an older tile, which is made in its place where it does not exist yet."""
    width = 1 + fields
    heads[base + 3] = NONE
    block = int(heads[base + 1])
    if block >= 0:
        packed = heads[base + 2]
        at = block + start_of(packed) * width
        for _ in range(length_of(packed)):
            if slab[at] == tile:
                add(kind, slab, at + 1, x)
                return
            at += width
    at = room(heads, base + 1, slab, alloc, width)
    first = int(heads[base + 1]) + start_of(heads[base + 2]) * width
    while at > first and slab[at - width] > tile:
        for j in range(width):
            slab[at + j] = slab[at - width + j]
        at -= width
    slab[at] = tile
    zero(kind, slab, at + 1)
    add(kind, slab, at + 1, x)
    lengthen(heads, base + 1)


@kernel(inlined=True)
def put(
    kind: int, fields: int, heads: Floats, base: int, slab: Floats, alloc: Ints, tile: float, keep: float, x: float
) -> None:
    """Add x to the tile numbered `tile` of the window at heads[base]; tiles before `keep` may go."""
    head = heads[base]
    if tile == head:
        add(kind, heads, base + FRONT, x)
    elif tile > head:
        if head != NONE:
            push_head(kind, fields, heads, base, slab, alloc, keep)
        heads[base] = tile
        zero(kind, heads, base + FRONT)
        add(kind, heads, base + FRONT, x)
    else:
        into_older(kind, fields, heads, base, slab, alloc, tile, x)


@kernel
def look_back(
    kind: int, fields: int, heads: Floats, base: int, slab: Floats, far: float, near: float, scratch: Floats
) -> None:
    """Merge the older tiles far .. near into scratch[0 : fields], oldest first."""
    block = int(heads[base + 1])
    if block < 0:
        return
    width = 1 + fields
    packed = heads[base + 2]
    low = start_of(packed)
    high = low + length_of(packed)
    end = high
    while low < high:
        middle = (low + high) // 2
        if slab[block + middle * width] < far:
            low = middle + 1
        else:
            high = middle
    while low < end and slab[block + low * width] <= near:
        merge(kind, scratch, 0, slab, block + low * width + 1)
        low += 1


@kernel(inlined=True)
def look(
    kind: int, fields: int, heads: Floats, base: int, slab: Floats, far: float, near: float, scratch: Floats
) -> None:
    """Fold tiles far .. near into scratch[0 : fields], oldest first."""
    zero(kind, scratch, 0)
    head = heads[base]
    if head < far:
        return
    if head > near:
        look_back(kind, fields, heads, base, slab, far, near, scratch)
        return
    if heads[base + 3] == NONE or far < heads[base + 3] or far > heads[base + 4]:
        close(kind, fields, heads, base, slab, far)
    merge(kind, scratch, 0, heads, base + FRONT + fields)
    merge(kind, scratch, 0, heads, base + FRONT)


@kernel(inlined=True)
def bring(
    kind: int,
    fields: int,
    span: Ints,
    heads: Floats,
    write: int,
    read: int,
    slab: Floats,
    alloc: Ints,
    time: int,
    x: float,
    scratch: Floats,
    registers: Floats,
    g: int,
) -> None:
    """Bring one row through one window: x is added at heads[write], read at heads[read]; -1 for neither."""
    tile = np.floor(np.float64(time) / np.float64(span[TILE]))  # exact below 2**53
    for turn in range(2):
        if turn == span[BEFORE]:
            if write >= 0:
                put(kind, fields, heads, write & NEAR, slab, alloc, tile, np.float64(span[KEEP]), x)
        elif read >= 0:
            near = tile - np.float64(span[SHIFT])
            far = near - np.float64(span[WHOLE])
            if span[WHOLE] == 0:
                far = np.float64((time - span[LENGTH]) // span[TILE] - span[SHIFT])
            look(kind, fields, heads, read & NEAR, slab, far, near, scratch)
            registers[span[OUT] & NEAR, g] = value(span[READ], scratch, 0)
            if span[OUT2] >= 0:
                registers[span[OUT2] & NEAR, g] = value(span[READ2], scratch, 0)


@kernel(inlined=True)
def foresee_heads(row: int, heads: Floats, stride: int, spans: Ints) -> None:
    """Have the windows of a row brought near."""
    if row >= 0:
        for s in range(spans.shape[0]):
            prefetch(heads, row * stride + spans[s, AT])


@kernel(inlined=True)
def foresee_blocks(row: int, heads: Floats, stride: int, slab: Floats, spans: Ints) -> None:
    """Have the ends of a row's blocks brought near: where tiles go out and where they come in."""
    if row >= 0:
        for s in range(spans.shape[0]):
            base = (row * stride + spans[s, AT]) & NEAR
            block = int(heads[base + 1])
            if block >= 0:
                width = 1 + spans[s, FIELDS]
                first = block + start_of(heads[base + 2]) * width
                prefetch(slab, first)
                prefetch(slab, first + length_of(heads[base + 2]) * width)


@kernel(inlined=True)
def through(
    kind: int,
    fields: int,
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
    """Bring rows begin .. end through windows that are all of one kind."""
    for g in range(begin, end):
        if (g - begin) % (2 * AHEAD) == 0:
            for s in range(spans.shape[0]):
                spans[s, KEEP] = (mark - spans[s, LENGTH]) // spans[s, TILE] - spans[s, SHIFT]
        here, near, far = g & NEAR, (g + AHEAD) & NEAR, (g + 2 * AHEAD) & NEAR
        if far < end and flags[far] != 0:
            foresee_heads(rows[far], heads, stride, spans)
        if near < end and flags[near] != 0:
            foresee_blocks(rows[near], heads, stride, slab, spans)
        adding = rows[here] >= 0 and (flags[here] & ADD) != 0
        looks = reads[here] >= 0 and (flags[here] & LOOK) != 0
        if not (adding or looks):
            continue
        if alloc[0] + alloc[63] > slab.shape[0]:
            return g
        for s in range(spans.shape[0]):
            x = registers[spans[s, VALUE] & NEAR, here]
            write = rows[here] * stride + spans[s, AT] if adding and x == x else -1  # x == x: not missing
            read = reads[here] * stride + spans[s, AT] if looks else -1
            bring(
                kind, fields, spans[s], heads, write, read, slab, alloc, times[here], x, scratch, registers, here
            )
        if adding:
            mark = max(mark, times[here] - lateness)
    return end


@kernel(
    signature="i8(i8[::1], i8[::1], u1[::1], i8[::1], f8[::1], i8, f8[::1], i8[::1], i8[:,::1], i8, i8, f8[::1], "
    "f8[:,::1], i8, i8)"
)
def tiles(
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
    """Bring rows begin .. end through the windows `spans`, all of one kind, writing at `rows` and reading at `reads`.

    No reader will ask for a moment before `mark` (epoch ms), nor one after a row that writes for a moment further back
    from it than `lateness` (ms). Returns the first row not done, because the slab ran out of room.
    """
    kind = spans[0, KIND]
    if kind == COUNT:
        return through(
            COUNT, 1, rows, reads, flags, times, heads, stride, slab, alloc, spans, mark, lateness, scratch, registers,
            begin, end,
        )  # fmt: skip
    if kind == SUM:
        return through(
            SUM, 2, rows, reads, flags, times, heads, stride, slab, alloc, spans, mark, lateness, scratch, registers,
            begin, end,
        )  # fmt: skip
    return through(
        kind, spans[0, FIELDS], rows, reads, flags, times, heads, stride, slab, alloc, spans, mark, lateness, scratch,
        registers, begin, end,
    )  # fmt: skip
