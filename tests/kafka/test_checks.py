"""Records stand in the partition of their key, and their key is that of their event; a worker refuses others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from confluent_kafka import Producer

import stream_ml
from stream_ml.config.kafka import KafkaSettings
from stream_ml.config.settings import Settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.checks import FIRST, KeyCheck, key_checks, partition_for
from stream_ml.engines.kafka.sources import Sources
from stream_ml.engines.kafka.worker import Worker
from stream_ml.errors import UsageError
from stream_ml.plan.bundle import compile_plan
from tests.kafka.named import named
from tests.kafka.topics import make

TWO = KafkaSettings(partitions=2, session_timeout_ms=6_000, heartbeat_interval_ms=500)


@dataclass
class One:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0


def right(partition: int, partitions: int = 4) -> bytes:
    return next(key for key in (b"c%d" % n for n in range(100)) if partition_for(key, partitions) == partition)


def payment(card: bytes) -> bytes:
    return b'{"payment":"p1","card":"%s","terminal":"t1","amount":1.5,"at":"2026-01-05T09:00:00Z"}' % card


def test_a_record_where_it_belongs_passes_and_unreadable_ones_are_left_to_dead_letters() -> None:
    check = KeyCheck(TopicPartition("payments", 1), ("card",), 4)
    key = right(1)
    unreadable = [One(1, None, b"no json"), One(2, b"x", b'{"card":null}'), One(3, b"", None)]
    check.fetched([One(0, key, payment(key)), *unreadable])
    numbers = KeyCheck(TopicPartition("t", partition_for(b"12", 4)), ("n",), 4)
    numbers.fetched([One(0, b"12", b'{"n": 12}'), One(1, b"12", b'{"n": "12"}')])
    both = KeyCheck(TopicPartition("t", partition_for(b'["a",1]', 4)), ("card", "n"), 4)
    both.fetched([One(0, b'["a",1]', b'{"n": 1, "card": "a"}')])


def test_a_wrong_key_and_a_wrong_partition_are_told_apart_with_their_cures() -> None:
    check = KeyCheck(TopicPartition("payments", 1), ("card",), 4)
    with pytest.raises(UsageError) as refused:
        check.fetched([One(7, b"p1", payment(b"c1"))])
    assert str(refused.value).startswith(
        'payments/1 offset 7 has the key "p1", and its event\'s key is "c1". Produce with the text of card as key'
    )
    with pytest.raises(UsageError, match='has the key none, and its event\'s key is "c1"'):
        check.check(One(8, None, payment(b"c1")))
    key = right(2)
    with pytest.raises(UsageError, match=r"which belongs to partition 2 of 4\. Produce with murmur2, .*murmur2_random"):
        check.check(One(9, key, payment(key)))


def test_the_first_records_are_checked_then_one_of_each_fetch() -> None:
    key, wrong = right(1), right(2)
    good, bad = One(0, key, payment(key)), One(1, wrong, payment(wrong))
    check = KeyCheck(TopicPartition("payments", 1), ("card",), 4)
    with pytest.raises(UsageError):
        check.fetched([*[good] * (FIRST - 1), bad])
    check = KeyCheck(TopicPartition("payments", 1), ("card",), 4)
    check.fetched([good] * FIRST)
    check.fetched([good, bad])
    with pytest.raises(UsageError):
        check.fetched([bad, good])


def test_labels_are_keyed_like_their_events_and_one_partition_needs_no_check(tmp_path: Path) -> None:
    pipeline, _ = named("cards", "x-", tmp_path)
    plan = compile_plan(pipeline)
    sources = [TopicPartition("x-payments", 1), TopicPartition("x-chargebacks", 1)]
    made = key_checks(plan, sources, {"x-payments": 2, "x-chargebacks": 2})
    assert {tp.topic: check.fields for tp, check in made.items()} == {
        "x-payments": ("card",), "x-chargebacks": ("card",)
    }  # fmt: skip
    assert key_checks(plan, sources, {"x-payments": 1, "x-chargebacks": 1}) == {}


def test_librdkafkas_default_partitioner_is_caught_by_a_source(broker: Broker, prefix: str) -> None:
    """The trap: librdkafka's default is CRC32; with the same keys its labels would not meet their events."""

    async def whole(name: str) -> None:
        sources = [TopicPartition(name, number) for number in range(4)]
        checks = {tp: KeyCheck(tp, ("card",), 4) for tp in sources}
        reader = Sources(KafkaSettings().client(broker.address), KafkaSettings(), dict.fromkeys(sources, 0), checks)
        await reader.start()
        try:
            await reader.open({f"{name}/{number}": 0 for number in range(4)})
            found = 0
            while found < 200:
                found += await reader.fill(1.0)
        finally:
            await reader.close()

    for partitioner in ("consistent_random", "murmur2_random"):
        name = f"{prefix}{partitioner}"
        asyncio.run(make(broker.address, name, 4))
        producer = Producer({"bootstrap.servers": broker.address, "partitioner": partitioner})
        for n in range(200):
            producer.produce(name, payment(b"c%d" % n), b"c%d" % n)
        assert producer.flush(30) == 0
    asyncio.run(whole(f"{prefix}murmur2_random"))
    with pytest.raises(UsageError, match="murmur2_random"):
        asyncio.run(whole(f"{prefix}consistent_random"))


def test_a_worker_ends_with_topic_offset_and_cure(broker: Broker, prefix: str, tmp_path: Path) -> None:
    pipeline, _ = named("cards", prefix, tmp_path)
    asyncio.run(make(broker.address, f"{prefix}payments", 2))
    with stream_ml.connect(f"kafka://{broker.address}") as log:
        log.produce(f"{prefix}payments", [payment(b"c%d" % n) for n in range(30)], key="payment")
    worker = Worker(pipeline, broker.address, Settings(), TWO, print)
    with pytest.raises(UsageError, match=r'payments/\d offset 0 has the key "p1", and its event'):
        asyncio.run(worker.run(until_end=True))
    unchecked = Worker(pipeline, broker.address, Settings(), TWO.model_copy(update={"check_keys": False}), print)
    asyncio.run(unchecked.run(until_end=True))
