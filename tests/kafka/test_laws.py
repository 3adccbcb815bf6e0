"""The laws over Kafka: the same streams give the same bits as the core alone, however fetched, cut and learned."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiokafka import TopicPartition

from stream_ml.config.settings import Settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import names
from stream_ml.engines.kafka.worker import Worker
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import spec_of
from stream_ml.plan.bundle import compile_plan
from stream_ml.sessions.session import RANKS, Session
from stream_ml.testing import Driver
from stream_ml.testing.canonical import records as state_of
from tests.kafka.failpoints import Failpoint
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, Sent, entries_of, judge, reader, run_of, send, topics_of
from tests.kafka.payments import chargeback, inputs, payment, payments, sent
from tests.kafka.test_engine import QUICK, make_topics
from tests.kafka.topics import make
from tests.kafka.workers import Nursery, all_end, until
from tests.streams import TICK, seeded

#: Of a prediction or example, what a model's version does not reach.
SERVED_BY = ("prediction", "score", "probabilities", "version")
START = 1_740_787_200_000


def key_of(pipeline: Pipeline, record: dict[str, Any]) -> bytes:
    """Key a record as producers must: by the key's field, as text."""
    (name,) = spec_of(pipeline.event).key  # type: ignore[union-attr]
    return str(record.get(pipeline.event.model_fields[name].alias or name)).encode()


async def carried_out(broker: Broker, pipeline: Pipeline, records: list[Sent], fetch: int) -> tuple[Seen, Any]:
    """Run one partition over records whose timestamps are the producer's; returns what was seen and the session."""
    streams = {stream.topic: stream.role for stream in reversed(compile_plan(pipeline).scorer.streams)}
    for topic in streams:
        await make(broker.address, topic, message_timestamp_type="CreateTime", retention_ms="-1")
    await make_topics(broker, pipeline)
    await send(broker.address, records)
    kafka = QUICK.model_copy(update={"partition_bytes": fetch})
    async with reader(broker.address, topics_of(pipeline, 1, dict.fromkeys(streams, 1))) as seen:
        worker = Worker(pipeline, broker.address, Settings(batch=100), kafka, print)
        await worker.run(until_end=True)
        (task,) = worker.tasks.values()
    return seen, task.session


def in_merged_order(pipeline: Pipeline, seen: Seen) -> list[tuple[str, bytes, int]]:
    """Return the records as one log would hold them: by received time, which never goes back in a source, then rank."""
    streams = {stream.topic: RANKS[stream.role] for stream in reversed(compile_plan(pipeline).scorer.streams)}
    found = []
    for topic, rank in streams.items():
        held = seen.records[TopicPartition(topic, 0)]
        stamps = np.maximum.accumulate([one.timestamp for one in held]).tolist() if held else []
        found += [(at, rank, one.offset, topic, one.value) for at, one in zip(stamps, held, strict=True)]
    return [(topic, value or b"", at) for at, _, _, topic, value in sorted(found, key=lambda one: one[:3])]


def without(values: list[bytes], *names_: str) -> list[dict[str, Any]]:
    return [{name: x for name, x in json.loads(one).items() if name not in names_} for one in values]


def assert_as_driver(pipeline: Pipeline, seen: Seen, live: Any) -> None:
    driver = Driver(pipeline, features=False)
    driver.send_all(in_merged_order(pipeline, seen))
    ticks = [entry.tick for entry in entries_of(pipeline, 0, seen) if entry.tick is not None]
    if ticks:
        driver.tick(max(ticks))
    for kind in ("predictions", "examples"):
        mine = seen.values(names(pipeline.name)[kind], 0)
        assert len(mine) > 20
        # One log numbers the records of all topics, and Kafka those of each.
        assert without(mine, "prediction_id") == without(driver.written(kind), "prediction_id"), kind
    here, there = (
        {name: x for name, x in state_of(one).items() if name not in {"entry", "positions", "arrivals", "now"}}
        for one in (live, driver.session)
    )
    assert here["learner"] == there["learner"]
    assert here["counters"] == there["counters"]
    assert here["keys"] == there["keys"]


