"""aiokafka's defects as they are: each test holds while the client has the defect that we code around.

A test that fails here is good news: a newer aiokafka has mended something, and the workaround may go. The letters are
those under which the workarounds are explained in the Kafka engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import struct
import time
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import (
    ConcurrentTransactions,
    CorruptRecordException,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    RequestTimedOutError,
)
from aiokafka.producer import sender
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from stream_ml.client import loop
from stream_ml.demos.broker import Broker
from tests.kafka.topics import make, read
from tests.kafka.wire import EPOCH, NOBODY, NODE, PRODUCER_ID, Wire

OUT, OTHER = TopicPartition("out", 0), TopicPartition("out", 1)
#: Where each defect is worked around.
WORKAROUND = dict.fromkeys(("A", "C", "E", "F", "G", "P", "back-off"), "stream_ml/engines/kafka")
TOO_LARGE = MessageSizeTooLargeError.errno
CONTROL, TRANSACTIONAL = 0x20, 0x10


def mended(defect: str) -> str:
    return f"aiokafka mended defect {defect}: the workaround in {WORKAROUND[defect]} may go"


def batch(*values: bytes) -> bytes:
    """Build a batch as a broker stores it, offsets from 0."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for offset, value in enumerate(values):
        assert builder.append(offset, timestamp=1, key=None, value=value, headers=[]) is not None
    return bytes(builder.build())


def damaged(data: bytes) -> bytes:
    """Turn the last bit of a batch, so that its checksum does not hold."""
    return data[:-1] + bytes([data[-1] ^ 1])


def empty_control_batch(offset: int) -> bytes:
    """Build what compaction leaves of an abort marker: a control batch of a producer, without a record."""
    fields = (CONTROL | TRANSACTIONAL, 0, 1, 1, PRODUCER_ID, EPOCH, -1, 0)
    covered = struct.pack(">hiqqqhii", *fields)
    head = struct.pack(">iBI", 0, 2, calc_crc32c(covered))
    made = struct.pack(">qi", offset, len(head) + len(covered)) + head + covered
    assert DefaultRecordBatch(made).validate_crc()
    return made


def test_a_a_lost_batch_does_not_fail_its_transaction() -> None:
    """The future alone tells of it: await every one of them before the commit."""

    async def run() -> None:
        wire = Wire({"out": [NODE, NODE]})
        wire.refused[OUT] = TOO_LARGE
        async with wire.producer() as producer:
            await producer.begin_transaction()
            lost = await producer.send("out", b"lost", partition=0)
            await producer.send_offsets_to_transaction({TopicPartition("in", 0): 101}, "group")
            try:
                await producer.commit_transaction()
            except KafkaError:
                pytest.fail(mended("A"))
            with pytest.raises(MessageSizeTooLargeError):
                await lost
        (end,) = wire.of("EndTxnRequest")
        assert end._transaction_result == 1, mended("A")
        assert len(wire.of("TxnOffsetCommitRequest")) == 1

    asyncio.run(run())


def test_c_records_of_one_partition_go_with_the_error_of_another() -> None:
    """Own positions are the truth, and each is sought anew after an exception."""

    async def run() -> None:
        wire = Wire({"out": [NODE, NODE]})
        wire.stored = {OUT: batch(b"a", b"b", b"c"), OTHER: damaged(batch(b"x"))}
        async with wire.consumer(OUT, OTHER) as consumer:
            try:
                await consumer.getmany(timeout_ms=1000)
            except CorruptRecordException:
                assert await consumer.position(OUT) == 3, mended("C")
            else:
                pytest.fail(mended("C"))
            assert await consumer.getmany(OUT, timeout_ms=50) == {}, mended("C")
            consumer.seek(OUT, 0)
            again = await consumer.getmany(OUT, timeout_ms=1000)
            assert [record.value for record in again[OUT]] == [b"a", b"b", b"c"]

    asyncio.run(run())


