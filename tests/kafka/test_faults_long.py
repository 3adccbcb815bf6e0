"""Faults that take their time: `make test-faults`. Each prints a line of the table in docs/faults.md."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from stream_ml.demos.broker import QUICK as QUICK_JAVA
from stream_ml.demos.broker import Broker
from stream_ml.demos.cluster import Cluster
from stream_ml.engines.kafka.topics import Admin, names
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import compile_plan
from tests.kafka.failpoints import Failpoint
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, Sent, assert_one_writer, entries_of, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payments
from tests.kafka.test_engine import QUICK
from tests.kafka.workers import Nursery, Process, all_end, stands_still, until

pytestmark = pytest.mark.faults
KILL, STOP, CONT = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
#: Workers end when brokers are away for long; somebody starts them again.
PATIENT = {"STREAM_ML_KAFKA_SESSION_TIMEOUT_MS": "3000", "STREAM_ML_KAFKA_DEADLINE_S": "15"}


@dataclass
class Weather:
    """A pipeline under load, with what is done to it."""

    address: str
    pipeline: Pipeline
    file: Path
    prefix: str
    partitions: int
    nursery: Nursery
    seen: Seen
    workers: list[Process] = field(default_factory=list)
    everyone: list[Process] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    over: bool = False
    going: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, *options: str, failpoint: tuple[Failpoint, str, int, signal.Signals] | None = None) -> Process:
        worker = self.nursery.start(self.file, self.address, *options, env=PATIENT, failpoint=failpoint)
        self.workers.append(worker)
        self.everyone.append(worker)
        return worker

    async def producer(self) -> None:
        """Send some payments five times a second until it is over; brokers may be away."""
        while not self.over:
            batch = payments(self.prefix, self.sent, 20, self.sent)
            async with asyncio.timeout(120):
                while not await self.took(batch):
                    await asyncio.sleep(0.2)
            self.sent += 20
            await asyncio.sleep(0.2)

    async def took(self, batch: list[Sent]) -> bool:
        """Send some payments; return whether the brokers took all: what they took of the others comes a second time."""
        try:
            await send(self.address, batch)
        except (KafkaConnectionError, UnknownTopicOrPartitionError):  # none is there, none answered in time
            return False
        return True

    async def supervisor(self) -> None:
        """Start again what ends, as an operator's supervisor does."""
        while not self.over:
            for worker in list(self.workers):
                if worker.code is not None:
                    self.workers.remove(worker)
                    self.start()
            await asyncio.sleep(0.1)

    @property
    def predicted(self) -> int:
        return self.seen.count(names(self.pipeline.name)["predictions"])

    async def moves(self, seconds: float = 120.0) -> float:
        """Wait until predictions come again; returns how long that took."""
        before = self.predicted

        def moved() -> bool:
            for task in self.going:
                if task.done():
                    task.result()  # raises what ended it
            return self.predicted > before + 20

        return await until(moved, "predictions", seconds)


Chaos = Callable[[Weather], Awaitable[float]]


async def weathered(
    address: str, prefix: str, folder: Path, nursery: Nursery, seed: str, chaos: Chaos, *, partitions: int = 2,
    workers: int = 2,
) -> Weather:  # fmt: skip
    """Run workers under load, let a fault happen, then read all to the end; prints a line of the table."""
    pipeline, file = named("cards", prefix, folder)
    kafka = QUICK.model_copy(update={"partitions": partitions})
    admin = Admin(kafka.client(address), kafka)
    await admin.start()
    await admin.ready(compile_plan(pipeline))
    await admin.close()
    async with reader(address, topics_of(pipeline, partitions, inputs(prefix, partitions))) as seen:
        weather = Weather(address, pipeline, file, prefix, partitions, nursery, seen)
        for _ in range(workers):
            weather.start()
        going = weather.going = [asyncio.create_task(weather.producer()), asyncio.create_task(weather.supervisor())]
        try:
            await until(lambda: weather.predicted > 100, "the first predictions")
            recovered = await chaos(weather)
            weather.over = True
            await asyncio.gather(*going)
            for worker in weather.workers:
                with suppress(AssertionError):
                    await worker.stopped()
            await all_end(weather.workers)
            last = weather.start("--until-end")
            assert await last.ended(120) == 0, last.told
        finally:
            weather.over = True
            await asyncio.gather(*going, return_exceptions=True)
            await all_end(weather.everyone)
    judge(pipeline, partitions, seen)
    acquires = sum(assert_one_writer(pipeline, number, seen) for number in range(partitions + 1))
    fenced = sum(worker.told.count(": fenced, another worker") for worker in weather.everyone)
    lost = sum(worker.told.count("acquired anew if it is still ours") for worker in weather.everyone) - fenced
    happened = ", ".join(f"{count} {what}" for what, count in weather.done.items())
    told = (seed, happened, acquires, fenced, lost, f"{weather.predicted:,}", 0, 0, f"{recovered:.1f} s")
    sys.stdout.write(f"\n| {' | '.join(map(str, told))} |\n")
    return weather


