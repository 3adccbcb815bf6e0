"""Producer and consumer of Kafka's topics, with the methods of a file's client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import RecordMetadata

from stream_ml.client.log import now_ms
from stream_ml.client.loop import Loop, answered, stopped
from stream_ml.client.partitions import Partitions, require_topics
from stream_ml.client.records import Place, Record, Start, Value, chunk_of, encoded, field_of, require_start
from stream_ml.config.kafka import KafkaSettings, read_kafka_settings
from stream_ml.errors import UsageError

_BATCH = 256 << 10
_LARGEST = 64 << 20  # what a request may have before the brokers say how much a topic takes
_PARTITIONER = DefaultPartitioner()


class KafkaClient:
    """Producer and consumer of the topics of some brokers: `produce`, `consume` or `records`, then `close`.

    One client belongs to one thread. Each consumer reads over a connection of its own. Security and deadlines are the
    settings `STREAM_ML_KAFKA_*`, or the table [kafka] of stream-ml.toml.

    Parameters
    ----------
    servers
        host:port, more with commas.
    """

    def __init__(self, servers: str, settings: KafkaSettings | None = None) -> None:
        self.servers = servers
        self.settings = read_kafka_settings() if settings is None else settings
        self._client = self.settings.client(servers)
        self._loop: Loop | None = None
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    def __enter__(self) -> KafkaClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; what was acknowledged is stored."""
        if self._loop is not None:
            self._loop.run(self._drop())
            self._loop.close()
        self._loop = None

    def topics(self) -> dict[str, int]:
        """Return every topic that this user may see, with the number of its partitions."""
        with self.reader() as reader:
            return reader.topics()

    def reader(self) -> Partitions:
        """Return a reader of partitions; whoever asks closes it."""
        return Partitions(self.servers, self.settings)

    def produce(
        self, topic: str, records: Iterable[Value], *, key: str | Sequence[str] | None = None
    ) -> list[Place]:
        """Append records to a topic; when it returns, every replica in sync has them.

        Parameters
        ----------
        topic
            Where to append; it must exist.
        records
            dicts, instances of event classes, or bytes and text that are stored as they are. They are acknowledged in
            chunks of at most 2,000 records and about 8 MiB.
        key
            Field of the records (some fields, for a composite key) whose value is the record's key. It decides on the
            partition, as Java's producers do; a topic with more than one partition needs it.

        Returns
        -------
        list of Place
            Partition and offset of each record.

        Raises
        ------
        StorageError
            The brokers cannot be reached or do not answer: what of the last chunk is stored is not known.
        InputError, UsageError
            No such topic; no key where one is needed; a record that is too large, or is no JSON.
        """
        return [place for chunk in self.produce_chunks(topic, records, key=key) for place in chunk]

    def produce_chunks(
        self, topic: str, records: Iterable[Value], *, key: str | Sequence[str] | None = None
    ) -> Iterator[list[Place]]:
        """Like `produce`, but gives each chunk's places as soon as it is stored: for long inputs."""
        if not topic:
            msg = "A topic needs a name"
            raise UsageError(msg)
        source = iter(records)
        while chunk := chunk_of(source):
            if key is None and self.partitions(topic) > 1:
                cause = f"{topic} has {self.partitions(topic)} partitions, and no key says where a record belongs"
                raise UsageError(cause, "Name the key's field: key=FIELD, or --key FIELD")
            keys = [None if key is None else key_of(record, key) for record in chunk]
            yield self.append(topic, [encoded(record) for record in chunk], keys)

    def append(
        self,
        topic: str,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        partitions: Sequence[int | None] | None = None,
    ) -> list[Place]:
        """Append records with their keys, each to its key's partition or to one that is given; wait until stored."""
        self.partitions(topic)
        given = [None] * len(values) if partitions is None else partitions
        if self._loop is None:
            self._loop = Loop()
        return self._loop.run(self._send(topic, values, keys, given))

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has.

        Raises
        ------
        InputError
            If there is no such topic.
        """
        if topic not in self._partitions:
            known = self.topics()
            require_topics(known, (topic,), self.servers)
            self._partitions = known
        return self._partitions[topic]

    def consume(
        self, topic: str, start: Start = "start", *, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Any]:
        """Read a topic as JSON (dicts), committed records only; a value that is no JSON comes as bytes.

        Parameters
        ----------
        topic
            What to read: its partitions as their records come, each in its order.
        start
            `"start"`, `"end"` (only what comes from now on) or an offset, which counts in each partition.
        follow
            Go on waiting for more at the end.
        timeout
            With `follow`: end when nothing has come for so many seconds.

        Raises
        ------
        InputError
            If there is no such topic.
        StorageError
            If the brokers cannot be reached or do not answer.
        """
        for batch in self.batches((topic,), start, follow=follow, timeout=timeout):
            for record in batch:
                yield record.json()

    def records(
        self, topic: str, start: Start = "start", *, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Record]:
        """Like `consume`, with partition, offset (as `row`), received time, key and the bytes as they are."""
        for batch in self.batches((topic,), start, follow=follow, timeout=timeout):
            yield from batch

    def batches(
        self,
        topics: Sequence[str],
        start: Start = "start",
        *,
        follow: bool = False,
        timeout: float | None = None,
        size: int = 2_000,
    ) -> Iterator[list[Record]]:
        """Read some topics in lists of at most `size`, as they are found."""
        require_start(start)
        with self.reader() as reader:
            reader.open_topics(topics, start)
            yield from reader.batches(follow=follow, timeout=timeout, size=size)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send(
        self, topic: str, values: Sequence[bytes], keys: Sequence[bytes | None], partitions: Sequence[int | None]
    ) -> list[Place]:
        """Send and wait; after any error the producer is given up, for its sequence may have a gap."""
        try:
            async with answered(self.servers, self.settings.deadline_s, f"producing to {topic}"):
                producer = await self._started()
                routed = [
                    self._partition(topic, key) if partition is None else partition
                    for key, partition in zip(keys, partitions, strict=True)
                ]
                sent = await _batched(producer, topic, values, keys, routed)
                try:
                    told = [await one for one, _ in sent]
                except BaseException:
                    await asyncio.gather(*(one for one, _ in sent), return_exceptions=True)
                    raise
        except BaseException:
            await self._drop()
            raise
        places = [Place(0, 0)] * len(values)
        for one, (_, records) in zip(told, sent, strict=True):
            for at, record in enumerate(records):
                places[record] = Place(one.partition, one.offset + at)
        return places

    def _partition(self, topic: str, key: bytes | None) -> int:
        everywhere = range(self._partitions[topic])
        return int(_PARTITIONER(key, everywhere, everywhere))

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._client,
                enable_idempotence=True,
                acks="all",
                compression_type=self.settings.compression,
                max_batch_size=_BATCH,
                max_request_size=_LARGEST,
                linger_ms=0,
            )
            await self._producer.start()
        return self._producer

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await stopped(producer.stop)


async def _batched(
    producer: AIOKafkaProducer,
    topic: str,
    values: Sequence[bytes],
    keys: Sequence[bytes | None],
    partitions: Sequence[int],
) -> list[tuple[asyncio.Future[RecordMetadata], list[int]]]:
    """Hand records over in whole batches, which costs a fraction of record by record; also returns what is in each."""
    sent: list[tuple[asyncio.Future[RecordMetadata], list[int]]] = []
    open_: dict[int, tuple[Any, list[int]]] = {}
    now = now_ms()
    for record, partition in enumerate(partitions):
        if partition not in open_:
            open_[partition] = (producer.create_batch(), [])
        batch, inside = open_[partition]
        if batch.append(key=keys[record], value=values[record], timestamp=now) is None:
            sent.append((await producer.send_batch(batch, topic, partition=partition), inside))
            batch, inside = open_[partition] = (producer.create_batch(), [])
            batch.append(key=keys[record], value=values[record], timestamp=now)
        inside.append(record)
    for partition, (batch, inside) in open_.items():
        sent.append((await producer.send_batch(batch, topic, partition=partition), inside))
    return sent


def key_of(record: Value, names: str | Sequence[str]) -> bytes | None:
    """Return the key of a record: its field's text, a JSON list for several fields; None where one is missing.

    Examples
    --------
    >>> key_of({"card": "c1", "n": 12, "ok": True}, "card"), key_of({"card": "c1", "n": 12}, "n")
    (b'c1', b'12')
    >>> key_of({"card": "c1", "n": 12}, ["card", "n"])
    b'["c1",12]'
    >>> key_of({"card": None}, "card")
    """
    if not isinstance(names, str):
        parts = [field_of(record, name) for name in names]
        if len(parts) != 1:
            return None if None in parts else orjson.dumps(parts)
        return _text(parts[0])
    return _text(field_of(record, names))


def _text(value: Any) -> bytes | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.encode()
    return orjson.dumps(value)
