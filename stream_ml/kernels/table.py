"""Hash tables in flat arrays: int64 words to a value, UTF-8 text to a code. Linear probing, backward-shift deletion.

Hashes stay below 2**63 at every step, so that jitted and plain Python agree bit for bit without wrapping.
"""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.arrays import NEAR, Bytes, Floats, Ints
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.memory import prefetch

MASK = (1 << 46) - 1
PRIME = 0x1003F


@kernel(inlined=True)
def mix(h: int) -> int:
    """Return h with its high bits folded into the low ones (h < 2**46)."""
    h ^= h >> 23
    h = (h * PRIME) & MASK
    h ^= h >> 19
    return h


@kernel(inlined=True)
def hash_word(h: int, word: int) -> int:
    """Return h after one int64 word: h = (h ^ lo32) * P; h = (h ^ hi32) * P  (mod 2**46)."""
    h = ((h ^ (word & 0xFFFFFFFF)) * PRIME) & MASK
    return ((h ^ ((word >> 32) & 0xFFFFFFFF)) * PRIME) & MASK


# --- one word to one value: rows (word, value + 1), 0 meaning empty -------------------------------------------------


@kernel(inlined=True)
def find(table: Ints, word: int) -> int:
    """Return the position of `word` in `table` [size, 2], or -1 - the free position where it would go."""
    last: int = table.shape[0] - 1
    at = mix(hash_word(0, word)) & last
    while table[at, 1] != 0:
        if table[at, 0] == word:
            return at
        at = (at + 1) & last
    return -1 - at


@kernel(inlined=True)
def remove(table: Ints, at: int) -> None:
    """Empty position `at`, moving back the entries that probed past it."""
    last = table.shape[0] - 1
    hole = at
    probe = at
    while True:
        probe = (probe + 1) & last
        if table[probe, 1] == 0:
            break
        home = mix(hash_word(0, table[probe, 0])) & last
        if ((probe - home) & last) >= ((probe - hole) & last):
            table[hole, 0] = table[probe, 0]
            table[hole, 1] = table[probe, 1]
            hole = probe
    table[hole, 0] = 0
    table[hole, 1] = 0


@kernel(signature="void(i8[:,::1], i8[:,::1])")
def refill(old: Ints, new: Ints) -> None:
    """Put every entry of `old` [n, 2] into the empty `new` [m, 2]."""
    for i in range(old.shape[0]):
        if old[i, 1] != 0:
            at = -1 - find(new, old[i, 0])
            new[at, 0] = old[i, 0]
            new[at, 1] = old[i, 1]


# --- tuples of words to rows: the words stand in words[row * width ...], slots hold row + 1 -------------------------


@kernel(inlined=True)
def hash_words(words: Ints, at: int, width: int) -> int:
    """Return the hash of words[at : at + width]."""
    h = 0
    for j in range(width):
        h = hash_word(h, words[at + j])
    return mix(h)


@kernel(inlined=True)
def find_words(slots: Ints, stored: Ints, width: int, words: Ints, at: int) -> int:
    """Return the row whose stored words equal words[at : at + width], or -1 - the free slot."""
    last: int = slots.shape[0] - 1
    probe = hash_words(words, at, width) & last
    while slots[probe] != 0:
        row: int = slots[probe] - 1
        j = 0
        while j < width and stored[row * width + j] == words[at + j]:
            j += 1
        if j == width:
            return row
        probe = (probe + 1) & last
    return -1 - probe


@kernel
def remove_words(slots: Ints, stored: Ints, width: int, row: int) -> None:
    """Take `row` out of the slots, moving back the entries that probed past it."""
    last = slots.shape[0] - 1
    hole = hash_words(stored, row * width, width) & last
    while slots[hole] != row + 1:
        hole = (hole + 1) & last
    probe = hole
    while True:
        probe = (probe + 1) & last
        if slots[probe] == 0:
            break
        home = hash_words(stored, (slots[probe] - 1) * width, width) & last
        if ((probe - home) & last) >= ((probe - hole) & last):
            slots[hole] = slots[probe]
            hole = probe
    slots[hole] = 0


@kernel(signature="void(i8[::1], i8[::1], u1[::1], i8, i8)")
def refill_words(slots: Ints, stored: Ints, used: Bytes, width: int, rows: int) -> None:
    """Put the used rows among the first `rows` into the empty `slots`."""
    last = slots.shape[0] - 1
    for row in range(rows):
        if used[row] != 0:
            at = hash_words(stored, row * width, width) & last
            while slots[at] != 0:
                at = (at + 1) & last
            slots[at] = row + 1


