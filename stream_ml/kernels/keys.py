"""Keys to rows, and rows to records: finding a key's row, packing rows for a snapshot and laying them down, forgetting.

Row 0 of every key space is empty for ever: it is what a reader of an unknown key sees.
"""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.arrays import Bytes, Floats, Ints
from stream_ml.kernels.blocks import SMALLEST, drop_first, length_of, pack, start_of, take
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.memory import prefetch
from stream_ml.kernels.table import find_words, hash_words, remove_words
from stream_ml.kernels.windows import FRONT, NONE

#: Columns of `layout`, one row a window: word in the heads, 0 tiles or 1 events, numbers in a record.
AT, EVENTS, FIELDS = 0, 1, 2
#: Marks of a row, as bits: changed since the last snapshot began; still to be copied by the one under way.
CLEAN, CHANGED, DUE = 0, 1, 2
#: Keys whose place in the table is fetched before it is their turn.
AHEAD = 8


@kernel(inlined=True)
def key_of(registers: Floats, words: Ints, keys: Ints, which: int, g: int, key: Ints) -> bool:
    """Write the words of one key into `key`; False where a part of it is missing."""
    for j in range(keys.shape[1]):
        register = keys[which, j]
        x = registers[register, g]
        if x != x:  # missing
            return False
        key[j] = words[register, g] if x != 0.0 else 0
    return True


@kernel(inlined=True)
def empty(heads: Floats, row: int, template: Floats) -> None:
    """Make the heads of a row those of an empty one."""
    base = row * template.shape[0]
    for j in range(template.shape[0]):
        heads[base + j] = template[j]


@kernel(inlined=True)
def seat(
    row: int, slot: int, words: Ints, at: int, width: int, slots: Ints, stored: Ints, used: Bytes, heads: Floats,
    template: Floats,
) -> None:  # fmt: skip
    """Give an empty row to the key of words[at : at + width], in a slot that is free."""
    slots[slot] = row + 1
    used[row] = 1
    for j in range(width):
        stored[row * width + j] = words[at + j]
    empty(heads, row, template)


@kernel(
    signature="i8(f8[:,::1], i8[:,::1], i8[:,::1], u1[::1], i8[::1], i8[::1], i8[::1], i8[::1], u1[::1], u1[::1], "
    "i8[::1], f8[::1], f8[::1], i8[::1], i8, i8)",
    allocates=True,
)
def resolve(
    registers: Floats,
    words: Ints,
    keys: Ints,
    roles: Bytes,
    rows: Ints,
    reads: Ints,
    slots: Ints,
    stored: Ints,
    used: Bytes,
    marks: Bytes,
    free: Ints,
    heads: Floats,
    template: Floats,
    counts: Ints,
    begin: int,
    end: int,
) -> int:
    """Find the rows of each record's key; those that will write get one where there is none yet, and are marked.

    Parameters
    ----------
    registers, words
        The registers and the same memory seen as int64.
    keys
        int64[2, width]: registers of the key under which a record writes, and of the one under which an event reads.
    roles
        Bits: 1 reads, 2 writes.
    rows, reads
        Out: the row written, the row read; -1 for a missing key or a record not concerned, 0 for an unknown key read.
    slots, stored, used, marks, free, heads
        The key table, stored words, which rows are in use, their marks, stack of free rows, the heads.
    template
        Heads of an empty row.
    counts
        (rows ever used, free rows, live rows).

    Returns
    -------
    int
        The first record not done, because rows or slots ran out; `end` when all are.
    """
    width = keys.shape[1]
    key = np.zeros(width + 1, np.int64)
    same = True
    for j in range(width):
        same = same and keys[0, j] == keys[1, j]
    for g in range(begin, end):
        rows[g] = -1
        reads[g] = -1
        if (roles[g] & 2) != 0 and key_of(registers, words, keys, 0, g, key):
            row = find_words(slots, stored, width, key, 0)
            if row < 0:
                if 2 * (counts[2] + 1) > slots.shape[0] or (counts[1] == 0 and counts[0] >= used.shape[0]):
                    return g
                slot = -1 - row
                if counts[1] > 0:
                    counts[1] -= 1
                    row = free[counts[1]]
                else:
                    row = counts[0]
                    counts[0] += 1
                counts[2] += 1
                seat(row, slot, key, 0, width, slots, stored, used, heads, template)
            marks[row] |= CHANGED
            rows[g] = row
        if (roles[g] & 1) != 0:
            if same and rows[g] >= 0:
                reads[g] = rows[g]
            elif key_of(registers, words, keys, 1, g, key):
                reads[g] = max(find_words(slots, stored, width, key, 0), 0)
    return end


