"""Workers that are killed, held and doubled in mid-turn: nothing is lost, nothing is written twice."""

from __future__ import annotations

import asyncio
import gc
import signal
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import RequestTimedOutError
from aiokafka.protocol.transaction import EndTxnRequest

from stream_ml.config.settings import Settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.client import LostError
from stream_ml.engines.kafka.job import Shared
from stream_ml.engines.kafka.jobs import ScorerJob
from stream_ml.engines.kafka.snapshots import Pieces
from stream_ml.engines.kafka.states import State
from stream_ml.engines.kafka.task import Task
from stream_ml.engines.kafka.topics import names
from stream_ml.engines.kafka.writer import Part, Writer
from tests.kafka.failpoints import Failpoint
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, assert_one_writer, entries_of, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payments
from tests.kafka.test_engine import QUICK, make_topics
from tests.kafka.workers import Nursery, Process, all_end, stands_still, until

KILL, STOP, CONT = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
FENCED = ": fenced, another worker has taken the task"


def test_1_kill_9_at_every_step_of_a_turn(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    pipeline, file = named("cards", prefix, tmp_path)
    task = f"{pipeline.name}.0"

    async def scenario() -> tuple[Seen, Seen]:
        await make_topics(broker, pipeline)
        topics = topics_of(pipeline, 1, inputs(prefix))
        async with reader(broker.address, topics) as seen:
            await send(broker.address, payments(prefix, 1, 1_000))
            for failpoint in Failpoint:
                worker = nursery.start(file, broker.address, "--until-end", failpoint=(failpoint, task, 3, KILL))
                assert await worker.ended() == -KILL, f"{failpoint}: {worker.told}"
            last = nursery.start(file, broker.address, "--until-end")
            assert await last.ended() == 0, last.told
        async with reader(broker.address, topics, isolation="read_uncommitted") as everything:
            pass
        return seen, everything

    seen, everything = asyncio.run(scenario())
    journal, predictions = names(pipeline.name)["journal"], names(pipeline.name)["predictions"]
    # What PRODUCE, ENTRY and END left behind was aborted, the journal's entry of END too; ENDED's was committed.
    assert everything.count(predictions) > seen.count(predictions) > 900
    assert everything.count(journal) == seen.count(journal) + 1
    judge(pipeline, 1, seen)


@pytest.mark.parametrize("failpoint", [Failpoint.ENTRY, Failpoint.END])
def test_3_a_zombie_is_fenced(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery, failpoint: Failpoint
) -> None:
    """A worker stands still in mid-turn until another has its task, then goes on."""
    pipeline, file = named("cards", prefix, tmp_path)

    async def scenario() -> tuple[Seen, Process]:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
            zombie = nursery.start(file, broker.address, failpoint=(failpoint, f"{pipeline.name}.0", 4, STOP))
            workers = [zombie]
            try:
                await until(lambda: "fresh start" in zombie.told, "the first worker's start")
                await send(broker.address, payments(prefix, 3, 400))
                await until(lambda: stands_still(zombie.pid), "the pause")
                workers.append(nursery.start(file, broker.address))
                before = len(entries_of(pipeline, 0, seen))
                await until(lambda: len(entries_of(pipeline, 0, seen)) > before + 2, "the other worker's turns")
                zombie.signal(CONT)
                await until(lambda: FENCED in zombie.told, "what the zombie hears")
                await send(broker.address, payments(prefix, 4, 200, 400))
                await until(lambda: seen.count(names(pipeline.name)["predictions"]) == 600, "every prediction")
                for one in workers:
                    await one.stopped()
            finally:
                await all_end(workers)
        return seen, zombie

    seen, zombie = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    assert zombie.told.count(FENCED) == 1
    # The zombie may get its task back from the group, once; nobody takes it from an owner.
    assert assert_one_writer(pipeline, 0, seen) <= 3


def test_5_and_38_of_two_owners_one_survives(
    broker: Broker, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Tasks of one partition, begun at the same moment or one after the other: the last to acquire goes on."""
    gc.collect()  # what earlier tests left behind
    caplog.clear()
    pipeline, _ = named("cards", prefix, tmp_path)
    client = QUICK.client(broker.address)
    streams = [(f"{prefix}payments", "event", 1), (f"{prefix}chargebacks", "label", 1)]

    async def fight(shared: Shared, seen: Seen, number: int) -> list[str]:
        await send(broker.address, payments(prefix, number, 50, number * 100))
        tasks = [Task(ScorerJob(pipeline, 0, streams, None), shared, print) for _ in range(2)]
        runs: list[asyncio.Task[None]] = []

        def ended() -> int:
            return sum(run.done() for run in runs)

        def begun(task: Task, run: asyncio.Task[None]) -> bool:
            return run.done() or task.told.state is State.RUNNING

        for task in tasks:
            runs.append(asyncio.create_task(task.run()))
            if number % 2:
                await until(lambda: task.told.state is State.RUNNING, "the acquire")  # noqa: B023
        try:
            await until(lambda: all(map(begun, tasks, runs)), "both acquires")
            # Who has nothing to commit does not learn that it was fenced.
            await send(broker.address, payments(prefix, number + 10, 50, number * 100 + 50))
            await until(lambda: ended() == 1, "the end of one of the two")
            wanted = 100 * (number + 1)
            await until(lambda: seen.count(names(pipeline.name)["predictions"]) == wanted, "the other's work")
            assert ended() == 1
        finally:
            for task in tasks:
                task.stop()
            told = await asyncio.gather(*runs, return_exceptions=True)
        return sorted(type(one).__name__ for one in told)

    async def scenario() -> Seen:
        await make_topics(broker, pipeline)
        pieces = Pieces(client, QUICK)
        await pieces.start()
        shared = Shared(client, QUICK, Settings(batch=16), pieces, lambda _: None)
        try:
            async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
                for number in range(4):
                    assert await fight(shared, seen, number) == ["FencedError", "NoneType"]
        finally:
            await pieces.close()
        return seen

    seen = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    assert assert_one_writer(pipeline, 0, seen) >= 4
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_37_a_writer_whose_turn_failed_writes_no_more(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """The journal cannot fork: who lost the id, or does not know how a turn ended, has to begin with its end."""
    pipeline, _ = named("cards", prefix, tmp_path)
    journal = TopicPartition(names(pipeline.name)["journal"], 0)

    def writer() -> Writer:
        return Writer(QUICK.client(broker.address), f"{pipeline.name}.0", 10.0, 10_000, None)

    async def scenario() -> Seen:
        await make_topics(broker, pipeline)
        async with reader(broker.address, {journal.topic: 1}) as seen:
            first, second, third = writer(), writer(), writer()
            await first.open()
            await first.commit([Part(journal, [None], [b"1"])])
            await second.open()
            for _ in range(2):
                with pytest.raises(LostError):
                    await first.commit([Part(journal, [None], [b"forked"])])
            ask = second._producer.client.send

            async def loses_an_answer(node: int, request: Any, **options: Any) -> Any:
                told = await ask(node, request, **options)
                if isinstance(request, EndTxnRequest):
                    second._producer.client.send = ask
                    raise RequestTimedOutError
                return told

            second._producer.client.send = loses_an_answer
            second._watch_transaction_requests()
            with pytest.raises(LostError):
                await second.commit([Part(journal, [None], [b"2"])])
            with pytest.raises(LostError):
                await second.commit([Part(journal, [None], [b"forked"])])
            await third.open()
            await third.commit([Part(journal, [None], [b"3"])])
            for one in (first, second, third):
                await one.close()
        return seen

    assert asyncio.run(scenario()).values(journal.topic, 0) == [b"1", b"2", b"3"]