@pytest.mark.parametrize("name", ["cards", "clicks", "recommend"])
def test_one_partition_is_as_the_driver(broker: Broker, prefix: str, tmp_path: Path, name: str) -> None:
    pipeline, _ = named(name, prefix, tmp_path)
    made = [one for one in seeded(pipeline, 11, 500) if one[0] != TICK]
    records: list[Sent] = [(topic, 0, at, key_of(pipeline, one), orjson.dumps(one)) for topic, at, one in made]
    seen, live = asyncio.run(carried_out(broker, pipeline, records, 4_000))
    judge(pipeline, 1, seen)
    assert_as_driver(pipeline, seen, live)


@pytest.mark.parametrize("ahead", ["labels", "events"])
def test_47_one_topic_is_a_week_ahead_in_a_backlog(broker: Broker, prefix: str, tmp_path: Path, ahead: str) -> None:
    """One topic's records are fetched long before the other's of the same time; the merge waits for those."""
    pipeline, _ = named("cards", prefix, tmp_path)
    week = 7 * 86_400_000
    records: list[Sent] = []
    for number in range(600):
        at = START + number * 60_000
        early = at - week + 60_000 * 30
        card = f"c{number % 7}"
        records.append(sent(f"{prefix}payments", payment(number, card, at), at))
        label = sent(f"{prefix}chargebacks", chargeback(number, card, fraud=number % 3 == 0))
        records.append((*label[:2], at + week - 3_600_000 if ahead == "labels" else early, *label[3:]))
    records.sort(key=lambda one: (one[0], one[2]), reverse=False)
    seen, live = asyncio.run(carried_out(broker, pipeline, records, 2_000))
    judge(pipeline, 1, seen)
    assert_as_driver(pipeline, seen, live)
    examples = [json.loads(one) for one in seen.values(names(pipeline.name)["examples"], 0)]
    assert len(examples) == 600
    assert {one["fate"] for one in examples} == {"label"}


def test_four_partitions_and_one_model(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """Features and joins are those of a session of its own; every prediction can be made again from its version.

    The process is killed with -9 in the learner's turn, then in a scorer's, then while both run on.
    """
    pipeline, file = named("cards", prefix, tmp_path)
    predictions = names(pipeline.name)["predictions"]

    async def scenario() -> Seen:
        await make_topics(broker, pipeline, partitions=4)
        async with reader(broker.address, topics_of(pipeline, 4, inputs(prefix, 4))) as seen:
            workers = []
            try:
                for number, task in enumerate(("learner", "learner", "2")):
                    await send(broker.address, payments(prefix, number, 300, number * 300))
                    at = (Failpoint.END, Failpoint.ENDED, Failpoint.ENTRY)[number]
                    planned = (at, f"{pipeline.name}.{task}", 2, signal.SIGKILL)
                    killed = nursery.start(file, broker.address, failpoint=planned)
                    workers.append(killed)
                    while killed.code is None:
                        await send(broker.address, payments(prefix, 0, 1, 10_000 + seen.count(predictions)))
                        await asyncio.sleep(0.1)
                    assert killed.code == -signal.SIGKILL, killed.told
                workers.append(nursery.start(file, broker.address))
                await until(lambda: workers[-1].told.count(": recovered from") == 5, "every task")
                learned = newest(seen, predictions)
                for number in range(9, 30):
                    await send(broker.address, payments(prefix, number, 50, number * 50 + 450))
                    if newest(seen, predictions) > learned + 100:
                        break
                    await asyncio.sleep(0.3)
                await workers[-1].stopped()
                workers.append(nursery.start(file, broker.address, "--until-end"))
                assert await workers[-1].ended() == 0, workers[-1].told
            finally:
                await all_end(workers)
        return seen

    seen = asyncio.run(scenario())
    judge(pipeline, 4, seen)
    versions = set()
    for number in range(4):
        alone = Session(pipeline, partition=number)
        out: dict[str, list[bytes]] = {}
        for entry in entries_of(pipeline, number, seen):
            turn = alone.feed([run_of(seen, fed) for fed in entry.fed], entry.tick)
            for one in turn.out:
                out.setdefault(one.topic, []).extend(one.values)
        for kind in ("predictions", "examples", "dead"):
            topic = names(pipeline.name)[kind]
            assert without(seen.values(topic, number), *SERVED_BY) == without(out.get(topic, []), *SERVED_BY)
        versions |= {json.loads(one)["version"][1] for one in seen.values(predictions, number)}
    assert len(versions) >= 3


def newest(seen: Seen, predictions: str) -> int:
    return max(
        (json.loads(one)["version"][1] for number in range(4) for one in seen.values(predictions, number)[-1:]),
        default=0,
    )