@kernel(inlined=True)
def kept(heads: Floats, base: int, slab: Floats, events: int, fields: int, cutoff: float) -> int:
    """Return how many of a window's records, its head tile included, are younger than its cutoff."""
    n = 0
    at_block = base if events != 0 else base + 1
    width = 2 if events != 0 else 1 + fields
    block = int(heads[at_block])
    if block >= 0:
        at = block + start_of(heads[at_block + 1]) * width
        for _ in range(length_of(heads[at_block + 1])):
            if slab[at] >= cutoff:
                n += 1
            at += width
    if events == 0 and heads[base] != NONE and heads[base] >= cutoff:
        n += 1
    return n


@kernel(signature="i8(i8[::1], f8[::1], i8, f8[::1], i8[:,::1], f8[::1], i8[::1])")
def measure(rows: Ints, heads: Floats, stride: int, slab: Floats, layout: Ints, cutoffs: Floats, sizes: Ints) -> int:
    """Write into `sizes` how many numbers each row packs into; returns their sum."""
    total = 0
    for i in range(rows.shape[0]):
        size = 0
        for w in range(layout.shape[0]):
            width = 2 if layout[w, EVENTS] != 0 else 1 + layout[w, FIELDS]
            base = rows[i] * stride + layout[w, AT]
            size += 1 + width * kept(heads, base, slab, layout[w, EVENTS], layout[w, FIELDS], cutoffs[w])
        sizes[i] = size
        total += size
    return total


@kernel(signature="void(i8[::1], f8[::1], i8, f8[::1], i8[:,::1], f8[::1], f8[::1])")
def pack_rows(rows: Ints, heads: Floats, stride: int, slab: Floats, layout: Ints, cutoffs: Floats, out: Floats) -> None:
    """Write each row's windows into `out`: for each window how many records, then the records, oldest first."""
    to = 0
    for i in range(rows.shape[0]):
        for w in range(layout.shape[0]):
            base = rows[i] * stride + layout[w, AT]
            events = layout[w, EVENTS]
            fields = layout[w, FIELDS]
            width = 2 if events != 0 else 1 + fields
            at_block = base if events != 0 else base + 1
            place = to
            to += 1
            n = 0
            block = int(heads[at_block])
            if block >= 0:
                at = block + start_of(heads[at_block + 1]) * width
                for _ in range(length_of(heads[at_block + 1])):
                    if slab[at] >= cutoffs[w]:
                        n += 1
                        for j in range(width):
                            out[to + j] = slab[at + j]
                        to += width
                    at += width
            if events == 0 and heads[base] != NONE and heads[base] >= cutoffs[w]:
                n += 1
                out[to] = heads[base]
                for j in range(fields):
                    out[to + 1 + j] = heads[base + FRONT + j]
                to += width
            out[place] = np.float64(n)


@kernel(inlined=True)
def clear(row: int, heads: Floats, stride: int, slab: Floats, alloc: Ints, layout: Ints) -> None:
    """Give the blocks of a row back to the slab."""
    for w in range(layout.shape[0]):
        at = row * stride + layout[w, AT] + (0 if layout[w, EVENTS] != 0 else 1)
        while heads[at] >= 0.0:
            drop_first(heads, at, slab, alloc)


@kernel(inlined=True)
def blank(heads: Floats, base: int, template: Floats, fixed: int) -> bool:
    """Return whether the points of a row are those of an empty one (bit by bit, missing equal to missing)."""
    for j in range(fixed):
        a = heads[base + j]
        b = template[j]
        if a != b and (a == a or b == b):  # missing
            return False
    return True


@kernel(
    signature="i8(i8, i8, i8[::1], i8[::1], i8, u1[::1], u1[::1], i8[::1], i8[::1], f8[::1], f8[::1], i8, f8[::1], "
    "i8[::1], i8[:,::1], f8[::1])"
)
def forget(
    hand: int,
    steps: int,
    slots: Ints,
    stored: Ints,
    width: int,
    used: Bytes,
    marks: Bytes,
    free: Ints,
    counts: Ints,
    heads: Floats,
    template: Floats,
    fixed: int,
    slab: Floats,
    alloc: Ints,
    layout: Ints,
    cutoffs: Floats,
) -> int:
    """Move the clock hand over `steps` rows, dropping those in which no window can see anything; returns the hand.

    A row may go though it changed since the last snapshot: what the snapshot holds of it is older still. One that is
    due stays until it is copied.
    """
    stride = template.shape[0]
    for _ in range(steps):
        hand += 1
        if hand >= counts[0]:
            hand = 1
        if counts[0] <= 1 or used[hand] == 0 or (marks[hand] & DUE) != 0:
            continue
        if not blank(heads, hand * stride, template, fixed):
            continue
        alive = False
        for w in range(layout.shape[0]):
            base = hand * stride + layout[w, AT]
            if kept(heads, base, slab, layout[w, EVENTS], layout[w, FIELDS], cutoffs[w]) > 0:
                alive = True
                break
        if alive:
            continue
        clear(hand, heads, stride, slab, alloc, layout)
        remove_words(slots, stored, width, hand)
        used[hand] = 0
        marks[hand] = CLEAN
        free[counts[1]] = hand
        counts[1] += 1
        counts[2] -= 1
    return hand


