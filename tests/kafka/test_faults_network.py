"""Answers that are lost or late, records that a broker refuses: a turn is written whole, once, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_ml.demos.broker import Broker
from stream_ml.demos.broker_place import HOST
from stream_ml.engines.kafka.topics import names
from tests.kafka.conftest import Ports
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, assert_one_writer, entries_of, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payments
from tests.kafka.proxy import Api, Deed, Proxy, Rule, proxy
from tests.kafka.test_engine import make_topics
from tests.kafka.workers import Nursery, Process, all_end, until

IMPATIENT = {"STREAM_ML_KAFKA_REQUEST_TIMEOUT_MS": "2000"}
ANEW = "acquired anew if it is still ours"


def some(api: Api, deed: Deed, every: int) -> Rule:
    """Do it to some requests of a kind, not to the first."""
    return lambda key, number: deed if key == api and number % every == every - 1 else Deed.PASS


async def carried(
    broker: Broker, ports: Ports, prefix: str, folder: Path, nursery: Nursery, rule: Rule,
    over: Callable[[Proxy], bool],
) -> tuple[Seen, Process, Proxy]:  # fmt: skip
    """Run a worker behind a proxy with a rule until what is wanted was done, then to the end without it."""
    pipeline, file = named("cards", prefix, folder)
    await make_topics(broker, pipeline)
    async with (
        proxy(ports.front, ports.behind) as between,
        reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen,
    ):
        between.rule = rule
        worker = nursery.start(file, f"{HOST}:{ports.front}", env=IMPATIENT)
        sent = 0
        try:
            while not over(between):
                await send(broker.address, payments(prefix, sent, 60, sent))
                sent += 60
                await asyncio.sleep(0.1)
            between.rule = lambda *_: Deed.PASS
            await send(broker.address, payments(prefix, sent, 60, sent))  # for who has begun anew to answer
            sent += 60
            predictions = names(pipeline.name)["predictions"]
            await until(lambda: seen.count(predictions) == sent, f"{sent} predictions; it says\n{worker.told}")
            await worker.stopped()
        finally:
            await all_end([worker])
    judge(pipeline, 1, seen)
    assert worker.told.count(ANEW) == assert_one_writer(pipeline, 0, seen) - 1
    return seen, worker, between


def test_11_the_answer_to_a_commit_is_lost(
    broker: Broker, ports: Ports, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """The turn is stored and the worker cannot know: it begins anew and finds the entry in its journal."""
    rule, wanted = some(Api.END_TXN, Deed.LOSE_ANSWER, 8), (Api.END_TXN, Deed.LOSE_ANSWER)
    _, worker, between = asyncio.run(
        carried(broker, ports, prefix, tmp_path, nursery, rule, lambda it: it.done[wanted] >= 3)
    )
    assert worker.told.count("the outcome is unknown") >= between.done[wanted] >= 3


def test_11_a_commit_comes_late(
    broker: Broker, ports: Ports, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """It is asked again, and the first request comes when later turns are written: it must not end one of those."""
    rule, wanted = some(Api.END_TXN, Deed.HOLD, 6), (Api.END_TXN, Deed.HOLD)
    _, worker, between = asyncio.run(
        carried(broker, ports, prefix, tmp_path, nursery, rule, lambda it: it.delivered >= 2)
    )
    assert between.done[wanted] >= 2
    assert worker.told.count(ANEW) >= 2


def test_16_the_answer_to_written_records_is_lost(
    broker: Broker, ports: Ports, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """They are sent again, and the broker knows them: no turn is lost for it."""
    rule, wanted = some(Api.PRODUCE, Deed.LOSE_ANSWER, 5), (Api.PRODUCE, Deed.LOSE_ANSWER)
    _, worker, _ = asyncio.run(
        carried(broker, ports, prefix, tmp_path, nursery, rule, lambda it: it.done[wanted] >= 5)
    )
    assert ANEW not in worker.told


async def largest(broker: Broker, topic: str, nbytes: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    wanted = {"max.message.bytes": str(nbytes), "message.timestamp.type": "LogAppendTime"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=wanted)])
    await admin.close()


def test_22_huge_records_stop_nothing(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """One of 10 MiB and one of a million fields, each larger than a fetch: dead letters, with what came after them."""
    pipeline, file = named("cards", prefix, tmp_path)
    topic = f"{prefix}payments"
    fields = b",".join(b'"f%d":1' % n for n in range(1_000_000))
    huge = [b'{"payment":"huge","note":"%s"}' % (b"x" * (10 << 20)), b'{"payment":"wide",%s}' % fields]

    async def scenario() -> Seen:
        await make_topics(broker, pipeline)
        await largest(broker, topic, 16 << 20)
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, max_request_size=16 << 20)
        await producer.start()
        async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
            await send(broker.address, payments(prefix, 1, 50))
            for one in huge:
                await producer.send_and_wait(topic, one, b"c1", 0)
            await send(broker.address, payments(prefix, 2, 50, 50))
            await producer.stop()
            worker = nursery.start(file, broker.address, "--until-end")
            assert await worker.ended() == 0, worker.told
        return seen

    seen = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    letters = [json.loads(raw) for raw in seen.values(names(pipeline.name)["dead"], 0)]
    assert [(one["reason"], one["size"]) for one in letters if one["reason"] != "unmatched"] == [
        ("size", len(one)) for one in huge
    ]
    assert seen.count(names(pipeline.name)["predictions"]) == 100


def test_17_refused_records_stop_the_turn(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """The client would commit a turn without the batch that was refused; nothing of it may be seen, nothing pass by."""
    pipeline, file = named("cards", prefix, tmp_path)
    predictions = names(pipeline.name)["predictions"]

    async def scenario() -> tuple[Seen, Process]:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
            worker = nursery.start(file, broker.address)
            try:
                await send(broker.address, payments(prefix, 1, 100))
                await until(lambda: seen.count(predictions) == 100, worker.told)
                await largest(broker, predictions, 100)
                await asyncio.sleep(0.5)
                written = len(entries_of(pipeline, 0, seen))
                await send(broker.address, payments(prefix, 2, 200, 100))
                await until(lambda: worker.told.count("MessageSizeTooLarge") >= 3, "three refusals")
                assert seen.count(predictions) == 100
                fresh = entries_of(pipeline, 0, seen)[written:]
                assert not any(fed.source == f"{prefix}payments/0" and fed.count for one in fresh for fed in one.fed)
                await largest(broker, predictions, 1_048_588)
                await until(lambda: seen.count(predictions) == 300, worker.told)
                await worker.stopped()
            finally:
                await all_end([worker])
        return seen, worker

    seen, worker = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    assert f"a turn of {pipeline.name}.0: MessageSizeTooLargeError" in worker.told