def test_2_a_storm_of_kills(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    choose = random.Random(2)

    async def chaos(weather: Weather) -> float:
        while weather.done["kills"] < 30:
            await asyncio.sleep(choose.uniform(0.1, 1.0))
            worker = choose.choice(weather.workers)
            if worker.code is None:
                worker.signal(KILL)
                weather.done["kills"] += 1
        return await weather.moves()

    weather = asyncio.run(weathered(broker.address, prefix, tmp_path, nursery, "2: seed 2", chaos))
    entries = [entry for number in range(3) for entry in entries_of(weather.pipeline, number, weather.seen)]
    assert not [entry for entry in entries if entry.skipped], "no record is to blame"


def test_4_a_transaction_expires(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """The only worker stands still for longer than its transaction may last; nobody takes over."""

    async def chaos(weather: Weather) -> float:
        first = weather.workers.pop()
        await first.stopped()
        until_stopped = (Failpoint.END, f"{weather.pipeline.name}.0", 4, STOP)
        zombie = weather.start(failpoint=until_stopped)
        await until(lambda: stands_still(zombie.pid), "the pause")
        weather.done["pauses of 16 s"] += 1
        await asyncio.sleep(16)
        zombie.signal(CONT)
        found = await weather.moves()
        await until(lambda: "acquired anew" in zombie.told or zombie.code is not None, "what the zombie hears")
        return found

    asyncio.run(weathered(broker.address, prefix, tmp_path, nursery, "4", chaos, workers=1))


def test_13_a_storm_of_rebalances(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    async def chaos(weather: Weather) -> float:
        for number in range(12):
            if number % 2:
                gone = weather.workers.pop(0)
                await gone.stopped()
                weather.done["workers removed"] += 1
            else:
                weather.start()
                weather.done["workers added"] += 1
            await asyncio.sleep(2)
        return await weather.moves()

    asyncio.run(weathered(broker.address, prefix, tmp_path, nursery, "13", chaos, partitions=4))


@pytest.fixture(scope="module")
def cluster(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers; every test leaves them running."""
    assert kafka_jars.is_dir()
    options = {"group.min.session.timeout.ms": "500"}
    with Cluster(tmp_path_factory.mktemp("kafka") / "cluster", 3, options=options, machine=QUICK_JAVA) as started:
        yield started


async def leader(cluster: Cluster, topic: str, partition: int = 0) -> Broker:
    client = AIOKafkaClient(bootstrap_servers=cluster.address)
    await client.bootstrap()
    try:
        client.add_topic(topic)
        await client.force_metadata_update()
        known: ClusterMetadata = client.cluster
        node = known.leader_for_partition(TopicPartition(topic, partition))
        assert node is not None
        return cluster.broker(int(node))
    finally:
        await client.close()


async def coordinator(cluster: Cluster, name: str, kind: int) -> Broker:
    """Return the broker that coordinates a group (0) or a transactional id (1)."""
    client = AIOKafkaClient(bootstrap_servers=cluster.address)
    await client.bootstrap()
    try:
        node = await client.coordinator_lookup(kind, name)
        return cluster.broker(int(node))
    finally:
        await client.close()


async def killed(weather: Weather, victim: Broker, what: str) -> float:
    await asyncio.to_thread(victim.kill)
    weather.done[what] += 1
    found = await weather.moves()
    await asyncio.to_thread(victim.start)
    await weather.moves()
    return found


def test_6_the_leader_of_an_output_is_killed(cluster: Cluster, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    async def chaos(weather: Weather) -> float:
        topic = names(weather.pipeline.name)["predictions"]
        return await killed(weather, await leader(cluster, topic), "leaders of predictions killed")

    asyncio.run(weathered(cluster.address, prefix, tmp_path, nursery, "6", chaos))


def test_7_brokers_are_restarted_in_turn(cluster: Cluster, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    async def chaos(weather: Weather) -> float:
        longest = 0.0
        for victim in cluster.brokers:
            await asyncio.to_thread(victim.stop)
            weather.done["clean restarts of a broker"] += 1
            longest = max(longest, await weather.moves())
            await asyncio.to_thread(victim.start)
            await weather.moves()
        return longest

    asyncio.run(weathered(cluster.address, prefix, tmp_path, nursery, "7", chaos))


def test_8_the_coordinator_of_transactions_is_killed(
    cluster: Cluster, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    async def chaos(weather: Weather) -> float:
        victim = await coordinator(cluster, f"{weather.pipeline.name}.0", 1)
        return await killed(weather, victim, "transaction coordinators killed")

    asyncio.run(weathered(cluster.address, prefix, tmp_path, nursery, "8", chaos))


def test_9_the_coordinator_of_the_group_is_killed(
    cluster: Cluster, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    async def chaos(weather: Weather) -> float:
        victim = await coordinator(cluster, weather.pipeline.name, 0)
        return await killed(weather, victim, "group coordinators killed")

    asyncio.run(weathered(cluster.address, prefix, tmp_path, nursery, "9", chaos))


def test_10_every_broker_is_away_for_30_seconds(
    cluster: Cluster, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    async def chaos(weather: Weather) -> float:
        await asyncio.to_thread(cluster.kill)
        away = time.monotonic()
        weather.done["brokers killed at once"] += 3
        await asyncio.sleep(30)
        await asyncio.to_thread(cluster.start)
        weather.done["s without any"] = round(time.monotonic() - away)
        return await weather.moves(180)

    asyncio.run(weathered(cluster.address, prefix, tmp_path, nursery, "10", chaos))
