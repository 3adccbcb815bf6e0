"""Sources that were compacted, trimmed or written by producers that place keys elsewhere: read right, or refused."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaError
from confluent_kafka import Producer

from stream_ml.client import loop
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.checks import partition_for
from stream_ml.engines.kafka.topics import names
from stream_ml.errors import Exit
from tests.kafka.failpoints import Failpoint
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, Sent, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payment, payments, sent
from tests.kafka.test_engine import make_topics
from tests.kafka.test_faults_slow import line
from tests.kafka.test_faults_topics import SELDOM, end
from tests.kafka.topics import make
from tests.kafka.workers import Nursery

#: A topic whose old segments are compacted as soon as there is a new one, and marks with them.
COMPACTED: dict[str, Any] = {
    "cleanup_policy": "compact", "segment_ms": "50", "min_cleanable_dirty_ratio": "0", "delete_retention_ms": "1",
    "message_timestamp_type": "LogAppendTime",
}  # fmt: skip


async def held(address: str, topic: str) -> list[int]:
    """Return the offsets of the committed records that partition 0 still holds."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, isolation_level="read_committed")
    await consumer.start()
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    consumer.seek(tp, 0)
    found: list[int] = []
    last = (await consumer.end_offsets([tp]))[tp]
    try:
        while await consumer.position(tp) < last:
            found += [one.offset for one in (await consumer.getmany(tp, timeout_ms=200)).get(tp, ())]
    finally:
        await consumer.stop()
    return found


async def cleaned(address: str, prefix: str, wanted: Callable[[], Awaitable[bool]]) -> None:
    """Append records, each of which may begin a segment, until the broker's cleaner has done what is wanted."""
    for number in range(10_000, 10_200):
        await send(address, [sent(f"{prefix}payments", payment(number, "filler", 1_767_225_600_000))])
        await asyncio.sleep(0.1)
        if await wanted():
            return
    pytest.fail("the cleaner did not come")


