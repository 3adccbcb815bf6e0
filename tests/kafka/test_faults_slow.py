"""User code that takes its time, restores that last, brokers that slow a worker down, somebody's open transaction."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from stream_ml.config.settings import Settings
from stream_ml.demos.broker import QUICK as QUICK_JAVA
from stream_ml.demos.broker import Broker
from stream_ml.demos.kafka_jars import java
from stream_ml.engines.kafka import sources
from stream_ml.engines.kafka.topics import names
from stream_ml.engines.kafka.worker import Worker
from stream_ml.engines.kafka.writer import Part, Writer
from stream_ml.language.pipeline import Pipeline
from tests.kafka.failpoints import STANDS_STILL, Failpoint
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, Sent, assert_one_writer, entries_of, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payment, payments, sent
from tests.kafka.test_engine import QUICK, make_topics
from tests.kafka.test_faults import FENCED
from tests.kafka.test_faults_topics import SELDOM
from tests.kafka.workers import Nursery, Process, all_end, until

pytestmark = pytest.mark.faults
RECOVERED = re.compile(r"task \d: recovered from the journal and ([\d,]+) entries fed again.*, ([\d.]+) s")


def predicted(seen: Seen, pipeline: Pipeline) -> int:
    return seen.count(names(pipeline.name)["predictions"])


def line(number: int, happened: str, pipeline: Pipeline, partitions: int, seen: Seen, *workers: Process) -> None:
    """Print what docs/faults.md says of a test; nothing was lost or doubled, or it would not have come here."""
    tasks = partitions + (partitions > 1)
    acquires = sum(assert_one_writer(pipeline, task, seen) for task in range(tasks))
    fenced = sum(worker.told.count(FENCED) for worker in workers)
    lost = sum(worker.told.count("acquired anew if it is still ours") for worker in workers) - fenced
    told = (number, happened, acquires, fenced, lost, f"{predicted(seen, pipeline):,}", 0, 0)
    sys.stdout.write(f"\n| {' | '.join(map(str, told))} |\n")


def read_whole(pipeline: Pipeline, prefix: str, seen: Seen) -> bool:
    """Return whether the journal of the only partition says that every input record was fed."""
    fed = {run.source: run.end for entry in entries_of(pipeline, 0, seen) for run in entry.fed}
    last = {topic: seen.records[TopicPartition(topic, 0)][-1].offset for topic in inputs(prefix)}
    return all(fed.get(f"{topic}/0", 0) > offset for topic, offset in last.items())


async def the_rest(nursery: Nursery, file: Path, broker: Broker, *workers: Process) -> None:
    """Stop workers, and let another read what they left."""
    for one in workers:
        await one.stopped()
    last = nursery.start(file, broker.address, "--until-end")
    assert await last.ended(120) == 0, last.told


def test_14_a_rebalance_while_a_long_state_is_restored(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """Feeding the journal again takes several times as long as a session may; meanwhile a worker takes a partition."""
    pipeline, file = named("cards", prefix, tmp_path)
    small = {**SELDOM, "STREAM_ML_BATCH": "8"}

    async def scenario() -> tuple[Seen, Process, Process]:
        await make_topics(broker, pipeline, partitions=2)
        async with reader(broker.address, topics_of(pipeline, 2, inputs(prefix, 2))) as seen:
            first = nursery.start(file, broker.address, env=small)
            workers = [first]
            try:
                await send(broker.address, payments(prefix, 14, 600))
                await until(lambda: predicted(seen, pipeline) == 600, "the first worker's predictions")
                first.signal(signal.SIGKILL)
                await first.ended()
                long = nursery.start(file, broker.address, env=small, slow=("again", 1, 10_000, 0.1))
                workers.append(long)
                await until(lambda: "journal entries fed again" in long.told, "the restore")
                other = nursery.start(file, broker.address, env=small)
                workers.append(other)
                await send(broker.address, payments(prefix, 15, 200, 600))
                await until(lambda: predicted(seen, pipeline) == 800, "every prediction", 120)
                await the_rest(nursery, file, broker, long, other)
            finally:
                await all_end(workers)
        return seen, long, other

    seen, long, other = asyncio.run(scenario())
    judge(pipeline, 2, seen)
    # The slow one carried a restore to its end in one go: nobody took it for dead meanwhile.
    assert RECOVERED.search(long.told), long.told + other.told
    entries, seconds = max(RECOVERED.findall(long.told), key=lambda found: float(found[1]))
    assert float(seconds) > 2 * 1.5
    assert re.search(r"task \d: recovered", other.told)
    line(14, f"a restore of {seconds} s, {entries} entries", pipeline, 2, seen, long, other)


def test_15_a_task_moves_while_the_users_code_stands_still(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """The group gives up on a worker whose turn takes 8 s: what it computed is refused, the new owner did it again."""
    pipeline, file = named("cards", prefix, tmp_path)

    async def scenario() -> tuple[Seen, Process]:
        await make_topics(broker, pipeline, partitions=2)
        async with reader(broker.address, topics_of(pipeline, 2, inputs(prefix, 2))) as seen:
            slow = nursery.start(file, broker.address, slow=("feed", 8, 8, 8.0))
            workers = [slow]
            try:
                await until(lambda: slow.told.count("fresh start") == 3, "the start")
                await send(broker.address, payments(prefix, 15, 1_000))
                await until(lambda: STANDS_STILL in slow.told, "the turn that lasts")
                stood = predicted(seen, pipeline)
                workers.append(nursery.start(file, broker.address))
                await until(lambda: predicted(seen, pipeline) == 1_000, "the new owner's predictions")
                assert stood < 900
                await until(lambda: FENCED in slow.told, "what the old owner hears")
                await send(broker.address, payments(prefix, 16, 200, 1_000))
                await until(lambda: predicted(seen, pipeline) == 1_200, "every prediction")
                await the_rest(nursery, file, broker, *workers)
            finally:
                await all_end(workers)
        return seen, slow

    seen, slow = asyncio.run(scenario())
    judge(pipeline, 2, seen)
    assert slow.told.count(STANDS_STILL) == 1
    assert slow.told.count(FENCED) >= 1
    line(15, "a turn of 8 s, a worker joined meanwhile", pipeline, 2, seen, slow)


def test_18_a_turn_takes_longer_than_a_transaction_may(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """The brokers abort it while the next turn is computed; the task is acquired anew and loses nothing."""
    pipeline, file = named("cards", prefix, tmp_path)
    short = {"STREAM_ML_KAFKA_TRANSACTION_TIMEOUT_MS": "1000", "STREAM_ML_KAFKA_SESSION_TIMEOUT_MS": "20000"}
    topics = topics_of(pipeline, 1, inputs(prefix))
    anew = f"a turn of {pipeline.name}.0: "

    async def scenario() -> tuple[Seen, Seen, Process]:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics) as seen:
            await send(broker.address, payments(prefix, 18, 1_500))
            held = (Failpoint.ENTRY, f"{pipeline.name}.0", 4, 4.0)
            worker = nursery.start(file, broker.address, env=short, failpoint=held)
            try:
                await until(lambda: predicted(seen, pipeline) == 1_500, f"every prediction; it says\n{worker.told}")
                await until(lambda: read_whole(pipeline, prefix, seen), "every label read")
                await worker.stopped()
            finally:
                await all_end([worker])
        async with reader(broker.address, topics, isolation="read_uncommitted") as everything:
            pass
        return seen, everything, worker

    seen, everything, worker = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    assert worker.told.count(STANDS_STILL) == 1
    assert worker.told.count(anew) == assert_one_writer(pipeline, 0, seen) - 1 >= 1
    aborted = predicted(everything, pipeline) - predicted(seen, pipeline)
    assert aborted > 0
    line(18, f"a transaction of 4 s that may last 1 s, {aborted} predictions aborted", pipeline, 1, seen, worker)


def test_39_somebodys_transaction_hangs_on_the_journal(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    """What is behind it cannot be seen, so nobody acquires; the cure that is told is carried out, and cures."""
    pipeline, file = named("cards", prefix, tmp_path)
    journal = names(pipeline.name)["journal"]
    impatient = {"STREAM_ML_KAFKA_DEADLINE_S": "2"}
    told_of = re.compile(rf"a transaction stays open on {re.escape(journal)}/0 at offset (\d+).*kafka-transactions\.sh")

    def cure(offset: str) -> None:
        command = ("org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", broker.address, "abort")
        where = ("--topic", journal, "--partition", "0", "--start-offset", offset)
        subprocess.run(java(*command, *where, options=QUICK_JAVA), check=True, capture_output=True, timeout=60)

    async def scenario() -> tuple[Seen, Process]:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
            await send(broker.address, payments(prefix, 39, 200))
            first = nursery.start(file, broker.address, "--until-end")
            assert await first.ended() == 0, first.told
            foreign = AIOKafkaProducer(
                bootstrap_servers=broker.address, transactional_id=f"{prefix}foreign", transaction_timeout_ms=600_000
            )
            await foreign.start()
            await foreign.begin_transaction()
            await foreign.send_and_wait(journal, b"hangs", partition=0)
            await send(broker.address, payments(prefix, 40, 200, 200))
            worker = nursery.start(file, broker.address, env=impatient)
            try:
                await until(lambda: len(told_of.findall(worker.told)) >= 2, "what the worker says")
                assert len(set(told_of.findall(worker.told))) == 1
                before = predicted(seen, pipeline)
                await asyncio.to_thread(cure, told_of.findall(worker.told)[0])
                await until(lambda: predicted(seen, pipeline) == 400, f"every prediction; it says\n{worker.told}")
                assert before == 200
                await worker.stopped()
            finally:
                await all_end([worker])
                await foreign.client.close()
        return seen, worker

    seen, worker = asyncio.run(scenario())
    judge(pipeline, 1, seen)
    assert assert_one_writer(pipeline, 0, seen) == 2
    times = len(told_of.findall(worker.told))
    line(39, f"a foreign transaction on the journal, told {times} times, aborted", pipeline, 1, seen, worker)


def test_34_a_slow_sink_and_a_key_with_four_fifths_of_all_events(
    broker: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every commit takes 0.2 s: what is read ahead stays bounded, and the other tasks do not wait for the hot one."""
    pipeline, _ = named("cards", prefix, tmp_path)
    partitions, count, most = 4, 4_000, 32 << 10
    kafka = QUICK.model_copy(update={"partition_bytes": most, "fetch_bytes": 4 * most})
    monkeypatch.setattr(sources, "HELD_BYTES", most)
    slowed = 0
    commit = Writer.commit

    async def slowly(self: Writer, parts: Sequence[Part]) -> list[RecordMetadata]:
        nonlocal slowed
        slowed += 1
        await asyncio.sleep(0.2)
        return await commit(self, parts)

    monkeypatch.setattr(Writer, "commit", slowly)
    records: list[Sent] = []
    for number in range(count):
        card = "hot" if number % 5 else f"c{number % 97}"
        records.append(sent(f"{prefix}payments", payment(number, card, 1_767_225_600_000 + number)))

    async def scenario() -> tuple[Seen, int, int, dict[int, int]]:
        await make_topics(broker, pipeline, partitions)
        worker = Worker(pipeline, broker.address, Settings(batch=64), kafka, print)
        ahead = lag = 0
        when_others_were_done: dict[int, int] = {}
        async with reader(broker.address, topics_of(pipeline, partitions, inputs(prefix, partitions))) as seen:
            await send(broker.address, records)
            running = asyncio.create_task(worker.run(until_end=True))
            while not running.done():
                await asyncio.sleep(0.02)
                for one in [task._sources for task in worker.tasks.values() if task._sources is not None]:
                    ahead = max([ahead, *(source.held for source in one._all.values())])
                    lag = max(lag, one.lag)
                done = counts(seen)
                others = sum(done.values()) - max(done.values())
                if others >= count - max(wanted(seen).values()) and not when_others_were_done:
                    when_others_were_done = done
            await running
        return seen, ahead, lag, when_others_were_done

    def counts(seen: Seen) -> dict[int, int]:
        own = names(pipeline.name)["predictions"]
        return {number: len(seen.records[TopicPartition(own, number)]) for number in range(partitions)}

    def wanted(seen: Seen) -> dict[int, int]:
        return {number: len(seen.records[TopicPartition(f"{prefix}payments", number)]) for number in range(partitions)}

    seen, ahead, lag, others_done = asyncio.run(scenario())
    judge(pipeline, partitions, seen)
    hot = max(wanted(seen).values())
    assert hot > 0.8 * count
    assert slowed > hot / 64
    assert lag > 1_000
    assert ahead <= 4 * most, f"{ahead:,} bytes were read ahead of what was fed"
    assert max(others_done.values()) < 0.8 * hot, f"{others_done}: the hot key's partition was done first"
    told = f"{slowed} commits of 0.2 s; {ahead / 1024:.0f} KiB of {most >> 10} read ahead of {lag:,} records"
    line(34, told, pipeline, partitions, seen)
