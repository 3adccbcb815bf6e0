"""Transactions that begin before their turn: they cost nobody anything, whatever becomes of the turn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from stream_ml.config.settings import Settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.client import FencedError
from stream_ml.engines.kafka.job import Shared
from stream_ml.engines.kafka.jobs import ScorerJob
from stream_ml.engines.kafka.snapshots import Pieces
from stream_ml.engines.kafka.sources import Sources
from stream_ml.engines.kafka.task import Task
from stream_ml.engines.kafka.topics import names
from stream_ml.engines.kafka.writer import Part, Writer
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, entries_of, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payments
from tests.kafka.test_engine import QUICK, make_topics
from tests.kafka.workers import until


def test_begun_early(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """A turn goes into the transaction begun for it; without a turn it is aborted, and the next owner fences it."""
    pipeline, _ = named("cards", prefix, tmp_path)
    journal, dead = (TopicPartition(names(pipeline.name)[kind], 0) for kind in ("journal", "dead"))

    def writer() -> Writer:
        return Writer(QUICK.client(broker.address), f"{pipeline.name}.0", 10.0, 10_000, None)

    async def scenario() -> Seen:
        await make_topics(broker, pipeline)
        async with reader(broker.address, {journal.topic: 1}) as seen:
            first, second, third = writer(), writer(), writer()
            await first.open()
            for number in (b"1", b"2"):
                await first.begin({journal, dead})
                await first.begin({journal, dead})
                assert first.began_s > 0
                await first.commit([Part(journal, [None], [number])])
                assert first.began_s == 0
            await first.begin({journal})
            await first.close()
            await second.open()
            await second.commit([Part(journal, [None], [b"3"])])
            await second.begin({journal})
            await third.open()
            with pytest.raises(FencedError):
                await second.commit([Part(journal, [None], [b"forked"])])
            await third.commit([Part(journal, [None], [b"4"])])
            for one in (second, third):
                await one.close()
        return seen

    assert asyncio.run(scenario()).values(journal.topic, 0) == [b"1", b"2", b"3", b"4"]


def test_records_that_are_held_back_do_not_hold_a_transaction_open(
    broker: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that was begun for them ends with an empty turn, long before the brokers would abort it."""
    pipeline, _ = named("cards", prefix, tmp_path)
    streams = [(f"{prefix}payments", "event", 1), (f"{prefix}chargebacks", "label", 1)]
    kafka = QUICK.model_copy(update={"transaction_timeout_ms": 3_000})
    client = kafka.client(broker.address)
    take, begin, given, begun = Sources.take, Writer.begin, [0], [0]

    def reluctant(sources: Sources, limit: int) -> Any:
        """Give nothing once a transaction was begun for what waits, until two turns without records are written."""
        return [] if begun[0] and given[0] < 2 else take(sources, limit)

    async def counted(writer: Writer, to: Any) -> None:
        await begin(writer, to)
        begun[0] += 1

    monkeypatch.setattr(Sources, "take", reluctant)
    monkeypatch.setattr(Writer, "begin", counted)

    async def scenario() -> Seen:
        await make_topics(broker, pipeline)
        pieces = Pieces(client, kafka)
        await pieces.start()
        task = Task(ScorerJob(pipeline, 0, streams, None), Shared(client, kafka, Settings(), pieces, print), print)
        try:
            async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
                running = asyncio.create_task(task.run())
                await until(lambda: entries_of(pipeline, 0, seen), "the first entry")
                await send(broker.address, payments(prefix, 1, 100))
                await until(lambda: sum(not entry.fed for entry in entries_of(pipeline, 0, seen)) > 1, "empty turns")
                given[0] = 2
                await until(lambda: seen.count(names(pipeline.name)["predictions"]) == 100, "the predictions")
                task.stop()
                await running
        finally:
            await pieces.close()
        return seen

    seen = asyncio.run(scenario())
    assert begun[0] > 0
    judge(pipeline, 1, seen)