# --- text: slots hold code + 1, and bits of the hash by which most others are told apart without a look at them ------

CODE = (1 << 32) - 1
#: How many codes ahead their slots are fetched.
AHEAD = 16


@kernel(inlined=True)
def tag(h: int) -> int:
    """Return the bits of a hash that stand in a slot, above the code."""
    return (h >> 15) << 32



@kernel(inlined=True)
def four(text: Bytes, at: int) -> int:
    """Return four bytes as one number, which are read at once."""
    a = at & NEAR
    low = np.int64(text[a]) | np.int64(text[a + 1]) << 8
    return int(low | np.int64(text[a + 2]) << 16 | np.int64(text[a + 3]) << 24)


@kernel(inlined=True)
def hash_text(text: Bytes, start: int, length: int) -> int:
    """Return a 46-bit FNV-like hash of text[start : start + length], four bytes at a time, the last four again."""
    h = length
    end = start + length
    if length < 4:
        for i in range(start, end):
            h = int(((h ^ np.int64(text[i])) * PRIME) & MASK)
        return mix(h)
    i = start
    while i + 4 < end:
        h = ((h ^ four(text, i)) * PRIME) & MASK
        h ^= h >> 29
        i += 4
    return mix(((h ^ four(text, end - 4)) * PRIME) & MASK)


@kernel(inlined=True)
def alike(slots: Ints, h: int, slot: int) -> int:
    """Return the first slot from `slot` on that is empty or whose text may have the hash h."""
    last: int = slots.shape[0] - 1
    while slots[slot] != 0 and (slots[slot] & ~CODE) != tag(h):
        slot = (slot + 1) & last
    return slot


