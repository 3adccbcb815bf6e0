"""Batches read and written whole are, byte for byte, what aiokafka's own compiled classes read and write."""

from __future__ import annotations

import gzip
import itertools
import struct
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.engines.kafka import batches
from stream_ml.engines.kafka.batches import CODECS, Batch, Batches, Block, Record, gathered, packed
from stream_ml.schema.lines import Lines
from stream_ml.schema.records import Run
from stream_ml.sessions.journal import check_of

NOW = 1_767_000_000_123
texts = st.binary(max_size=12) | st.sampled_from([b"", b"\0", b"a\0b", b"x" * 70, b"y" * 9_000, b'{"a": 1}'])
headers = st.lists(st.tuples(st.sampled_from(["", "stream_ml", "über"]), st.none() | st.binary(max_size=3)), max_size=3)
records = st.tuples(st.integers(0, 5_000), st.none() | texts, st.none() | texts, headers)
codecs = st.sampled_from(list(CODECS.values()))


def build(
    given: Sequence[tuple[int, bytes | None, bytes | None, list[Any]]], base: int = 0, compression: int = 0, **own: Any
) -> bytes:
    """Build a batch as a broker stores it: aiokafka's, at another offset."""
    state = {"is_transactional": 0, "producer_id": -1, "producer_epoch": -1, "base_sequence": -1}
    builder = DefaultRecordBatchBuilder(magic=2, compression_type=compression, batch_size=1 << 24, **{**state, **own})
    offset = 0
    for more, (stamp, key, value, tags) in enumerate(given):
        offset += 1 + more % 3 // 2  # compaction leaves gaps
        assert builder.append(offset, timestamp=NOW + stamp, key=key, value=value, headers=tags) is not None
    return at(bytes(builder.build()), base)


def at(batch: bytes, base: int) -> bytes:
    return struct.pack(">q", base) + batch[8:]


def signed(batch: bytearray) -> bytes:
    """Make the checksum right again."""
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    return bytes(batch)


def plain(data: bytes) -> list[tuple[Any, ...]]:
    """Read with aiokafka's compiled reader; a null value is b"" to us."""
    found, reader = [], MemoryRecords(data)
    while reader.has_next():
        batch = reader.next_batch()
        assert batch is not None
        assert batch.validate_crc()
        found += [(one.offset, one.timestamp, one.key, one.value or b"") for one in batch]
    return found


def whole(data: bytes) -> Block:
    """Read whole."""
    reader, found = Batches(data), []
    reader.whole = True
    while reader.has_next():
        batch = reader.next_batch()
        assert batch.validate_crc()
        found += list(batch)
    return gathered(found)


def told(block: Block) -> list[tuple[Any, ...]]:
    return [(one.offset, one.timestamp, one.key, one.value) for one in block]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.lists(records, min_size=1, max_size=9), codecs, st.booleans()), max_size=4))
def test_batches_are_read_as_aiokafka_reads_them(drawn: list[tuple[list[Any], int, bool]]) -> None:
    data, base = b"", 7
    for some, compression, at_the_log in drawn:
        batch = bytearray(build(some, base, compression))
        if at_the_log:
            struct.pack_into(">h", batch, 21, struct.unpack_from(">h", batch, 21)[0] | 8)
        data += signed(batch)
        base += 10 * len(some)
    block = whole(data)
    assert told(block) == plain(data)
    assert [told(block[i : i + 1]) for i in range(len(block))] == [[one] for one in plain(data)]


def test_only_what_is_not_plain_is_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def slow(data: bytes) -> DefaultRecordBatch:
        read.append(data)
        return DefaultRecordBatch(data)

    monkeypatch.setattr(batches, "DefaultRecordBatch", slow)
    many = [(n, b"k%d" % n, b"v%d" % n, [("origin", b"7/1")]) for n in range(100)]
    data = b"".join(build(many, 1_000 * CODECS[name], CODECS[name]) for name in CODECS)
    assert told(whole(data)) == plain(data)
    assert not read
    named = build([(0, None, b"x", [("über", b"")])], 9_000)  # must be decoded
    assert told(whole(data + named)) == plain(data + named)
    assert read[-1] == named


def test_markers_and_what_compaction_left_stay_with_aiokafka() -> None:
    marker = bytearray(build([(0, b"\0\0\0\0", b"\0" * 6, [])], producer_id=7))
    struct.pack_into(">h", marker, 21, 0x30)
    empty = bytearray(build([(0, None, b"", [])], 1))
    del empty[61:]
    struct.pack_into(">i", empty, 8, len(empty) - 12)
    struct.pack_into(">i", empty, 57, 0)
    some = build([(0, None, b"x", [])], 2)
    reader = Batches(signed(marker) + signed(empty) + some)
    reader.whole = True
    kinds = []
    while reader.has_next():
        batch = reader.next_batch()
        assert batch.validate_crc()
        kinds.append((type(batch), batch.is_control_batch, batch.next_offset))
    assert kinds == [(DefaultRecordBatch, True, 2), (DefaultRecordBatch, False, 3), (Batch, False, 4)]


