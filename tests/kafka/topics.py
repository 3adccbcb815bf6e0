"""Topics of a real broker: made with aiokafka, read with librdkafka, which shares no code with what the engine uses."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

Isolation = Literal["read_committed", "read_uncommitted"]


async def make(address: str, topic: str, partitions: int = 1, *, copies: int = 1, **settings: str) -> None:
    """Make a topic; dots in the names of `settings` are written as underscores."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        configs = {name.replace("_", "."): value for name, value in settings.items()}
        wanted = NewTopic(topic, partitions, copies, topic_configs=configs)
        answer = await admin.create_topics([wanted], timeout_ms=30_000)
        assert [error[:2] for error in answer.topic_errors] == [(topic, 0)], answer
    finally:
        await admin.close()


def read(
    address: str, topic: str, partition: int = 0, *, isolation: Isolation = "read_committed", seconds: float = 30.0
) -> list[bytes]:
    """Return the values of a partition, from its beginning to what is its end now.

    A transaction is committed before its markers are written: a reader of what is committed waits for those that are
    open at the start, or fails after `seconds`.
    """
    place = TopicPartition(topic, partition)
    with _reading(address, "read_uncommitted") as any_reader:
        _, high = any_reader.get_watermark_offsets(place, timeout=seconds)
    values: list[bytes] = []
    end = time.monotonic() + seconds
    with _reading(address, isolation) as consumer:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        while time.monotonic() < end:
            message = consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                values.append(message.value() or b"")
            elif error.name() != "_PARTITION_EOF":
                raise AssertionError(error)
            elif (message.offset() or 0) >= high:
                return values
    told = f"{topic}/{partition} was not read to its end at {high} within {seconds:g} s: {len(values)} values"
    raise AssertionError(told)


@contextlib.contextmanager
def _reading(address: str, isolation: Isolation) -> Iterator[Consumer]:
    settings = {"group.id": "not-ours", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": address, "isolation.level": isolation, **settings})
    try:
        yield consumer
    finally:
        consumer.close()
