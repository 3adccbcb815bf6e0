"""Moving columns: registers to slots and back, table rows to registers."""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.arrays import NEAR, Bytes, Floats, Ints
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.operations import KIND, ON, PAIR, RECEIVED, ROW, STREAM, TIME, WORD
from stream_ml.kernels.table import find_words


@kernel(signature="void(f8[:,::1], i8[::1], i8[::1], i8[::1], f8[:,::1], i8)")
def save(registers: Floats, which: Ints, places: Ints, slots: Ints, kept: Floats, first: int) -> None:
    """kept[slots[i], first + j] = registers[which[j], places[i]]."""
    to = first & NEAR
    for i in range(places.shape[0]):
        slot = slots[i] & NEAR
        place = places[i] & NEAR
        for j in range(which.shape[0]):
            kept[slot, to + j] = registers[which[j] & NEAR, place]


@kernel(signature="void(f8[:,::1], i8[::1], i8[::1], i8[::1], f8[:,::1], i8)")
def load(registers: Floats, which: Ints, places: Ints, slots: Ints, kept: Floats, first: int) -> None:
    """registers[which[j], places[i]] = kept[slots[i], first + j]."""
    start = first & NEAR
    for i in range(places.shape[0]):
        slot = slots[i] & NEAR
        place = places[i] & NEAR
        for j in range(which.shape[0]):
            registers[which[j] & NEAR, place] = kept[slot, start + j]


@kernel(signature="void(f8[:,::1], i8[::1], f8[:,::1], i8)")
def put(columns: Floats, slots: Ints, kept: Floats, first: int) -> None:
    """kept[slots[i], first + j] = columns[j, i]."""
    to = first & NEAR
    for i in range(slots.shape[0]):
        slot = slots[i] & NEAR
        for j in range(columns.shape[0]):
            kept[slot, to + j] = columns[j, i]


@kernel(signature="void(f8[:,::1], i8[::1], i8[::1], f8[:,::1])")
def gather(kept: Floats, slots: Ints, columns: Ints, out: Floats) -> None:
    """out[i, j] = kept[slots[i], columns[j]]."""
    for i in range(slots.shape[0]):
        slot = slots[i] & NEAR
        for j in range(columns.shape[0]):
            out[i, j] = kept[slot, columns[j] & NEAR]


@kernel(signature="void(i8[:,::1], i8[::1], i8, i8, i8[::1], i8[::1], i8[::1], f8[::1], i8[::1], i8[::1])")
def lay(
    records: Ints,
    places: Ints,
    kind: int,
    stream: int,
    received: Ints,
    index: Ints,
    rows: Ints,
    times: Floats,
    words: Ints,
    on: Ints,
) -> None:
    """Write the join's records of one stream (kernels.operations) at `places`.

    Parameters
    ----------
    received, index
        Received times of a turn, and which of them is whose.
    rows, times, words, on
        Columns; an empty one is all zeros, empty `rows` are 0, 1, 2, ….
    """
    for i in range(places.shape[0]):
        at = places[i] & NEAR
        records[at, KIND] = kind
        records[at, ROW] = rows[i] if rows.shape[0] > 0 else i
        records[at, STREAM] = stream
        records[at, RECEIVED] = received[index[i] & NEAR]
        records[at, TIME] = int(times[i]) if times.shape[0] > 0 else 0
        records[at, WORD] = words[i] if words.shape[0] > 0 else 0
        records[at, ON] = on[i] if on.shape[0] > 0 else 0
        records[at, PAIR] = 0


@kernel(signature="void(f8[:,::1], i8[::1], i8)")
def blank(registers: Floats, which: Ints, rows: int) -> None:
    """Make the first `rows` of these registers missing."""
    for j in range(which.shape[0]):
        for g in range(rows):
            registers[which[j], g] = np.nan


@kernel(
    signature="i8(f8[:,::1], i8[:,::1], i8[::1], i8[::1], i8[:,::1], i8[:,::1], u1[::1], i8[::1], i8[::1], f8[::1], "
    "u1[::1], i8[::1], i8, i8)",
    allocates=True,
)
def look_up(
    registers: Floats,
    words: Ints,
    own_keys: Ints,
    own_columns: Ints,
    keys: Ints,
    reads: Ints,
    roles: Bytes,
    slots: Ints,
    stored: Ints,
    values: Floats,
    marks: Bytes,
    counts: Ints,
    begin: int,
    end: int,
) -> int:
    """Go through updates and look-ups of one table in order.

    Parameters
    ----------
    registers, words
        The registers and the same memory seen as int64.
    own_keys, own_columns
        Registers of an update's key and of its columns.
    keys, reads
        For each look-up: the registers of its key; pairs (column of the table, register to write), one row a look-up.
    roles
        2 an update, 1 a record that looks up, 0 neither.
    slots, stored, values, marks, counts
        The key table; the stored words; the newest values; marks; (rows used).

    Returns
    -------
    int
        The first record not done, because the table is full.
    """
    width = own_keys.shape[0]
    columns = own_columns.shape[0]
    key = np.zeros(width + 1, np.int64)
    for g in range(begin, end):
        if roles[g] == 2:
            if 2 * (counts[0] + 1) > slots.shape[0]:
                return g
            for j in range(width):
                key[j] = words[own_keys[j], g] if registers[own_keys[j], g] != 0.0 else 0
            row = find_words(slots, stored, width, key, 0)
            if row < 0:
                slot = -1 - row
                row = counts[0]
                counts[0] += 1
                slots[slot] = row + 1
                for j in range(width):
                    stored[row * width + j] = key[j]
            for j in range(columns):
                values[row * columns + j] = registers[own_columns[j], g]
            marks[row] = 1
        elif roles[g] == 1:
            for i in range(keys.shape[0]):
                missing = False
                for j in range(width):
                    x = registers[keys[i, j], g]
                    if x != x:  # missing
                        missing = True
                        break
                    key[j] = words[keys[i, j], g] if x != 0.0 else 0
                row = -1 if missing else find_words(slots, stored, width, key, 0)
                registers[reads[i, 1], g] = values[row * columns + reads[i, 0]] if row >= 0 else np.nan
    return end
