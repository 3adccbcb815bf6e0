"""The records of a Kafka batch, format 2: from its bytes to columns, and from lines to bytes."""

from __future__ import annotations

from stream_ml.kernels.arrays import NEAR, Bytes, Ints
from stream_ml.kernels.jit import kernel

UNSURE = -1
#: Columns of `heads`: where the batch's records end, how many there are, its offset, its time stamp, whether that is
#: the stamp of each record.
H_END, H_COUNT, H_OFFSET, H_STAMP, H_FIXED = range(5)
#: Columns of `rows`: offset, time stamp, where key and value end (-1 - end for no key).
R_OFFSET, R_STAMP, R_KEY, R_VALUE = range(4)
#: Columns of `done`: the next record, and where it goes.
D_NEXT, D_PLACE = range(2)
#: Bytes of a written record beside its value and its tail, at most; and of any record, at least.
MOST, LEAST = 18, 7
_MORE = 0x80


@kernel
def _number(raw: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and the place after it: UNSURE where there is none, or one of more than 63 bits."""
    value, shift = 0, 0
    if at < 0:
        return 0, UNSURE
    while at < end and shift < 63:
        one = int(raw[at & NEAR])
        at += 1
        value |= (one & (_MORE - 1)) << shift
        if one < _MORE:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
    return 0, UNSURE


@kernel
def _sized(raw: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return how many bytes follow, -1 for null, and where they begin; UNSURE where they do not fit."""
    size, at = _number(raw, at, end)
    if size < -1 or at + size > end:
        return 0, UNSURE
    return size, at


@kernel
def _headers(raw: Bytes, at: int, end: int) -> int:
    """Return the place after a record's headers; UNSURE of names that are not ASCII."""
    count, at = _number(raw, at, end)
    while count > 0 and at >= 0:
        size, at = _sized(raw, at, end)
        if size < 0:
            return UNSURE
        for b in range(at, at + size):
            if raw[b & NEAR] >= _MORE:
                return UNSURE
        size, at = _sized(raw, at + size, end)
        if at >= 0:
            at += max(size, 0)
        count -= 1
    return at if count == 0 else UNSURE


@kernel
def _copy(source: Bytes, start: int, size: int, out: Bytes, at: int) -> None:
    start &= NEAR
    at &= NEAR
    for b in range(size):
        out[at + b] = source[start + b]


@kernel(signature="b1(u1[::1], i8[:,::1], i8[:,::1], u1[::1], u1[::1])")
def unpack(raw: Bytes, heads: Ints, rows: Ints, keys: Bytes, values: Bytes) -> bool:
    """Read the records of batches; returns whether all are as they should be.

    Parameters
    ----------
    raw
        The records of every batch, one batch after the other.
    heads
        [b, 5], H_END and so on.
    rows
        Out: [n, 4], R_OFFSET and so on, for as many records as the heads say.
    keys, values
        Out: their bytes, one after the other, each key with a zero behind it; as long as `raw`.
    """
    at, row, key_at, value_at = 0, 0, 0, 0
    for batch in range(heads.shape[0]):
        end = heads[batch, H_END]
        for i in range(row, row + heads[batch, H_COUNT]):
            size, at = _number(raw, at, end)
            stop = at + size
            if at < 0 or size < LEAST - 1 or stop > end or raw[at & NEAR] != 0:
                return False
            stamp, at = _number(raw, at + 1, stop)
            offset, at = _number(raw, at, stop)
            size, at = _sized(raw, at, stop)
            if at < 0:
                return False
            if size >= 0:
                _copy(raw, at, size, keys, key_at)
                at += size
                key_at += size
            rows[i, R_KEY] = key_at if size >= 0 else -1 - key_at
            keys[key_at & NEAR] = 0
            key_at += 1
            size, at = _sized(raw, at, stop)
            if at < 0:
                return False
            if size > 0:
                _copy(raw, at, size, values, value_at)
                at += size
                value_at += size
            rows[i, R_VALUE] = value_at
            rows[i, R_OFFSET] = heads[batch, H_OFFSET] + offset
            rows[i, R_STAMP] = heads[batch, H_STAMP] + (0 if heads[batch, H_FIXED] else stamp)
            at = _headers(raw, at, stop)
            if at != stop:
                return False
        row += heads[batch, H_COUNT]
        if at != end:
            return False
    return True


@kernel
def _width(x: int) -> int:
    """Return how many bytes a number from 0 on takes."""
    size = 1
    x >>= 6
    while x > 0:
        size += 1
        x >>= 7
    return size


@kernel
def _write(x: int, out: Bytes, at: int) -> int:
    """Write a number from 0 on; returns the place after it."""
    x *= 2
    while x >= _MORE:
        out[at & NEAR] = _MORE | (x & (_MORE - 1))
        x >>= 7
        at += 1
    out[at & NEAR] = x
    return at + 1


@kernel(signature="void(u1[::1], i8[::1], i8[::1], u1[::1], i8, u1[::1], i8[::1])")
def pack(block: Bytes, begins: Ints, ends: Ints, tail: Bytes, limit: int, out: Bytes, done: Ints) -> None:
    """Write records without keys, all of one time stamp, into a batch: one at least, then as many as there is room for.

    Parameters
    ----------
    block, begins, ends
        The value of record i is block[begins[i]:ends[i]].
    tail
        The headers of every record, their number first.
    limit
        Bytes below which a batch of several records stays.
    out
        The batch.
    done
        D_NEXT and D_PLACE.
    """
    first, at = done[D_NEXT], done[D_PLACE]
    for i in range(first, begins.shape[0]):
        size = ends[i] - begins[i]
        body = 3 + _width(i - first) + _width(size) + size + tail.shape[0]
        if i > first and at + _width(body) + body >= limit:
            return
        at = _write(body, out, at)
        out[at] = 0  # attributes
        out[at + 1] = 0  # time since the first
        at = _write(i - first, out, at + 2)
        out[at] = 1  # no key
        at = _write(size, out, at + 1)
        _copy(block, begins[i], size, out, at)
        at += size
        _copy(tail, 0, tail.shape[0], out, at)
        at += tail.shape[0]
        done[D_NEXT] = i + 1
        done[D_PLACE] = at
