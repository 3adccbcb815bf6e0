"""The engine on a real broker: the same answers as the core, whatever turns it made of the records."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from stream_ml.config.kafka import KafkaSettings
from stream_ml.config.settings import Settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka import feeding
from stream_ml.engines.kafka.topics import Admin, names
from stream_ml.engines.kafka.worker import Worker
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import compile_plan
from stream_ml.testing.canonical import records as state_of
from tests.kafka.named import named
from tests.kafka.never_stopped import Sent, never_stopped, reader, send, topics_of
from tests.streams import TICK, seeded

QUICK = KafkaSettings(session_timeout_ms=6_000, heartbeat_interval_ms=500)


async def make_topics(broker: Broker, pipeline: Pipeline, partitions: int = 1) -> None:
    kafka = QUICK.model_copy(update={"partitions": partitions})
    admin = Admin(kafka.client(broker.address), kafka)
    await admin.start()
    await admin.ready(compile_plan(pipeline))
    await admin.close()


def sent_of(pipeline: Pipeline, seed: int, size: int) -> list[Sent]:
    """Return a generated stream as records to produce; timestamps are the broker's."""
    made = seeded(pipeline, seed, size)
    return [(topic, 0, None, None, orjson.dumps(record)) for topic, _, record in made if topic != TICK]


@pytest.mark.parametrize("name", ["cards", "bikes", "recommend", "clicks"])
@pytest.mark.parametrize("beside", [False, True], ids=["in the loop", "beside it"])
def test_one_partition_gives_the_cores_answers(
    broker: Broker, prefix: str, tmp_path: Path, name: str, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second worker takes snapshots all the time, in between its turns."""
    if beside:
        monkeypatch.setattr(feeding, "_MANY", 0)
    pipeline, _ = named(name, prefix, tmp_path)

    async def scenario() -> None:
        await make_topics(broker, pipeline)
        inputs = dict.fromkeys(dict.fromkeys(stream.topic for stream in compile_plan(pipeline).scorer.streams), 1)
        records = sent_of(pipeline, 7, 600)
        async with reader(broker.address, topics_of(pipeline, 1, inputs)) as seen:
            await send(broker.address, records[:200])
            worker = Worker(pipeline, broker.address, Settings(batch=64), QUICK, print)
            await worker.run(until_end=True)
            await send(broker.address, records[200:])
            said: list[str] = []
            again = Worker(pipeline, broker.address, Settings(batch=32, snapshot_seconds=0.001), QUICK, said.append)
            await again.run(until_end=True)
            assert "died" not in "".join(said), "the first worker let go of its task"
            (task,) = again.tasks.values()
            live = task.session
        assert sum(len(found) for found in map(seen.records.get, seen.records) if found) > len(records)
        told = never_stopped(pipeline, 0, seen)
        assert state_of(told) == state_of(live)
        assert len(seen.values(names(pipeline.name)["predictions"], 0)) == told.stats["predicted"] > 0

    asyncio.run(scenario())
