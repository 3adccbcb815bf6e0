"""The run that never stopped, on Kafka: what a reader saw, against sessions fed as the journal says.

A reader that shares nothing with the worker follows every topic of the pipeline from the start, so entries that the
worker drops later were seen. Sessions are then fed the runs and ticks of the journal, and must put out the same bytes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from stream_ml.engines.kafka.topics import LOGS, OUTPUTS, names
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema.records import Run
from stream_ml.sessions.journal import Entry, Fed, read_entry
from stream_ml.sessions.session import Session

#: (topic, partition or None for the key's, timestamp ms, key, value)
Sent = tuple[str, int | None, int | None, bytes | None, bytes]


@dataclass
class Seen:
    """Committed records by partition, in order."""

    records: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = field(default_factory=lambda: defaultdict(list))

    def values(self, topic: str, partition: int) -> list[bytes]:
        return [record.value or b"" for record in self.records[TopicPartition(topic, partition)]]

    def count(self, topic: str) -> int:
        return sum(len(found) for tp, found in self.records.items() if tp.topic == topic)


@asynccontextmanager
async def reader(address: str, topics: Mapping[str, int]) -> AsyncIterator[Seen]:
    """Follow partitions from their beginning; at the end everything that is committed by then was seen."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_committed", group_id=None, enable_auto_commit=False
    )
    await consumer.start()
    partitions = [TopicPartition(topic, number) for topic, count in topics.items() for number in range(count)]
    consumer.assign(partitions)
    for tp in partitions:
        consumer.seek(tp, 0)
    seen = Seen()

    async def follow() -> None:
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                seen.records[tp] += records

    following = asyncio.create_task(follow())
    try:
        yield seen
        ends = await consumer.end_offsets(partitions)
        async with asyncio.timeout(60):
            while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
                await asyncio.sleep(0.05)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await consumer.stop()


async def send(address: str, records: Sequence[Sent]) -> None:
    """Produce records as any producer would."""
    producer = AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        futures = [
            await producer.send(topic, value, key, partition, timestamp_ms=at)
            for topic, partition, at, key, value in records
        ]
        await asyncio.gather(*futures)
    finally:
        await producer.stop()


def topics_of(pipeline: Pipeline, partitions: int, inputs: Mapping[str, int]) -> dict[str, int]:
    """Return the topics that a reader follows, with their partitions."""
    own = names(pipeline.name)
    tasks = partitions + (partitions > 1)
    return {
        **inputs,
        **{own[kind]: partitions for kind in ("predictions", "examples")},
        **{own[kind]: tasks for kind in ("dead", "alarms", "metrics", "journal")},
    }


def entries_of(pipeline: Pipeline, partition: int, seen: Seen) -> list[Entry]:
    """Return a task's entries; they number from 1 without a gap, and no record lies between two runs."""
    found = [read_entry(raw) for raw in seen.values(names(pipeline.name)[LOGS[0]], partition)]
    assert [entry.number for entry in found] == list(range(1, len(found) + 1))
    position: dict[str, int] = {}
    for entry in found:
        for fed in entry.fed:
            assert position.setdefault(fed.source, fed.first) == fed.first, f"entry {entry.number}"
            position[fed.source] = fed.end
    return found


def run_of(seen: Seen, fed: Fed) -> Run:
    """Return the records of a run as the reader saw them."""
    topic, _, number = fed.source.rpartition("/")
    records = [r for r in seen.records[TopicPartition(topic, int(number))] if fed.first <= r.offset < fed.end]
    return Run(
        fed.source, fed.first, fed.end, fed.cap, [topic] * len(records),
        np.array([r.offset for r in records], np.int64), np.array([r.timestamp for r in records], np.int64),
        [r.key for r in records], [r.value or b"" for r in records],
    )  # fmt: skip


def never_stopped(pipeline: Pipeline, partition: int, seen: Seen, **options: Any) -> Session:
    """Feed a session what a task's journal says, and compare every output byte for byte; returns the session."""
    session = Session(pipeline, partition=partition, **options)
    out: dict[str, list[bytes]] = defaultdict(list)
    for entry in entries_of(pipeline, partition, seen):
        turn = session.feed([run_of(seen, fed) for fed in entry.fed], entry.tick)
        assert read_entry(turn.entry) == entry
        for one in turn.out:
            out[one.topic] += one.values
    for kind in OUTPUTS:
        topic = names(pipeline.name)[kind]
        assert seen.values(topic, partition) == out[topic], f"{topic}/{partition}"
    return session