def test_e_a_batch_that_expires_leaves_a_gap_in_the_sequence() -> None:
    """After any failure to produce: abort, throw the producer away, acquire anew."""

    async def run() -> None:
        wire = Wire({"out": [NODE]})
        async with wire.producer(request_timeout_ms=50) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait("out", b"first", partition=0)
            wire.lead("out", 0, NOBODY)
            with pytest.raises(LeaderNotAvailableError):
                await producer.send_and_wait("out", b"expires", partition=0)
            wire.lead("out", 0, NODE)
            try:
                await producer.send_and_wait("out", b"after", partition=0)
                await producer.abort_transaction()
            except KafkaError:
                pytest.fail(mended("E"))
        assert wire.sequences(OUT) == [0, 2], mended("E")

    asyncio.run(run())


def test_f_an_end_of_transaction_is_repeated_in_silence() -> None:
    """A late first one ends the next transaction: a producer with a disturbed request is dirty, and not used again."""

    async def run() -> None:
        wire = Wire({"out": [NODE]})
        failures = [RequestTimedOutError()]

        def lose_the_first() -> None:
            if failures:
                raise failures.pop()

        wire.before["EndTxnRequest"] = lose_the_first
        async with wire.producer(retry_backoff_ms=5) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait("out", b"value", partition=0)
            try:
                await producer.commit_transaction()
                await producer.begin_transaction()
                await producer.abort_transaction()
            except KafkaError:
                pytest.fail(mended("F"))
        ends = [(one._producer_id, one._producer_epoch, one._transaction_result) for one in wire.of("EndTxnRequest")]
        assert ends == [(PRODUCER_ID, EPOCH, 1)] * 2, mended("F")

    asyncio.run(run())


@pytest.mark.parametrize("how", ["exception", "cancellation"])
def test_g_a_consumer_once_disturbed_never_looks_idle(how: str) -> None:
    """So no broker evicts a worker that hangs: the engine has a watchdog of its own."""

    async def run() -> None:
        wire = Wire({"out": [NODE]})
        if how == "exception":
            wire.stored[OUT] = damaged(batch(b"x"))
        async with wire.consumer(OUT) as consumer:
            assert await idle(consumer) > 0
            if how == "exception":
                with pytest.raises(CorruptRecordException):
                    await consumer.getmany(timeout_ms=1000)
            else:
                waits = asyncio.create_task(consumer.getone())
                await asyncio.sleep(0.01)
                waits.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waits
            assert await idle(consumer) == 0, mended("G")
            wire.stored[OUT] = batch(b"x")
            consumer.seek(OUT, 0)
            with contextlib.suppress(CorruptRecordException):  # fetched ahead
                assert await consumer.getmany(timeout_ms=1000)
            assert await idle(consumer) == 0, mended("G")

    async def idle(consumer: AIOKafkaConsumer) -> float:
        await asyncio.sleep(0.01)
        return float(consumer._subscription.fetcher_idle_time)

    asyncio.run(run())


def test_p_an_empty_control_batch_is_read_past() -> None:
    """Compaction leaves such of an abort marker in users' topics; aiokafka by itself would stand before it for ever."""
    assert "Control batch did not contain any records" in inspect.getsource(PartitionRecords), mended("P")
    assert PartitionRecords._contains_abort_marker is loop._ends_an_aborted_one

    async def run() -> None:
        wire = Wire({"out": [NODE]})
        wire.stored[OUT] = empty_control_batch(0) + batch(b"compacted away", b"behind it")
        async with wire.consumer(OUT) as consumer:
            with pytest.raises(KafkaError, match="Control batch did not contain any records"):
                loop._contains_abort_marker(None, iter(()))
            found = await consumer.getmany(timeout_ms=1000)
            assert [one.value for one in found[OUT]] == [b"behind it"]

    asyncio.run(run())