@settings(max_examples=150, deadline=None)
@given(st.lists(records, min_size=1, max_size=12), st.data())
def test_what_is_damaged_is_refused_by_aiokafka_or_read_alike(some: list[Any], data: st.DataObject) -> None:
    batch = bytearray(build(some, 5))
    for _ in range(data.draw(st.integers(1, 3))):
        batch[data.draw(st.integers(61, min(len(batch), 200) - 1))] ^= data.draw(st.sampled_from([1, 2, 64, 128, 255]))
    made = signed(batch)
    try:
        wanted = plain(made)
    except (CorruptRecordException, UnicodeDecodeError):
        with pytest.raises((CorruptRecordException, UnicodeDecodeError)):
            whole(made)
    else:
        assert told(whole(made)) == wanted


def test_a_wrong_checksum_is_told() -> None:
    made = bytearray(build([(0, None, b"x" * 9, [])]))
    made[-3] ^= 1
    reader = Batches(bytes(made))
    reader.whole = True
    assert not reader.next_batch().validate_crc()


def test_records_before_an_offset_are_left_out() -> None:
    block = whole(build([(0, None, b"%d" % n, []) for n in range(40)], 100))
    wanted = [one for one in plain(build([(0, None, b"%d" % n, []) for n in range(40)], 100)) if one[0] >= 117]
    assert told(block.since(117)) == wanted
    assert told(block.since(0)) == told(block)


@given(st.lists(records, max_size=20), st.integers(0, 20))
def test_the_checksum_of_a_run_is_that_of_its_records(some: list[Any], n: int) -> None:
    block = Block.of([Record(i, stamp, key, value or b"") for i, (stamp, key, value, _) in enumerate(some)])
    for part in (block, block[:n], block.behind(n), Block.joined([block.behind(n), block[:n]])):
        of_lines = Run("in/0", 0, 20, NOW, ["in"] * len(part), part.offsets, part.received, part.keys, part.values)
        assert check_of(of_lines) == check_of(replace(of_lines, values=[one.value for one in part]))


def appended(values: list[bytes], tags: list[tuple[str, bytes]], limit: int, compression: int) -> list[BatchBuilder]:
    """Write with aiokafka's compiled builder."""
    made = [BatchBuilder(limit, compression, is_transactional=True)]
    for value in values:
        if made[-1].append(timestamp=NOW, key=None, value=value, headers=tags) is None:
            made.append(BatchBuilder(limit, compression, is_transactional=True))
            made[-1].append(timestamp=NOW, key=None, value=value, headers=tags)
    return made


def sent(made: list[BatchBuilder]) -> list[tuple[int, bytes]]:
    """Do what the producer does with a batch: set its state, then build it, after an error again."""
    found, sequence = [], 3
    for batch in made:
        batch.close()
        batch._set_producer_state(12, 5, sequence)
        sequence += batch.record_count()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gzip, "time", SimpleNamespace(time=lambda: NOW / 1_000))  # gzip writes it down
            data = bytes(batch._build())
        assert bytes(batch._build()) == data
        assert batch.closed()
        assert batch.size() == len(data)
        found.append((batch.record_count(), data))
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(texts, min_size=1, max_size=90),
    st.lists(st.tuples(st.sampled_from(["stream_ml", "snapshot"]), st.binary(max_size=90)), max_size=2),
    st.sampled_from([1, 200, 5_000, 900_000]), st.sampled_from(list(CODECS)),
)  # fmt: skip
def test_batches_are_written_as_aiokafka_writes_them(
    values: list[bytes], tags: list[tuple[str, bytes]], limit: int, compression: str | None
) -> None:
    lines = Lines.of(values)
    for some in (lines, Lines(bytearray(b"head") + lines.block, lines.begins + 4, lines.ends + 4)):
        made = sent(list(packed(some, tags, NOW, limit, compression)))
        as_they_are, compressed = (sent(appended(values, tags, limit, one)) for one in (0, CODECS[compression]))
        pairs = zip(as_they_are, compressed, strict=True)
        assert made == [small if len(small[1]) < len(large[1]) else large for large, small in pairs]


def test_a_long_batch_is_written_as_aiokafka_writes_it() -> None:
    # offsets and lengths whose numbers take more bytes
    values = list(itertools.chain.from_iterable((b"", b"x" * 63, b"y" * 64, b"z" * 9_000) for _ in range(5_000)))
    made = sent(list(packed(Lines.of(values), [], NOW, 900_000, None)))
    assert made == sent(appended(values, [], 900_000, 0))
    assert [value for _, batch in made for *_, value in plain(batch)] == values
