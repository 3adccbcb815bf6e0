"""Journals that end in nothing, topics that were deleted, trimmed or made anew: read right, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import names
from stream_ml.errors import Exit
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payments
from tests.kafka.test_engine import make_topics
from tests.kafka.workers import Nursery

#: A snapshot in every few turns.
OFTEN = {"STREAM_ML_SNAPSHOT_SECONDS": "0.005", "STREAM_ML_BATCH": "16"}
SELDOM = {"STREAM_ML_SNAPSHOT_SECONDS": "3600"}


def test_33_a_journal_that_ends_in_markers(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """What follows the last entry are aborted records and markers only, more of them than are read at once."""
    pipeline, file = named("cards", prefix, tmp_path)
    journal = names(pipeline.name)["journal"]

    async def abort(count: int) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id=f"{prefix}foreign")
        await producer.start()
        for _ in range(count):
            await producer.begin_transaction()
            await producer.send_and_wait(journal, b"aborted" * 100, partition=0)
            await producer.abort_transaction()
        await producer.stop()

    async def scenario() -> tuple[Seen, str]:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
            for number in range(2):
                await abort(25)
                await send(broker.address, payments(prefix, number, 100, number * 100))
                worker = nursery.start(file, broker.address, "--until-end")
                assert await worker.ended() == 0, worker.told
            return seen, worker.told

    seen, told = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    assert "recovered from the snapshot" in told
    places = [one.offset for one in seen.records[TopicPartition(journal, 0)]]
    assert max(after - before for before, after in pairwise(places)) > 50


Harm = Callable[[str, AIOKafkaAdminClient, dict[str, str]], Awaitable[None]]


async def trim_journal(prefix: str, admin: AIOKafkaAdminClient, own: dict[str, str]) -> None:
    last = await end(admin, own["journal"]) - 2
    await admin.delete_records({TopicPartition(own["journal"], 0): RecordsToDelete(last)})


async def empty_journal(prefix: str, admin: AIOKafkaAdminClient, own: dict[str, str]) -> None:
    await admin.delete_records({TopicPartition(own["journal"], 0): RecordsToDelete(-1)})


async def delete_journal(prefix: str, admin: AIOKafkaAdminClient, own: dict[str, str]) -> None:
    await gone(admin, own["journal"])


async def delete_state(prefix: str, admin: AIOKafkaAdminClient, own: dict[str, str]) -> None:
    await gone(admin, own["state"])


async def delete_both(prefix: str, admin: AIOKafkaAdminClient, own: dict[str, str]) -> None:
    await gone(admin, own["journal"])
    await gone(admin, own["state"])


async def empty_state(prefix: str, admin: AIOKafkaAdminClient, own: dict[str, str]) -> None:
    await admin.delete_records({TopicPartition(own["state"], 0): RecordsToDelete(-1)})


async def source_anew(prefix: str, admin: AIOKafkaAdminClient, own: dict[str, str]) -> None:
    await gone(admin, f"{prefix}payments")


async def end(admin: AIOKafkaAdminClient, topic: str) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=admin._client._bootstrap_servers)
    await consumer.start()
    found: int = (await consumer.end_offsets([TopicPartition(topic, 0)]))[TopicPartition(topic, 0)]
    await consumer.stop()
    return found


async def gone(admin: AIOKafkaAdminClient, topic: str) -> None:
    await admin.delete_topics([topic])
    while topic in await admin.list_topics():
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("harm", "snapshots", "says"),
    [
        (trim_journal, SELDOM, "begins at"),
        (empty_journal, OFTEN, "the journal was deleted"),
        (delete_journal, OFTEN, "the journal was deleted"),
        (delete_journal, SELDOM, "the journal was deleted"),
        (delete_both, OFTEN, "the journal was deleted"),
        (delete_state, OFTEN, "no longer holds the snapshot"),
        (empty_state, OFTEN, "no longer holds the snapshot"),
        (source_anew, OFTEN, "made anew"),
    ],
)
def test_33_and_43_what_recovery_needs_is_gone(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery, harm: Harm, snapshots: dict[str, str], says: str
) -> None:
    """The worker ends at once, says what is missing and what to do, and writes nothing."""
    pipeline, file = named("cards", prefix, tmp_path)
    own = names(pipeline.name)

    async def scenario() -> str:
        await make_topics(broker, pipeline)
        await send(broker.address, payments(prefix, 43, 200))
        first = nursery.start(file, broker.address, "--until-end", env=snapshots)
        assert await first.ended() == 0, first.told
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        await admin.start()
        try:
            await harm(prefix, admin, own)
            before = await end(admin, own["predictions"])
            again = nursery.start(file, broker.address, "--until-end", env=snapshots)
            assert await again.ended() == Exit.CORRUPT, again.told
            assert await end(admin, own["predictions"]) == before
        finally:
            await admin.close()
        return again.told

    told = asyncio.run(scenario())
    assert says in told
    assert "under another pipeline name" in told or "with another pipeline name" in told


