"""What the Kafka demo sees: each committed prediction, by a reader of its own, and what workers say of themselves."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.error
import urllib.request
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from stream_ml.config.kafka import KafkaSettings

_PORT = re.compile(r"http://[\w.]+:(\d+)$", re.MULTILINE)
AUC, WINDOW = "roc_auc", "last10000"


@dataclass
class Reader:
    """Follows predictions and metrics as any read-committed consumer does. `start`, then look at it, then `close`.

    Parameters
    ----------
    pipeline
        Its name.
    partitions
        Of the topic of predictions; the learner writes metrics to the partition after.
    """

    servers: str
    pipeline: str
    partitions: int
    ids: Counter[str] = field(default_factory=Counter)
    came: list[tuple[float, int]] = field(default_factory=list)
    version: int = 0
    auc: float | None = None
    _work: asyncio.Task[None] | None = None

    @property
    def predictions(self) -> int:
        """How many predictions were read, doubled ones twice."""
        return len(self.came)

    def since(self, moment: float) -> int:
        """Return how many predictions came after a moment (epoch s)."""
        return len(self.came) - bisect_left(self.came, (moment, -1))

    async def start(self) -> None:
        """Begin at the start of the topics."""
        consumer = AIOKafkaConsumer(
            **KafkaSettings().client(self.servers), isolation_level="read_committed", enable_auto_commit=False
        )
        await consumer.start()
        own = f"{self.pipeline}.predictions"
        places = [TopicPartition(own, number) for number in range(self.partitions)]
        consumer.assign([*places, TopicPartition(f"{self.pipeline}.metrics", self.partitions)])
        await consumer.seek_to_beginning()
        self._work = asyncio.create_task(self._follow(consumer, own))

    async def close(self) -> None:
        """Leave off; what ended reading too early is raised."""
        if self._work is not None:
            self._work.cancel()
            (told,) = await asyncio.gather(self._work, return_exceptions=True)
            if isinstance(told, Exception):
                raise told

    async def _follow(self, consumer: AIOKafkaConsumer, own: str) -> None:
        try:
            while True:
                for tp, found in (await consumer.getmany(timeout_ms=200)).items():
                    now = time.time()
                    for one in found:
                        self._take(orjson.loads(one.value), now, tp.partition, is_prediction=tp.topic == own)
        finally:
            await consumer.stop()

    def _take(self, record: dict[str, object], now: float, partition: int, *, is_prediction: bool) -> None:
        if is_prediction:
            self.ids[str(record["id"])] += 1
            self.came.append((now, partition))
            version = record["version"]
            assert isinstance(version, list)
            self.version = max(self.version, version[1])
        elif (record["name"], record["window"], record["slice"]) == (AUC, WINDOW, None):
            value = record["value"]
            assert isinstance(value, float | None)
            self.auc = value

    def gap(self, partitions: set[int], since: float, until: float) -> float:
        """Return the longest time in seconds in which a partition gave nothing, between two moments (epoch s)."""
        longest = 0.0
        for number in partitions:
            moments = [since, *(at for at, partition in self.came if partition == number and since < at <= until)]
            longest = max(longest, *(b - a for a, b in pairwise(moments)), 0.0)
        return longest


@dataclass(frozen=True)
class Told:
    """What a worker's metrics say: its running tasks, records not fed yet, tasks that were taken from it."""

    tasks: tuple[str, ...] = ()
    lag: int = 0
    fenced: int = 0


def told(log: Path) -> Told:
    """Ask the worker that writes a log, at the port that stands there; nothing where it does not answer."""
    found = _PORT.findall(log.read_text(encoding="utf-8")) if log.exists() else []
    if not found:
        return Told()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{found[-1]}/metrics", timeout=2) as answer:
            text = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return Told()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    tasks = {one.labels["task"] for one in samples if one.name == "stream_ml_task_running" and one.value}
    lag = sum(one.value for one in samples if one.name == "stream_ml_lag_records")
    fenced = sum(one.value for one in samples if one.name == "stream_ml_fenced_total")
    return Told(tuple(sorted(tasks)), int(lag), int(fenced))
