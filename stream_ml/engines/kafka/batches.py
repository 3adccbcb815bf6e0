"""Kafka's record batches (format 2) whole: fetched bytes to columns, lines of JSON to what is sent.

aiokafka makes an object of each record that it reads and a call for each that it writes, which costs more than all our
own work on them. Here a kernel goes over the records of a batch; checksums, codecs, heads of batches and whatever is
not plain stay with aiokafka, in the classes that it has beside its compiled ones; tests/kafka/test_batches.py holds
both ways against those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Protocol, cast, overload

import numpy as np
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy
from aiokafka.record.default_records import _DefaultRecordBatchPy as Plain
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import calc_crc32c, encode_varint
from numpy.typing import NDArray

from stream_ml.kernels import batches as kernels
from stream_ml.schema.lines import Lines, joined

I8 = NDArray[np.int64]
Headers = list[tuple[str, bytes]]
CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_HEAD, _MAGIC = Plain.HEADER_STRUCT, 16


class Fetched(Protocol):
    """A record as it was fetched; timestamps are epoch ms."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a block; a null value is b""."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Block(Sequence[Record]):
    """Records of one partition in columns.

    Parameters
    ----------
    offsets, received
        int64[n]: place in the partition, the log's time stamp (epoch ms).
    keys, values
        Bytes of each record; a null value is b"".
    """

    offsets: I8
    received: I8
    keys: list[bytes | None]
    values: Lines

    @classmethod
    def of(cls, records: Sequence[Fetched]) -> Block:
        """Return records in columns."""
        n = len(records)
        return cls(
            np.fromiter([one.offset for one in records], np.int64, n),
            np.fromiter([one.timestamp for one in records], np.int64, n),
            [one.key for one in records], Lines.of([one.value or b"" for one in records]),
        )  # fmt: skip

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """Return the records of all blocks, one block after the other."""
        if len(blocks) == 1:
            return blocks[0]
        if not blocks:
            return cls.of(())
        return cls(
            np.concatenate([one.offsets for one in blocks]), np.concatenate([one.received for one in blocks]),
            list(chain.from_iterable(one.keys for one in blocks)), Lines.of(joined([one.values for one in blocks])),
        )  # fmt: skip

    def since(self, offset: int) -> Block:
        """Return the records from an offset on."""
        before = int(np.searchsorted(self.offsets, offset))
        return self.behind(before) if before else self

    def behind(self, n: int) -> Block:
        """Return the records behind the first `n`, their bytes where they are."""
        values = Lines(self.values.block, self.values.begins[n:], self.values.ends[n:])
        return Block(self.offsets[n:], self.received[n:], self.keys[n:], values)

    def __len__(self) -> int:
        return self.offsets.size

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Block: ...
    def __getitem__(self, at: int | slice) -> Record | Block:
        if isinstance(at, slice):
            return Block(self.offsets[at], self.received[at], self.keys[at], self.values[at])
        return Record(int(self.offsets[at]), int(self.received[at]), self.keys[at], self.values[at])

    def __iter__(self) -> Iterator[Record]:
        return map(Record, self.offsets.tolist(), self.received.tolist(), self.keys, self.values)


class Batches(_MemoryRecordsPy):  # type: ignore[misc]  # final to type checkers only
    """The batches of fetched bytes. Once `whole` is set, those that hold records come as one :class:`Batch` each."""

    whole = False

    def next_batch(self) -> Any:
        """Return the next batch, None where there is none."""
        piece = self._next_slice
        if self.whole and piece is not None and len(piece) >= _HEAD.size and piece[_MAGIC] == 2:  # noqa: PLR2004
            batch = Batch(piece)
            if batch.count > 0 and not batch.is_control_batch:
                self._cache_next()
                return batch
        return super().next_batch()


class Batch:
    """A batch as aiokafka's loop over batches sees it; in place of its records it gives itself.

    Parameters
    ----------
    piece
        Its bytes.
    """

    __slots__ = (
        "_crc", "attributes", "base_offset", "count", "is_control_batch", "is_transactional", "next_offset", "offset",
        "piece", "producer_id", "stamps",
    )  # fmt: skip

    def __init__(self, piece: memoryview) -> None:
        found = _HEAD.unpack_from(piece)
        self.piece, self.base_offset, self.producer_id, self.count = piece, found[0], found[9], found[12]
        self._crc, self.attributes, last, *self.stamps = found[4:9]
        self.is_control_batch = bool(self.attributes & Plain.CONTROL_MASK)
        self.is_transactional = bool(self.attributes & Plain.TRANSACTIONAL_MASK)
        self.offset = self.base_offset + last
        self.next_offset = self.offset + 1

    def validate_crc(self) -> bool:
        """Tell whether the checksum holds."""
        return bool(calc_crc32c(self.piece[Plain.ATTRIBUTES_OFFSET :]) == self._crc)

    def __iter__(self) -> Iterator[Batch]:
        return iter((self,))

    @property
    def records(self) -> bytearray | memoryview:
        """The bytes of its records."""
        if not self.attributes & Plain.CODEC_MASK:
            return self.piece[_HEAD.size :]
        batch = Plain(self.piece)
        batch._maybe_uncompress()  # noqa: SLF001
        return cast("bytearray", batch._buffer)  # noqa: SLF001