def test_the_back_off_between_transactions_is_the_constant_that_we_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up when it is used, holds for the first partitions of a transaction only, and is 20 ms."""
    gone = "aiokafka changed its back-off between transactions: look at what stream_ml/engines/kafka lowers"
    assert "\nBACKOFF_OVERRIDE = 0.02 " in inspect.getsource(sender), gone  # here it may be lowered already
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", 0.02)
    refused = SimpleNamespace(errors=[("out", [(0, ConcurrentTransactions.errno)])])

    async def run() -> tuple[float | None, float | None]:
        async with Wire({"out": [NODE]}).producer() as producer:
            await producer.begin_transaction()
            handler = sender.AddPartitionsToTxnHandler(producer._sender, {OUT})
            first = handler.handle_response(refused)
            producer._txn_manager._txn_partitions.add(OTHER)
            later = handler.handle_response(refused)
            producer._txn_manager._txn_partitions.clear()
            await producer.abort_transaction()
            return first, later

    assert asyncio.run(run()) == (0.02, 0.1), gone
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", 0.001)
    assert asyncio.run(run()) == (0.001, 0.1), gone


def test_a_on_a_broker_a_transaction_commits_without_what_was_too_large(broker: Broker, prefix: str) -> None:
    small, kept, group = prefix + "small", prefix + "kept", prefix + "group"

    async def run() -> None:
        await make(broker.address, small, max_message_bytes="1000")
        await make(broker.address, kept)
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id=prefix + "id")
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        try:
            await producer.start()
            await admin.start()
            end = time.monotonic() + 20
            await producer.begin_transaction()
            lost = await producer.send(small, bytes(2000), partition=0)
            await producer.send_and_wait(kept, b"kept", partition=0)
            at = TopicPartition(kept, 0)
            await producer.send_offsets_to_transaction({at: 101}, group)
            try:
                await producer.commit_transaction()
            except KafkaError:
                pytest.fail(mended("A"))
            with pytest.raises(MessageSizeTooLargeError):
                await lost
            committed = await admin.list_consumer_group_offsets(group)
            while at not in committed and time.monotonic() < end:  # its marker is written after the answer
                await asyncio.sleep(0.02)
                committed = await admin.list_consumer_group_offsets(group)
            assert committed[at].offset == 101, mended("A")
        finally:
            await admin.close()
            await producer.stop()

    asyncio.run(run())
    assert read(broker.address, kept) == [b"kept"]
    assert read(broker.address, small) == []


def test_c_on_a_broker_records_go_with_what_a_deserializer_raises(broker: Broker, prefix: str) -> None:
    topic = prefix + "in"
    good, bad = TopicPartition(topic, 0), TopicPartition(topic, 1)

    def deserializer(value: bytes) -> bytes:
        if value == b"poison":
            raise ValueError(value)
        return value

    async def fetched(consumer: AIOKafkaConsumer, *partitions: TopicPartition) -> None:
        end = time.monotonic() + 20
        while not set(partitions) <= set(consumer._fetcher._records):
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    async def run() -> None:
        await make(broker.address, topic, 2)
        producer = AIOKafkaProducer(bootstrap_servers=broker.address)
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.address, value_deserializer=deserializer)
        try:
            await producer.start()
            await consumer.start()
            consumer.assign([good, bad])
            consumer.seek(good, 0)
            consumer.seek(bad, 0)
            for value in (b"a", b"b", b"c"):
                await producer.send_and_wait(topic, value, partition=0)
            await fetched(consumer, good)
            await producer.send_and_wait(topic, b"poison", partition=1)
            await fetched(consumer, good, bad)
            first = await consumer.position(good)
            try:
                await consumer.getmany()
            except ValueError:
                assert await consumer.position(good) > first, mended("C")
            else:
                pytest.fail(mended("C"))
            consumer.seek(good, 0)
            found = await consumer.getmany(good, timeout_ms=10_000)
            assert [record.value for record in found[good]][:1] == [b"a"]
        finally:
            await consumer.stop()
            await producer.stop()

    asyncio.run(run())