@kernel(inlined=True)
def foresee(
    text: Bytes, ends: Ints, hashes: Ints, slots: Ints, places: Ints, arena: Bytes, begin: int, end: int
) -> None:
    """Hash texts begin .. end and have brought near where they may stand."""
    last = slots.shape[0] - 1
    start = 0
    if begin > 0:
        start = ends[begin - 1] if ends[begin - 1] >= 0 else -1 - ends[begin - 1]
    for i in range(begin, end):
        stop = ends[i] if ends[i] >= 0 else -1 - ends[i]
        h = hash_text(text, start, stop - start)
        hashes[i - begin] = h
        prefetch(slots, h & last)
        start = stop
    for i in range(end - begin):
        slot = alike(slots, hashes[i], hashes[i] & last)
        hashes[i + hashes.shape[0] // 2] = slot
        if slots[slot] != 0:
            prefetch(places, places.shape[1] * ((slots[slot] & CODE) - 1))
    for i in range(end - begin):
        slot = hashes[i + hashes.shape[0] // 2]
        if slots[slot] != 0:
            prefetch(arena, places[(slots[slot] & CODE) - 1, 0])


@kernel(inlined=True)
def same_text(text: Bytes, start: int, arena: Bytes, at: int, length: int) -> bool:
    """Return whether `length` bytes at `start` of text and at `at` of the arena are equal: the last four once more."""
    if length < 4:
        for j in range(length):
            if text[start + j] != arena[at + j]:
                return False
        return True
    j = 0
    while j + 4 < length:
        if four(text, start + j) != four(arena, at + j):
            return False
        j += 4
    return four(text, start + length - 4) == four(arena, at + length - 4)


@kernel(signature="i8(u1[::1], i8[::1], f8[::1], i8[::1], u1[::1], i8[:,::1], i8[::1], i8[::1], i8[::1], i8)")
def intern(
    text: Bytes,
    ends: Ints,
    codes: Floats,
    slots: Ints,
    arena: Bytes,
    places: Ints,
    free: Ints,
    counts: Ints,
    hashes: Ints,
    begin: int,
) -> int:
    """Give each text its code, a new one where it was not seen; returns how many texts were done.

    Parameters
    ----------
    text, ends
        UTF-8 bytes of all texts one after the other, and where each ends; a negative end is a missing text.
    codes
        Out: code of each text, NaN for a missing one.
    slots, arena, places, free
        Table of codes + 1 and tags; bytes of all symbols; (start, length, hash) of each code; stack of free codes.
    counts
        (codes ever given, free codes, arena bytes used, live symbols).
    hashes
        Room for some hashes and as many slots.
    begin
        The text to begin with. The kernel stops early when a table is full; the caller makes room and goes on.
    """
    last = slots.shape[0] - 1
    start = 0
    if begin > 0:
        start = ends[begin - 1] if ends[begin - 1] >= 0 else -1 - ends[begin - 1]
    first = begin
    upto = begin
    for i in range(begin, ends.shape[0]):
        if i == upto:
            first = i
            upto = min(i + hashes.shape[0] // 2, ends.shape[0])
            foresee(text, ends, hashes, slots, places, arena, first, upto)
        if ends[i] < 0:
            codes[i] = np.nan
            start = -1 - ends[i]
            continue
        length = ends[i] - start
        h = hashes[i - first]
        slot = alike(slots, h, h & last)
        found = -1
        while slots[slot] != 0:
            code = (slots[slot] & CODE) - 1
            if places[code, 2] == h and places[code, 1] == length:
                if same_text(text, start, arena, places[code, 0], length):
                    found = code
                    break
            slot = alike(slots, h, (slot + 1) & last)
        if found < 0:
            if 2 * (counts[3] + 1) > slots.shape[0] or counts[2] + length > arena.shape[0]:
                return i
            if counts[1] > 0:
                counts[1] -= 1
                found = free[counts[1]]
            elif counts[0] < places.shape[0]:
                found = counts[0]
                counts[0] += 1
            else:
                return i
            to = counts[2] & NEAR
            places[found, 0] = to
            places[found, 1] = length
            places[found, 2] = h
            for j in range(length):
                arena[to + j] = text[start + j]
            counts[2] += length
            counts[3] += 1
            slots[slot] = tag(h) | (found + 1)
        codes[i] = np.float64(found)
        start = ends[i]
    return int(ends.shape[0])


@kernel(signature="void(i8[::1], u1[::1], i8[:,::1], u1[::1], i8[::1])")
def gather_text(codes: Ints, arena: Bytes, places: Ints, out: Bytes, ends: Ints) -> None:
    """Copy the bytes of each code into `out`, one after the other; ends[i] is where text i ends."""
    at = 0
    for i in range(codes.shape[0]):
        code = codes[i] & NEAR
        start = places[code, 0] & NEAR
        to = at & NEAR
        for j in range(places[code, 1]):
            out[to + j] = arena[start + j]
        at += places[code, 1]
        ends[i] = at


@kernel(signature="void(f8[::1], u1[::1])")
def mark(codes: Floats, live: Bytes) -> None:
    """Set live[code] for every code; what is missing or no code at all is left out."""
    for i in range(codes.shape[0]):
        if 0.0 <= codes[i] < live.shape[0]:
            live[int(codes[i])] = 1


@kernel(signature="void(u1[::1], i8[::1], u1[::1], u1[::1], i8[:,::1], i8[::1], i8[::1])")
def sweep(live: Bytes, slots: Ints, arena: Bytes, fresh: Bytes, places: Ints, free: Ints, counts: Ints) -> None:
    """Forget the symbols that are not `live`: their codes become free, the live bytes move into `fresh`.

    `slots` must be empty; it is filled with the live codes. places[code, 1] is -1 for a free code.
    """
    last = slots.shape[0] - 1
    counts[1] = 0
    counts[2] = 0
    counts[3] = 0
    for code in range(counts[0]):
        if code + AHEAD < counts[0]:
            prefetch(slots, places[code + AHEAD, 2] & last)
        if live[code] == 0:
            places[code, 1] = -1
            free[counts[1]] = code
            counts[1] += 1
            continue
        start = places[code, 0] & NEAR
        to = counts[2] & NEAR
        for j in range(places[code, 1]):
            fresh[to + j] = arena[start + j]
        places[code, 0] = to
        counts[2] += places[code, 1]
        counts[3] += 1
        at = places[code, 2] & last
        while slots[at] != 0:
            at = (at + 1) & last
        slots[at] = tag(places[code, 2]) | (code + 1)


@kernel(signature="void(i8[::1], i8[::1], i8[:,::1])")
def resow(codes: Ints, slots: Ints, places: Ints) -> None:
    """Put these codes into the empty `slots`."""
    last = slots.shape[0] - 1
    for i in range(codes.shape[0]):
        if i + AHEAD < codes.shape[0]:
            prefetch(slots, places[codes[i + AHEAD], 2] & last)
        at = places[codes[i], 2] & last
        while slots[at] != 0:
            at = (at + 1) & last
        slots[at] = tag(places[codes[i], 2]) | (codes[i] + 1)