async def altered(address: str, topic: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
    await admin.close()


def librdkafka(address: str, partitioner: str, records: Sequence[Sent]) -> None:
    """Produce as programs over librdkafka do."""
    producer = Producer({"bootstrap.servers": address, "partitioner": partitioner})
    for topic, _, _, key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(30) == 0


def misplaced(seen: Seen, topic: str, partitions: int) -> int:
    """Count records that stand in another partition than murmur2 puts their key."""
    return sum(
        partition_for(record.key or b"", partitions) != tp.partition
        for tp, records in seen.records.items() if tp.topic == topic for record in records
    )  # fmt: skip


def test_42_labels_of_another_partitioner_are_refused(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """Events placed by murmur2, labels by librdkafka's default: they would never meet, and nothing would fail."""
    pipeline, file = named("cards", prefix, tmp_path)
    events, labels = f"{prefix}payments", f"{prefix}chargebacks"

    async def scenario() -> tuple[Seen, str]:
        await make_topics(broker, pipeline, partitions=2)
        made = payments(prefix, 42, 200)
        async with reader(broker.address, topics_of(pipeline, 2, inputs(prefix, 2))) as seen:
            librdkafka(broker.address, "murmur2_random", [one for one in made if one[0] == events])
            librdkafka(broker.address, "consistent_random", [one for one in made if one[0] == labels])
            worker = nursery.start(file, broker.address, "--until-end")
            assert await worker.ended() == Exit.USER, worker.told
        return seen, worker.told

    seen, told = asyncio.run(scenario())
    assert misplaced(seen, labels, 2) > 20
    assert misplaced(seen, events, 2) == 0
    refused = next(one for one in told.splitlines() if one.startswith("stream-ml: "))
    assert re.search(rf"{re.escape(labels)}/\d offset \d+ has the key .* belongs to partition \d of 2", refused)
    assert "librdkafka partitioner=murmur2_random" in refused


@pytest.mark.faults
def test_44_down_longer_than_the_sources_retention(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """What came and went while no worker ran is named, with the cure; and the cure cures."""
    pipeline, file = named("cards", prefix, tmp_path)
    source = TopicPartition(f"{prefix}payments", 0)

    async def scenario() -> tuple[int, int, str]:
        await make_topics(broker, pipeline)
        await send(broker.address, payments(prefix, 1, 100))
        first = nursery.start(file, broker.address, "--until-end")
        assert await first.ended() == 0, first.told
        fed = await end_of(broker.address, source)
        await send(broker.address, payments(prefix, 2, 100, 100))
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        await admin.start()
        gone = await end(admin, source.topic) - 30
        await admin.delete_records({source: RecordsToDelete(gone)})
        before = await end(admin, names(pipeline.name)["predictions"])
        again = nursery.start(file, broker.address, "--until-end")
        assert await again.ended() == Exit.CORRUPT, again.told
        assert await end(admin, names(pipeline.name)["predictions"]) == before
        await admin.close()
        return fed, gone, again.told

    async def cure() -> None:
        folder = tmp_path / "anew"
        folder.mkdir()
        text = file.read_text(encoding="utf-8").replace(f'"{pipeline.name}"', f'"{pipeline.name}-anew"')
        (folder / "anew.py").write_text(text, encoding="utf-8")
        anew = nursery.start(folder / "anew.py", broker.address, "--until-end")
        assert await anew.ended() == 0, anew.told
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        await admin.start()
        assert await end(admin, names(f"{pipeline.name}-anew")["predictions"]) > 20
        await admin.close()

    fed, gone, told = asyncio.run(scenario())
    assert f"Kafka no longer holds what comes next: {source.topic}/0 from {fed} to {gone - 1}. " in told
    assert "Keep the topics longer than the longest outage; to go on without these records, start anew under" in told
    asyncio.run(cure())


async def end_of(address: str, tp: TopicPartition) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=address)
    await consumer.start()
    found: int = (await consumer.end_offsets([tp]))[tp]
    await consumer.stop()
    return found


@pytest.mark.faults
def test_40_a_compacted_source_that_no_longer_holds_what_was_fed(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """What recovery feeds again is compared with what was fed: half of it is refused, never fed."""
    pipeline, file = named("cards", prefix, tmp_path)
    topic = f"{prefix}payments"

    async def scenario() -> tuple[int, int, str]:
        await make_topics(broker, pipeline)
        await send(broker.address, payments(prefix, 40, 300))
        task = (Failpoint.END, f"{pipeline.name}.0", 4, signal.SIGKILL)
        first = nursery.start(file, broker.address, "--until-end", env=SELDOM, failpoint=task)
        assert await first.ended() == -signal.SIGKILL, first.told
        whole = len(await held(broker.address, topic))
        await altered(broker.address, topic, {name.replace("_", "."): value for name, value in COMPACTED.items()})

        async def smaller() -> bool:
            return len(await held(broker.address, topic)) < whole / 2

        await cleaned(broker.address, prefix, smaller)
        predictions = names(pipeline.name)["predictions"]
        before = await held(broker.address, predictions)
        again = nursery.start(file, broker.address, "--until-end", env=SELDOM)
        assert await again.ended() == Exit.CORRUPT, again.told
        assert await held(broker.address, predictions) == before
        return whole, len(await held(broker.address, topic)), again.told

    whole, left, told = asyncio.run(scenario())
    assert left < whole / 2
    assert f"{topic}/0 no longer holds what was fed: records 0 to " in told


@pytest.mark.faults
def test_41_a_mark_that_compaction_emptied_is_read_past(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """A user's producer wrote a compacted topic in transactions: of their marks empty batches stay behind."""
    pipeline, file = named("cards", prefix, tmp_path)
    topic = f"{prefix}payments"

    async def stands(address: str) -> bool:
        """Tell whether aiokafka by itself would stand before an empty mark."""
        bent = PartitionRecords._contains_abort_marker
        PartitionRecords._contains_abort_marker = loop._contains_abort_marker
        try:
            await held(address, topic)
        except KafkaError as error:
            assert "Control batch did not contain any records" in str(error)  # noqa: PT017
            return True
        finally:
            PartitionRecords._contains_abort_marker = bent
        return False

    async def scenario() -> Seen:
        await make(broker.address, topic, **COMPACTED)
        await make_topics(broker, pipeline)
        for turn in range(4):  # each fences the one before, whose transaction the brokers end with a mark of their own
            producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id=f"{prefix}users")
            await producer.start()
            await producer.begin_transaction()
            for _, _, _, key, value in payments(prefix, 41, 20, turn * 20):
                await producer.send_and_wait(topic, value, key)
            await (producer.client.close() if turn % 2 else producer.commit_transaction())
            await producer.stop()
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id=f"{prefix}users")
        await producer.start()
        await producer.stop()
        await cleaned(broker.address, prefix, lambda: stands(broker.address))
        await altered(broker.address, topic, {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"})
        async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
            worker = nursery.start(file, broker.address, "--until-end")
            assert await worker.ended() == 0, worker.told
        assert await stands(broker.address)
        return seen

    seen = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    assert seen.count(names(pipeline.name)["predictions"]) > 5
    line(41, "a compacted source with empty transaction marks", pipeline, 1, seen)
