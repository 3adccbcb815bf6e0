"""Blocks of records in one slab: each window's older tiles or events are a run of fixed-width records.

A header holds (block offset or -1, packed) with packed = start + 2**20 * length + 2**40 * size class; a block of class
c has 2**c words. Free blocks of a class are chained through their first word. `alloc` is (words used, then for each
class 1 + offset of its first free block, 0 where there is none).
"""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.arrays import Floats, Ints
from stream_ml.kernels.jit import kernel

FIELD = 1 << 20
SMALLEST = 3


@kernel(inlined=True)
def take(slab: Floats, alloc: Ints, size_class: int) -> int:
    """Return the offset of a free block of 2**size_class words."""
    first: int = alloc[1 + size_class]
    if first != 0:
        alloc[1 + size_class] = int(slab[first - 1])
        return first - 1
    at: int = alloc[0]
    alloc[0] = at + (1 << size_class)
    return at


@kernel(inlined=True)
def give(slab: Floats, alloc: Ints, size_class: int, at: int) -> None:
    """Put the block at offset `at` back among the free ones of its class."""
    slab[at] = np.float64(alloc[1 + size_class])
    alloc[1 + size_class] = at + 1


@kernel(inlined=True)
def start_of(packed: float) -> int:
    """Return the first record's place in the block."""
    return int(packed) & (FIELD - 1)


@kernel(inlined=True)
def length_of(packed: float) -> int:
    """Return how many records the block holds."""
    return (int(packed) >> 20) & (FIELD - 1)


@kernel(inlined=True)
def pack(start: int, length: int, size_class: int) -> float:
    """Return start, length and class as one float (exact: below 2**48)."""
    return float(start + (length << 20) + (size_class << 40))


@kernel
def make_room(heads: Floats, base: int, slab: Floats, alloc: Ints, width: int) -> int:
    """Make room where there is none: a first block, the records moved to its beginning, or a wider block."""
    block = int(heads[base])
    if block < 0:
        size_class = SMALLEST
        while (1 << size_class) < 4 * width:
            size_class += 1
        block = take(slab, alloc, size_class)
        heads[base] = np.float64(block)
        heads[base + 1] = pack(0, 0, size_class)
        return block
    packed: float = heads[base + 1]
    start = start_of(packed)
    length = length_of(packed)
    size_class = int(packed) >> 40
    if start > 0 and 4 * length <= 3 * ((1 << size_class) // width):
        for i in range(length * width):
            slab[block + i] = slab[block + start * width + i]
        heads[base + 1] = pack(0, length, size_class)
        return block + length * width
    wider = take(slab, alloc, size_class + 1)
    for i in range(length * width):
        slab[wider + i] = slab[block + start * width + i]
    give(slab, alloc, size_class, block)
    heads[base] = np.float64(wider)
    heads[base + 1] = pack(0, length, size_class + 1)
    return wider + length * width


@kernel(inlined=True)
def room(heads: Floats, base: int, slab: Floats, alloc: Ints, width: int) -> int:
    """Return the slab offset of the place after the last record of heads[base]'s block, made where there is none."""
    block = int(heads[base])
    packed: float = heads[base + 1]
    after = start_of(packed) + length_of(packed)
    if block >= 0 and (after + 1) * width <= 1 << (int(packed) >> 40):
        return block + after * width
    return make_room(heads, base, slab, alloc, width)


@kernel(inlined=True)
def lengthen(heads: Floats, base: int) -> None:
    """Count the record that was just written behind the last one."""
    heads[base + 1] = np.float64(np.int64(heads[base + 1]) + FIELD)


@kernel
def drop_first(heads: Floats, base: int, slab: Floats, alloc: Ints) -> None:
    """Take the oldest record out; an empty block goes back to the slab."""
    packed = int(heads[base + 1])
    if length_of(packed) == 1:
        give(slab, alloc, packed >> 40, int(heads[base]))
        heads[base] = -1.0
        heads[base + 1] = 0.0
    else:
        heads[base + 1] = np.float64(packed + 1 - FIELD)
