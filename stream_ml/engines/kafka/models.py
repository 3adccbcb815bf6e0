"""Follows the learner's versions: the newest complete one is there when a scorer's turn begins."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.client import LostError, deadline, let_go
from stream_ml.engines.kafka.fetch import fetched
from stream_ml.engines.kafka.sources import consumer_options
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.versions import Collector, ModelVersion

_log = logging.getLogger("stream_ml")
_AGAIN_S = 0.5


class Models:
    """Reads the topic of model versions from its beginning, in a coroutine of its own.

    Order of calls: `start`, which returns when all that was there is read; `newest` at any time; `failed` now and then;
    `close`.
    """

    def __init__(
        self, client: Mapping[str, Any], settings: KafkaSettings, pipeline: Pipeline, topic: str
    ) -> None:
        self._wait_s = settings.deadline_s
        self._tp = TopicPartition(topic, 0)
        self._consumer = AIOKafkaConsumer(**client, **consumer_options(settings))
        self._collector = Collector(pipeline, allow_pickle=settings.allow_pickle)
        self._work: asyncio.Task[None] | None = None
        self.newest: ModelVersion | None = None
        self.since = time.monotonic()

    async def start(self) -> None:
        """Read what is there, then follow."""
        tp = self._tp
        async with deadline(self._wait_s, f"reading {tp.topic}"):
            await self._consumer.start()
            self._consumer.assign([tp])
            await self._rewind()
            end = (await self._consumer.end_offsets([tp]))[tp]
            while await self._consumer.position(tp) < end:
                await self._read(0.2)
        self._work = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Leave off."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        await let_go(self._consumer.stop())

    def failed(self) -> None:
        """Raise what following raised."""
        if self._work is not None and self._work.done():
            self._work.result()

    async def _follow(self) -> None:
        """Read on; after a pause of the process, or where the learner dropped what comes next, from the beginning."""
        lost = False
        while True:
            try:
                async with deadline(self._wait_s + 1.0, f"reading {self._tp.topic}"):
                    if lost:
                        await self._rewind()
                    lost = False
                    await self._read(1.0)
            except LostError as error:
                _log.warning("%s; read again from its beginning", error)
                lost = True
                await asyncio.sleep(_AGAIN_S)

    async def _rewind(self) -> None:
        """Go to the oldest record: a collector takes records in any order and again."""
        tp = self._tp
        self._consumer.seek(tp, (await self._consumer.beginning_offsets([tp]))[tp])

    async def _read(self, wait_s: float) -> None:
        for records in (await fetched(self._consumer, wait_s)).values():
            for record in records:
                version = self._collector.add(record.value or b"")
                if version is not None:
                    self.newest, self.since = version, time.monotonic()
