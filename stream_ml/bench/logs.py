"""Appends to a log, on both engines, for the generator: partitions, and whole lists of records at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from stream_ml.client.address import database_path, kafka_servers
from stream_ml.client.connection import connect
from stream_ml.config.settings import read_settings
from stream_ml.errors import UsageError

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

_BATCH_BYTES = 900_000
_SIGNLESS = 0x7FFFFFFF


class Log(Protocol):
    """Where records are appended. `start`, then `append` per topic and partition, one call at a time; `close`.

    Attributes
    ----------
    linger_s
        How long, in seconds, records gather between two calls.
    """

    linger_s: float

    async def start(self, topics: Sequence[str]) -> None:
        """Connect, and learn how many partitions the topics have."""

    def partition(self, topic: str, key: bytes | None, n: int) -> int:
        """Return where a record belongs: by its key, or in turn."""

    async def append(
        self, topic: str, partition: int, keys: Sequence[bytes | None], values: Sequence[bytes]
    ) -> tuple[int, int]:
        """Append as many as one batch takes; returns how many, and the place of the first, once they are stored."""

    async def close(self) -> None:
        """Let go of it."""


def log_of(url: str) -> Log:
    """Return the log that a URL names."""
    servers = kafka_servers(url)
    return SqliteLog(url) if servers is None else KafkaLog(servers)


class SqliteLog:
    """A file; commits run in a thread of their own, so that the schedule goes on meanwhile."""

    linger_s = 0.0

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = ThreadPoolExecutor(1)

    async def start(self, topics: Sequence[str]) -> None:
        """Open the file."""
        del topics
        await self._call(self._open)

    def _open(self) -> None:
        database_path(self._url)
        self._client = connect(self._url, durable=read_settings().durable.value)

    def partition(self, topic: str, key: bytes | None, n: int) -> int:
        """There is one."""
        del topic, key, n
        return 0

    async def append(
        self, topic: str, partition: int, keys: Sequence[bytes | None], values: Sequence[bytes]
    ) -> tuple[int, int]:
        """Append in one transaction, at most `CHUNK` records of the client; keys are in the records."""
        del partition, keys
        rows: range = await self._call(lambda: next(iter(self._client.produce_chunks(topic, values))))
        return len(rows), rows.start

    async def close(self) -> None:
        """Close the file."""
        await self._call(self._client.close)
        self._thread.shutdown()

    async def _call(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class KafkaLog:
    """Brokers: an idempotent producer, batches of our own, partitions as Java clients choose them (murmur2).

    It lingers, as Kafka's own producers do (5 ms since 4.0): a request for each few records would keep broker and
    generator busier than what is measured.
    """

    linger_s = 0.002

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._producer: AIOKafkaProducer | None = None
        self._counts: dict[str, int] = {}
        self._places: dict[bytes, int] = {}

    async def start(self, topics: Sequence[str]) -> None:
        """Connect."""
        aiokafka = aiokafka_or_refuse()
        from stream_ml.config.kafka import read_kafka_settings  # noqa: PLC0415 - goes with the extra

        settings = read_kafka_settings()
        self._producer = aiokafka.AIOKafkaProducer(
            **settings.client(self._servers), acks="all", enable_idempotence=True, linger_ms=0,
            max_batch_size=_BATCH_BYTES, compression_type=settings.compression,
        )  # fmt: skip
        await self._producer.start()
        for topic in topics:
            self._counts[topic] = len(await self._producer.partitions_for(topic))

    def partition(self, topic: str, key: bytes | None, n: int) -> int:
        """Return murmur2 of the key modulo the partitions."""
        count = self._counts[topic]
        if key is None:
            return n % count
        found = self._places.get(key)
        if found is None:
            from aiokafka.partitioner import murmur2  # noqa: PLC0415 - goes with the extra

            found = self._places[key] = murmur2(key) & _SIGNLESS
        return found % count

    async def append(
        self, topic: str, partition: int, keys: Sequence[bytes | None], values: Sequence[bytes]
    ) -> tuple[int, int]:
        """Send one batch and wait until it is acknowledged."""
        producer = self._producer
        if producer is None:
            message = "start comes before append"
            raise AssertionError(message)
        batch = producer.create_batch()
        count = 0
        for key, value in zip(keys, values, strict=True):
            if batch.append(key=key, value=value, timestamp=None) is None:
                break
            count += 1
        told = await (await producer.send_batch(batch, topic, partition=partition))
        return count, told.offset

    async def close(self) -> None:
        """Let go of the connections."""
        if self._producer is not None:
            await self._producer.stop()


def aiokafka_or_refuse() -> Any:
    """Return aiokafka, which is an extra.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import aiokafka  # noqa: PLC0415 - an extra
    except ImportError as error:
        cause = "Kafka needs aiokafka, which is not installed"
        raise UsageError(cause, "pip install 'stream-ml[kafka]'") from error
    return aiokafka
