"""A million keys on Kafka: how long a killed worker takes to serve again, and latency while a snapshot is written.

One partition, the pipeline of `benchmarks.eight_windows`. Every key is fed twice and the worker killed before any
snapshot. The next one feeds it all again, then serves an open loop of 1,000 events a second while it writes its first
snapshot, of every key: latencies of that time beside those after it. It is killed as well. The third one begins with
that snapshot and the journal after it: the time from its start to the first answer seen by a reader. It is started once
the group has noticed the death (the session time-out), which is the time that a standby worker would wait before it.

    python -m benchmarks recovery [--quick]
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import eight_windows
from benchmarks.command import Found, check, main, scratch
from benchmarks.keys import SPAN_MS, START_MS, events
from stream_ml.bench.figures import percentiles
from stream_ml.bench.logs import KafkaLog
from stream_ml.bench.processes import Child
from stream_ml.config.kafka import read_kafka_settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.fetch import fetched
from stream_ml.engines.kafka.topics import Admin
from stream_ml.plan.bundle import compile_plan

TOPIC, PREDICTIONS, STATE = "payments", "eight.predictions", "eight.state"
ROUNDS, RATE, TICK_S = 2, 1_000, 0.01
LIMIT_S, LIMIT_RATIO, FED_AGAIN_S = 5.0, 3.0, 2.0
_WAIT_S = 900.0


def benchmark(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    keys, seconds, budget_s = (20_000, 6.0, 0.1) if quick else (1_000_000, 60.0, FED_AGAIN_S)
    with scratch() as folder, Broker(folder / "broker") as broker:
        return asyncio.run(measured(broker.address, folder, keys, seconds, budget_s))


async def measured(servers: str, folder: Path, keys: int, seconds: float, budget_s: float) -> Found:
    """Take the three workers in turn."""
    settings = read_kafka_settings()
    admin = Admin(settings.client(servers), settings)
    await admin.start()
    try:
        await admin.ready(compile_plan(eight_windows.pipeline))
    finally:
        await admin.close()
    log = KafkaLog(servers)
    await log.start([TOPIC])
    reader = Reader(servers)
    await reader.start()
    try:
        for values in events(keys, ROUNDS):
            await append(log, values)
        with worker(servers, folder, "filled", budget_s=1e6) as first:
            await reader.reach(keys * ROUNDS, first)
            kill(first)
        with worker(servers, folder, "written", budget_s=budget_s) as second:
            await log_one(log, keys)
            await reader.reach(keys * ROUNDS + 1, second)
            snapshot = asyncio.create_task(second.snapshot())
            sent = await open_loop(log, keys, seconds)
            await reader.reach(keys * ROUNDS + 1 + len(sent), second)
            kept, size = await snapshot
            kill(second)
        await asyncio.sleep(settings.session_timeout_ms / 1000 + 2.0)
        begun = time.monotonic()
        with worker(servers, folder, "again", budget_s=FED_AGAIN_S) as third:
            await log_one(log, keys)
            await reader.reach(keys * ROUNDS + 2 + len(sent), third)
            served = reader.at[-1] - begun
            told = third.line("recovered")
    finally:
        await reader.close()
        await log.close()
    answered = np.array(reader.at[keys * ROUNDS + 1 : keys * ROUNDS + 1 + len(sent)])
    latency, during = answered - sent, sent < kept
    skip = min(2.0, seconds / 4)
    after = sent > kept + skip
    check(holds=bool(during.any() and after.any()), what="events both while the snapshot is written and after it")
    beside, quiet = percentiles(latency[during]), percentiles(latency[after])
    ratio = beside["p99"] / quiet["p99"]
    return {
        "workload": f"8 windows by card on Kafka, {ROUNDS} events a key, one partition",
        "keys": keys,
        "snapshot_bytes": size,
        "rate": RATE,
        "latency_ms_while_snapshot_is_written": beside,
        "latency_ms_after": quiet,
        "p99_ratio": round(ratio, 2),
        "p99_ratio_limit": LIMIT_RATIO,
        "p99_ratio_reached": ratio <= LIMIT_RATIO,
        "session_timeout_s": settings.session_timeout_ms / 1000,
        "start_to_first_answer_s": round(served, 2),
        "acquire_to_ready_s": ready_s(told),
        "told": told,
        "limit_s": LIMIT_S,
        "reached": ready_s(told) <= LIMIT_S,
    }


def ready_s(told: str) -> float:
    """Return the seconds from acquire to ready, with which a worker ends the line on what it recovered from."""
    return float(told.rpartition(", ")[2].removesuffix(" s"))


async def append(log: KafkaLog, values: list[bytes]) -> None:
    """Append all of them."""
    while values:
        count, _ = await log.append(TOPIC, 0, [None] * len(values), values)
        values = values[count:]


async def log_one(log: KafkaLog, keys: int) -> None:
    """Append an event that tells whether the worker serves."""
    await append(log, [payment(keys // 2, SPAN_MS)])


def payment(key: int, after_ms: int) -> bytes:
    """Return a payment of a card so long after the first one."""
    return b'{"card":"c%07d","amount":1.00,"at":%d}' % (key, START_MS + after_ms)


async def open_loop(log: KafkaLog, keys: int, seconds: float) -> Any:
    """Send events at fixed moments, whatever becomes of them; returns the moments [n], monotonic seconds."""
    draw = np.random.default_rng(5)
    few = int(RATE * TICK_S)
    sending: list[asyncio.Task[None]] = []
    begin = time.monotonic() + TICK_S
    moments = begin + np.arange(int(seconds / TICK_S)) * TICK_S
    queue: asyncio.Queue[list[bytes]] = asyncio.Queue()

    async def send() -> None:
        while values := await queue.get():
            while not queue.empty() and (more := queue.get_nowait()):
                values += more
            await append(log, values)

    sending.append(asyncio.create_task(send()))
    for number, moment in enumerate(moments):
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        cards = draw.integers(0, keys, few).tolist()
        queue.put_nowait([payment(card, SPAN_MS + number * 10) for card in cards])
    while not queue.empty():
        await asyncio.sleep(TICK_S)
    queue.put_nowait([])
    await asyncio.gather(*sending)
    return np.repeat(moments, few)


class Reader:
    """Notes when each prediction was seen, in their order."""

    def __init__(self, servers: str, topic: str = PREDICTIONS) -> None:
        settings = read_kafka_settings()
        self._partition = TopicPartition(topic, 0)
        self._consumer = AIOKafkaConsumer(
            **settings.client(servers), group_id=None, enable_auto_commit=False, isolation_level="read_committed",
            auto_offset_reset="earliest", max_partition_fetch_bytes=4 << 20,
        )  # fmt: skip
        self._task: asyncio.Task[None] | None = None
        self.at: list[float] = []

    async def start(self, *, at_end: bool = False) -> None:
        """Follow, from the first on or from those that come."""
        await self._consumer.start()
        self._consumer.assign([self._partition])
        if at_end:
            await self._consumer.seek_to_end(self._partition)
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Leave off."""
        if self._task is not None:
            self._task.cancel()
        await self._consumer.stop()

    async def reach(self, count: int, worker: Worker) -> None:
        """Wait until so many predictions are there."""
        end = time.monotonic() + _WAIT_S
        while len(self.at) < count:
            worker.child.check()
            check(holds=time.monotonic() < end, what=f"{len(self.at)} predictions of {count}")
            await asyncio.sleep(0.02)
        check(holds=len(self.at) == count, what=f"{len(self.at)} predictions of {count}")

    async def _follow(self) -> None:
        while True:
            for records in (await fetched(self._consumer, 0.2)).values():
                self.at += [time.monotonic()] * len(records)


