"""What is fetched whole is what aiokafka's `getmany` gives: transactions, markers, errors and positions too."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.engines.kafka.batches import CODECS
from stream_ml.engines.kafka.fetch import fetched
from tests.kafka.test_batches import build, signed
from tests.kafka.test_client_defects import damaged, empty_control_batch
from tests.kafka.wire import NODE, Wire

FROM, OTHER = TopicPartition("in", 0), TopicPartition("in", 1)
ABORT, COMMIT = struct.pack(">hh", 0, 0), struct.pack(">hh", 0, 1)
TRANSACTIONAL, CONTROL = 0x10, 0x20
Told = tuple[list[tuple[Any, ...]], int]


def of_producer(batch: bytes, producer: int, attributes: int) -> bytes:
    made = bytearray(batch)
    struct.pack_into(">h", made, 21, struct.unpack_from(">h", made, 21)[0] | attributes)
    struct.pack_into(">q", made, 43, producer)
    return signed(made)


def log_of(steps: list[tuple[str, int, int, str | None]]) -> tuple[bytes, list[tuple[int, int]], int]:
    """Return a log of batches and markers by several producers, its aborted transactions, and its end."""
    data, at, begun, aborted = b"", 0, dict[int, int](), list[tuple[int, int]]()
    for kind, producer, count, codec in steps:
        some: list[Any] = [(n, b"k%d" % n if n % 3 else None, b"%d at %d" % (n, at), []) for n in range(count)]
        if kind in {"abort", "commit"}:
            if kind == "abort" and producer in begun:
                aborted.append((producer, begun[producer]))
            begun.pop(producer, None)
            key = ABORT if kind == "abort" else COMMIT
            data += of_producer(build([(0, key, b"\0" * 6, [])], at - 1), producer, TRANSACTIONAL | CONTROL)
            at += 1
            continue
        batch = build(some, at - 1, CODECS[codec])
        if kind == "transaction":
            begun.setdefault(producer, at)
            batch = of_producer(batch, producer, TRANSACTIONAL)
        data += batch
        at += struct.unpack_from(">i", batch, 23)[0] + 1
    return data, aborted, at


async def by_getmany(consumer: AIOKafkaConsumer, *only: TopicPartition) -> dict[TopicPartition, Any]:
    return dict(await consumer.getmany(*only, timeout_ms=1_000))


async def by_fetched(consumer: AIOKafkaConsumer, *only: TopicPartition) -> dict[TopicPartition, Any]:
    return dict(await fetched(consumer, 1.0, only))


def taken(
    wire: Wire, take: Callable[..., Awaitable[dict[TopicPartition, Any]]], first: int, *tps: TopicPartition
) -> dict[TopicPartition, Told]:
    """Return the records of each partition, and the position behind them."""

    async def run() -> dict[TopicPartition, Told]:
        async with wire.consumer(*tps) as consumer:
            for tp in tps:
                consumer.seek(tp, first)
            found: dict[TopicPartition, Any] = {}
            while len(found) < len(tps):
                found |= await take(consumer)
            return {
                tp: (
                    [(one.offset, one.timestamp, one.key, one.value or b"") for one in found[tp]],
                    await consumer.position(tp),
                )
                for tp in tps
            }

    return asyncio.run(run())


steps = st.tuples(
    st.sampled_from(["plain", "transaction", "transaction", "abort", "commit"]), st.integers(7, 9), st.integers(1, 6),
    st.sampled_from(list(CODECS)),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=12), st.integers(0, 5), st.sampled_from(list(CODECS)))
def test_the_same_records_come_and_the_same_position_is_left(
    drawn: list[tuple[str, int, int, str | None]], first: int, codec: str | None
) -> None:
    wire = Wire({"in": [NODE]})
    wire.begins[FROM] = first  # within the first batch
    wire.stored[FROM], wire.aborted[FROM], _ = log_of([("plain", 0, 5, codec), *drawn])
    assert taken(wire, by_fetched, first, FROM) == taken(wire, by_getmany, first, FROM)


def test_partitions_are_taken_alone_or_all() -> None:
    wire = Wire({"in": [NODE, NODE]})
    wire.stored[FROM] = log_of([("plain", 0, 3, None)])[0]
    wire.stored[OTHER] = log_of([("plain", 0, 4, None)])[0]
    assert taken(wire, by_fetched, 0, FROM, OTHER) == taken(wire, by_getmany, 0, FROM, OTHER)

    async def run() -> None:
        async with wire.consumer(FROM, OTHER) as consumer:
            assert list(await by_fetched(consumer, OTHER)) == [OTHER]
            assert list(await by_fetched(consumer)) == [FROM]
            assert await fetched(consumer, 0.0) == {}

    asyncio.run(run())


@pytest.mark.parametrize("what", ["checksum", "empty marker"])
def test_what_cannot_be_read_is_told_as_aiokafka_tells_it(what: str) -> None:
    log, _, end = log_of([("plain", 0, 3, None)])
    wire = Wire({"in": [NODE]})
    wire.stored[FROM] = log + (damaged(log) if what == "checksum" else empty_control_batch(end))

    async def run(take: Callable[..., Awaitable[Any]]) -> str:
        async with wire.consumer(FROM) as consumer:
            for _ in range(2):  # getmany gives away what stands before it
                try:
                    await take(consumer)
                except KafkaError as error:
                    return f"{error!r}"
            return "nothing"

    told = asyncio.run(run(by_getmany))
    assert ("CorruptRecordException" if what == "checksum" else "nothing") in told  # an empty marker is read past
    assert asyncio.run(run(by_fetched)) == told


def test_for_other_consumers_nothing_is_changed() -> None:
    """The reader of bytes that stands in aiokafka's place gives records until it is told otherwise."""
    wire = Wire({"in": [NODE]})
    wire.stored[FROM] = log_of([("plain", 0, 3, None)])[0]
    records, position = taken(wire, by_getmany, 0, FROM)[FROM]
    assert ([value for *_, value in records], position) == ([b"0 at 0", b"1 at 0", b"2 at 0"], 4)
