"""The run that never stopped, on Kafka: what a reader saw, against sessions fed as the journal says.

A reader that shares nothing with the worker follows every topic of the pipeline from the start, so entries that the
worker drops later were seen. Sessions are then fed the runs and ticks of the journal, and must put out the same bytes.
"""

from __future__ import annotations

import asyncio
import json
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
from stream_ml.sessions.learning import LearnerSession
from stream_ml.sessions.session import Session
from stream_ml.sessions.versions import ModelVersion

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
async def reader(
    address: str, topics: Mapping[str, int], isolation: str = "read_committed"
) -> AsyncIterator[Seen]:
    """Follow partitions from their beginning; at the end everything that is committed by then was seen."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level=isolation, group_id=None, enable_auto_commit=False
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


def never_stopped(
    pipeline: Pipeline, partition: int, seen: Seen, versions: Mapping[tuple[str, int], ModelVersion] | None = None
) -> Session:
    """Feed a session what a task's journal says, and compare every output byte for byte; returns the session.

    Parameters
    ----------
    versions
        Of the model, where a learner taught it: each turn is answered again by the version that its entry names.
    """
    session = Session(pipeline, partition=partition, learning="inline" if versions is None else "shared")
    out: dict[str, list[bytes]] = defaultdict(list)
    for entry in entries_of(pipeline, partition, seen):
        if versions is not None:
            assert entry.served is not None
            named = (entry.served.lineage, entry.served.count)
            assert named[1] >= session.version[1], "never an older version"
            if named != session.version:
                assert session.take_up(versions[named])
        turn = session.feed([run_of(seen, fed) for fed in entry.fed], entry.tick, entry.skipped)
        assert read_entry(turn.entry) == entry
        for one in turn.out:
            out[one.topic] += one.values
    assert_written(pipeline, partition, seen, out, OUTPUTS)
    return session


def learned(
    pipeline: Pipeline, partitions: int, seen: Seen, *, allow_pickle: bool = False
) -> tuple[LearnerSession, dict[Any, ModelVersion]]:
    """Feed a learner what its journal says and compare what it wrote; returns it with every version it ever had."""
    session = LearnerSession(pipeline, allow_pickle=allow_pickle)
    out: dict[str, list[bytes]] = defaultdict(list)
    versions: dict[Any, ModelVersion] = {}
    for entry in entries_of(pipeline, partitions, seen):
        turn = session.feed([run_of(seen, fed) for fed in entry.fed], entry.skipped)
        assert read_entry(turn.entry) == entry
        for one in turn.out:
            out[one.topic] += one.values
        assert session.learner.model is not None
        arrays = {name: array.copy() for name, array in session.learner.model.serving().items()}
        versions[session.version] = ModelVersion(*session.version, arrays)
    assert_written(pipeline, partitions, seen, out, ("dead", "alarms", "metrics"))
    return session, versions


def assert_written(
    pipeline: Pipeline, partition: int, seen: Seen, out: Mapping[str, list[bytes]], kinds: Sequence[str]
) -> None:
    for kind in kinds:
        topic = names(pipeline.name)[kind]
        assert seen.values(topic, partition) == out[topic], f"{topic}/{partition}"


def assert_one_writer(pipeline: Pipeline, partition: int, seen: Seen) -> int:
    """Require that no two producers' turns interleave in a task's partitions; returns how many producers there were."""
    writers: set[str] = set()
    for kind in (*OUTPUTS, LOGS[0]):
        order: list[str] = []
        for record in seen.records[TopicPartition(names(pipeline.name)[kind], partition)]:
            told = dict(record.headers)["stream_ml"].decode().rpartition("/")[0]
            if not order or order[-1] != told:
                order.append(told)
        assert len(order) == len(set(order)), f"{kind}/{partition}: {order}"
        writers.update(order)
    return len(writers)


def judge(pipeline: Pipeline, partitions: int, seen: Seen, *, allow_pickle: bool = False) -> list[Session]:
    """Hold all that was seen against the run that never stopped: nothing lost, nothing twice; returns its sessions."""
    versions = None
    if partitions > 1:
        learner, versions = learned(pipeline, partitions, seen, allow_pickle=allow_pickle)
        examples = names(pipeline.name)["examples"]
        assert learner.examples + sum(learner.dead.values()) == seen.count(examples)
        assert_one_writer(pipeline, partitions, seen)
    sessions = [never_stopped(pipeline, number, seen, versions) for number in range(partitions)]
    predicted = [
        json.loads(raw)["prediction_id"]
        for number in range(partitions)
        for raw in seen.values(names(pipeline.name)["predictions"], number)
    ]
    assert len(predicted) == len(set(predicted))
    for number, session in enumerate(sessions):
        assert_one_writer(pipeline, number, seen)
        assert_accounted(session, number, seen)
    return sessions


def assert_accounted(session: Session, partition: int, seen: Seen) -> None:
    """Require that every record was fed, and that every event is predicted, not asked, dead or a duplicate."""
    for topic in session.topics:
        records = seen.records[TopicPartition(topic, partition)]
        fed = session.positions[f"{topic}/{partition}"]
        assert not records or fed > records[-1].offset, f"{topic}/{partition} was read to {fed}"
    stats = session.stats
    events = session.topics[0]
    letters = map(json.loads, seen.values(f"{session.plan.name}.dead", partition))
    dead = sum(letter["topic"] == events for letter in letters)
    told = stats["predicted"] + stats["not_asked"] + stats["duplicate"] + dead
    assert told == len(seen.values(events, partition)), stats
    assert stats["predicted"] == len(seen.values(names(session.plan.name)["predictions"], partition))