class Worker:
    """A worker and where it tells its metrics."""

    def __init__(self, child: Child, port: int) -> None:
        self.child, self._port = child, port

    def line(self, word: str) -> str:
        """Return the line of what it said that holds a word."""
        said = self.child.told.read_text(encoding="utf-8").splitlines()
        return next((line for line in said if word in line), "")

    async def snapshot(self) -> tuple[float, int]:
        """Wait for its first snapshot; returns when that was kept, monotonic seconds, and its bytes."""
        while True:
            found = await asyncio.to_thread(self._asked)
            if found.get("stream_ml_snapshots_total", 0.0) >= 1:
                return time.monotonic(), int(found["stream_ml_snapshot_bytes"])
            await asyncio.sleep(0.2)

    def _asked(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if line[:1] != "#"]
        return {name.partition("{")[0]: float(value) for name, _, value in lines}


@contextmanager
def worker(servers: str, folder: Path, name: str, *, budget_s: float) -> Iterator[Worker]:
    """Run a worker on the pipeline, stopped in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    line = ["-m", "stream_ml.cli.main", "run", eight_windows.__file__, "--on", f"kafka://{servers}"]
    os.environ["STREAM_ML_SNAPSHOT_SECONDS"] = str(budget_s)
    with Child([*line, "--metrics-port", str(port)], folder / f"{name}.txt") as child:
        yield Worker(child, port)


def kill(one: Worker) -> None:
    """Let it end in mid-turn."""
    os.kill(one.child.pid, signal.SIGKILL)


if __name__ == "__main__":
    main("recovery", benchmark, __doc__)