@kernel(signature="void(i8[::1], i8, i8[::1], i8[::1], i8[::1])")
def locate(words: Ints, width: int, slots: Ints, stored: Ints, rows: Ints) -> None:
    """Find the rows of n keys, -1 where there is none."""
    for i in range(rows.shape[0]):
        row = find_words(slots, stored, width, words, i * width)
        rows[i] = row if row >= 0 else -1


@kernel(signature="void(i8[::1], i8, i8, i8[::1], i8[::1], u1[::1], f8[::1], f8[::1])")
def settle(
    words: Ints, width: int, first: int, slots: Ints, stored: Ints, used: Bytes, heads: Floats, template: Floats
) -> None:
    """Make fresh rows first, first + 1, … for n keys that have none (the tables have room)."""
    last = slots.shape[0] - 1
    for i in range(words.shape[0] // max(width, 1) if width > 0 else 1):
        at = hash_words(words, i * width, width) & last
        while slots[at] != 0:
            at = (at + 1) & last
        seat(first + i, at, words, i * width, width, slots, stored, used, heads, template)


@kernel(inlined=True)
def block_for(heads: Floats, base: int, slab: Floats, alloc: Ints, width: int, records: int) -> int:
    """Give a window without a block one for so many records and one more."""
    size_class = SMALLEST
    while (1 << size_class) < (records + 1) * width:
        size_class += 1
    block = take(slab, alloc, size_class)
    heads[base] = np.float64(block)
    heads[base + 1] = pack(0, records, size_class)
    return block


@kernel(
    signature="i8(i8[::1], i8, i8[::1], i8[::1], u1[::1], i8[::1], f8[::1], f8[::1], f8[:,::1], f8[::1], i8[::1], "
    "i8[:,::1], f8[::1], i8, i8[::1])"
)
def lay(
    words: Ints,
    width: int,
    slots: Ints,
    stored: Ints,
    used: Bytes,
    counts: Ints,
    heads: Floats,
    template: Floats,
    fixed: Floats,
    slab: Floats,
    alloc: Ints,
    layout: Ints,
    packed: Floats,
    begin: int,
    place: Ints,
) -> int:
    """Lay packed rows down, in place of what their keys held; the tables have room for keys that are new.

    Parameters
    ----------
    words
        int64[n * width]: the keys, one after the other.
    fixed
        float64[n, points]: what the rows' points hold.
    packed
        The rows' windows as :func:`pack_rows` writes them; place[0] is where row `begin` starts and is moved on.

    Returns
    -------
    int
        The first row not done, because the slab ran out of room; n when all are.
    """
    last = slots.shape[0] - 1
    stride = template.shape[0]
    rows = fixed.shape[0]
    at = place[0]
    for i in range(begin, rows):
        if alloc[0] + alloc[62] > slab.shape[0]:
            place[0] = at
            return i
        if i + AHEAD < rows:
            prefetch(slots, hash_words(words, (i + AHEAD) * width, width) & last)
        row = find_words(slots, stored, width, words, i * width)
        if row < 0:
            slot = -1 - row
            row = counts[0]
            counts[0] += 1
            counts[2] += 1
            seat(row, slot, words, i * width, width, slots, stored, used, heads, template)
        else:
            clear(row, heads, stride, slab, alloc, layout)
            empty(heads, row, template)
        for j in range(fixed.shape[1]):
            heads[row * stride + j] = fixed[i, j]
        for w in range(layout.shape[0]):
            base = row * stride + layout[w, AT]
            events = layout[w, EVENTS]
            fields = layout[w, FIELDS]
            each = 2 if events != 0 else 1 + fields
            n = int(packed[at])
            at += 1
            into_block = n if events != 0 else n - 1
            if into_block > 0:
                to = block_for(heads, base if events != 0 else base + 1, slab, alloc, each, into_block)
                for j in range(into_block * each):
                    slab[to + j] = packed[at + j]
                at += into_block * each
            if events == 0 and n > 0:
                heads[base] = packed[at]
                for j in range(fields):
                    heads[base + FRONT + j] = packed[at + 1 + j]
                at += each
    place[0] = at
    return int(fixed.shape[0])
