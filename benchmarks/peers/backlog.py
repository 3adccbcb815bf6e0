"""The backlog: the cards stream in Kafka as if it had come live, each record's time stamp the time it was received."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.command import scratch
from stream_ml.bench.copies import copied, topic_of, write_copy
from stream_ml.bench.stand import Stand, delete_topics, make_topics
from stream_ml.demos.generate import CardsSpec, Labels, write_cards
from stream_ml.engines.kafka.checks import partition_for
from stream_ml.errors import StreamMLError

CARDS = Path(__file__).resolve().parents[2] / "stream_ml" / "demos" / "cards.py"
BATCH_BYTES = 900_000
#: Old time stamps are kept as they are, and nothing is deleted for its age.
AS_RECEIVED = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}

Record = tuple[bytes, bytes, int]


@dataclass(frozen=True, slots=True)
class Stream:
    """Records of each topic, (key, value, received) in their order, the files that hold the same, and the pipeline."""

    events: int
    files: dict[str, Path]
    records: dict[str, list[Record]]
    source: Path = CARDS

    @property
    def bytes(self) -> int:
        """Of all values."""
        return sum(len(value) for records in self.records.values() for _, value, _ in records)

    @property
    def count(self) -> int:
        """Of all records."""
        return sum(map(len, self.records.values()))


def make_stream(folder: Path, payments: int) -> Stream:
    """Make payments in order of their time, each with its label record hours to days later.

    Payments come in order: a program by hand has no notion of lateness, and its answers are compared one by one.
    """
    files = write_cards(folder, CardsSpec(payments=payments, labels=Labels.ALL, disorder=0.0, late=0.0))
    records = {}
    for topic, path in files.items():
        lines = path.read_bytes().splitlines()
        rows = [orjson.loads(line) for line in lines]
        records[topic] = [
            (row["card"].encode(), line, row["received"]) for row, line in zip(rows, lines, strict=True)
        ]
    return Stream(payments, files, records)


@contextmanager
def filled(servers: str, stream: Stream, partitions: int = 1) -> Iterator[Stand]:
    """Give a place with topics of its own that hold the stream, by key; they are deleted afterwards."""
    name = f"{stream.source.stem.replace('_', '-')}-bench-{secrets.token_hex(3)}"
    with scratch() as folder:
        pipeline = copied(str(stream.source), name)
        copy = write_copy(stream.source, name, folder)
        try:
            asyncio.run(_fill(servers, name, stream, partitions))
            asyncio.run(make_topics(servers, pipeline))
            yield Stand(stream.source, copy, name, f"kafka://{servers}", "kafka", partitions, folder, pipeline)
        finally:
            with suppress(StreamMLError):
                asyncio.run(delete_topics(servers, name))


async def _fill(servers: str, name: str, stream: Stream, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(topic_of(name, topic), partitions, 1, topic_configs=AS_RECEIVED) for topic in stream.records]
        )
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=0, max_batch_size=BATCH_BYTES)
    await producer.start()
    try:
        for topic, records in stream.records.items():
            parts: list[list[Record]] = [[] for _ in range(partitions)]
            for record in records:
                parts[partition_for(record[0], partitions)].append(record)
            for partition, part in enumerate(parts):
                await _append(producer, TopicPartition(topic_of(name, topic), partition), part)
    finally:
        await producer.stop()


async def _append(producer: AIOKafkaProducer, place: TopicPartition, records: list[Record]) -> None:
    batch, sent = producer.create_batch(), []
    for key, value, received in records:
        if batch.append(key=key, value=value, timestamp=received) is None:
            sent.append(await producer.send_batch(batch, place.topic, partition=place.partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=received)
    sent.append(await producer.send_batch(batch, place.topic, partition=place.partition))
    for told in await asyncio.gather(*sent):
        if told.timestamp_type != 0:
            message = f"{place.topic} stamps records itself"
            raise RuntimeError(message)


def read_back(servers: str, topic: str, partition: int = 0) -> tuple[list[bytes], list[int]]:
    """Return all committed values of a partition, and when each was appended, epoch ms."""
    return asyncio.run(_read(servers, TopicPartition(topic, partition)))


async def _read(servers: str, place: TopicPartition) -> tuple[list[bytes], list[int]]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=None, isolation_level="read_committed", max_partition_fetch_bytes=1 << 23
    )
    await consumer.start()
    try:
        consumer.assign([place])
        consumer.seek(place, 0)
        end = (await consumer.end_offsets([place]))[place]
        values: list[bytes] = []
        stamps: list[int] = []
        until = time.monotonic() + 60.0
        while await consumer.position(place) < end and time.monotonic() < until:
            found: dict[Any, list[Any]] = await consumer.getmany(timeout_ms=200)
            for records in found.values():
                values += [one.value for one in records]
                stamps += [one.timestamp for one in records]
    finally:
        await consumer.stop()
    return values, stamps