def gathered(found: Sequence[Batch | Fetched]) -> Block:
    """Return batches and records, in their order, as one block."""
    parts: list[Block] = []
    for whole, group in groupby(found, lambda one: isinstance(one, Batch)):
        some: list[Any] = list(group)
        block = _unpacked(some) if whole else None
        if block is None and whole:  # not as the kernel knows them: aiokafka reads them, or says what is wrong
            some = [record for batch in some for record in DefaultRecordBatch(bytes(batch.piece))]
        parts.append(block or Block.of(some))
    return Block.joined(parts)


def _unpacked(batches: list[Batch]) -> Block | None:
    pieces = [batch.records for batch in batches]
    raw = bytearray().join(pieces)
    heads = np.empty((len(batches), 5), np.int64)
    heads[:, kernels.H_END] = np.cumsum([len(piece) for piece in pieces])
    heads[:, kernels.H_COUNT] = [batch.count for batch in batches]
    heads[:, kernels.H_OFFSET] = [batch.base_offset for batch in batches]
    fixed = [bool(batch.attributes & Plain.TIMESTAMP_TYPE_MASK) for batch in batches]
    heads[:, kernels.H_FIXED] = fixed
    heads[:, kernels.H_STAMP] = [batch.stamps[last] for batch, last in zip(batches, fixed, strict=True)]
    count, size = int(heads[:, kernels.H_COUNT].sum()), len(raw)
    if count * kernels.LEAST > size:
        return None
    rows, keys, values = np.empty((count, 4), np.int64), np.empty(size, np.uint8), bytearray(size)
    room = np.frombuffer(values, np.uint8)
    if not kernels.unpack(np.frombuffer(raw, np.uint8), heads, rows, keys, room):
        return None
    del room  # a view keeps the bytes from being cut
    offsets, received, key_ends, ends = np.ascontiguousarray(rows.T)
    del values[int(ends[-1]) :]
    lines = Lines(values, np.concatenate([[0], ends[:-1]]), ends)
    return Block(offsets, received, _keys(keys, key_ends), lines)


def _keys(raw: NDArray[np.uint8], ends: I8) -> list[bytes | None]:
    """Return keys from their bytes, a zero behind each; a null one ends at -1 - its end."""
    size = int(ends[-1])
    text = raw[: size if size >= 0 else -1 - size].tobytes()
    found: list[bytes | None] = text.split(b"\0")  # type: ignore[assignment]
    if len(found) == ends.size and ends.min() >= 0:
        return found
    whole = np.where(ends < 0, -1 - ends, ends)
    begins = np.concatenate([[0], whole[:-1] + 1])
    return [
        text[begin:end] if there else None
        for begin, end, there in zip(begins.tolist(), whole.tolist(), (ends >= 0).tolist(), strict=True)
    ]


def packed(lines: Lines, headers: Headers, now: int, limit: int, compression: str | None) -> Iterator[BatchBuilder]:
    """Yield transactional batches that hold lines as values, without keys: the same that `append` would have made.

    Parameters
    ----------
    headers
        Of every record.
    now
        Time stamp of every record, epoch ms.
    limit
        Bytes below which a batch of several records stays before it is compressed.
    """
    tail = bytearray()
    encode_varint(len(headers), tail.append)
    for name, value in headers:
        for part in (name.encode(), value):
            encode_varint(len(part), tail.append)
            tail += part
    whole = np.frombuffer(tail, np.uint8)
    most = np.cumsum(lines.ends - lines.begins + kernels.MOST + len(tail))
    begins, ends = np.ascontiguousarray(lines.begins), np.ascontiguousarray(lines.ends)
    done = np.zeros(2, np.int64)
    while done[kernels.D_NEXT] < len(lines):
        first = int(done[kernels.D_NEXT])
        before = int(most[first - 1]) if first else 0
        room = min(int(most[-1]) - before, max(limit, int(most[first]) - before))
        out, done[kernels.D_PLACE] = bytearray(_HEAD.size + room), _HEAD.size
        kernels.pack(lines.text, begins, ends, whole, limit, np.frombuffer(out, np.uint8), done)
        del out[int(done[kernels.D_PLACE]) :]
        yield _Packed(out, int(done[kernels.D_NEXT]) - first, now, limit, CODECS[compression])


class _Packed(BatchBuilder):  # type: ignore[misc]
    """A batch whose records are written; the producer sets its id and sequence, then compresses and signs it."""

    def __init__(self, records: bytearray, count: int, now: int, limit: int, compression: int) -> None:
        super().__init__(limit, compression, is_transactional=True)
        self._builder = builder = _DefaultRecordBatchBuilderPy(2, compression, True, -1, -1, 0, limit)
        builder._buffer = records  # noqa: SLF001
        builder._num_records, builder._last_offset = count, count - 1  # noqa: SLF001
        builder._first_timestamp = builder._max_timestamp = now  # noqa: SLF001
        self._relative_offset = count
        self.close()

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)
