"""Reads partitions of Kafka as they come, committed records only, with a deadline for every wait."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from stream_ml.client.loop import Loop, answered, stopped
from stream_ml.client.records import Place, Record, Start
from stream_ml.config.kafka import KafkaSettings
from stream_ml.errors import InputError, StorageError

_WAIT_S = 0.5  # for records
_END_WAIT_S = 0.05  # where the end is known: what comes last may be a mark that is no record
_ASK_S = 10.0  # of silence, after which the brokers are asked whether they live
_MARKERS_S = 2.0  # how long the end is waited for where a transaction is open behind which nothing is visible


class Partitions:
    """A reader over a connection of its own: made → `topics`, `open` → `batches` → `close`.

    Parameters
    ----------
    servers
        host:port, more with commas.
    """

    def __init__(self, servers: str, settings: KafkaSettings) -> None:
        self._servers, self._settings = servers, settings
        self._client = settings.client(servers)
        self._loop = Loop()
        self._consumer: AIOKafkaConsumer | None = None
        self._first: dict[TopicPartition, int] = {}
        self._heard = self._asked = 0.0

    def __enter__(self) -> Partitions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        if self._consumer is not None:
            self._loop.run(stopped(self._consumer.stop))
            self._consumer = None
        self._loop.close()

    def topics(self) -> dict[str, int]:
        """Return every topic that this user may see, with the number of its partitions."""
        return self._loop.run(self._topics())

    def open(self, start: Mapping[TopicPartition, Start]) -> None:
        """Take partitions up, each at its start, its end or an offset."""
        self._loop.run(self._open(start))

    def open_topics(self, topics: Sequence[str], start: Start) -> None:
        """Take every partition of some topics up; an offset counts in each partition.

        Raises
        ------
        InputError
            If there is no such topic.
        """
        known = self.topics()
        require_topics(known, topics, self._servers)
        self.open({TopicPartition(topic, number): start for topic in topics for number in range(known[topic])})

    def batches(self, *, follow: bool, timeout: float | None, size: int) -> Iterator[list[Record]]:
        """Read what was opened, in lists of at most `size`; without `follow` up to what was there at the start."""
        if not self._first:
            return
        ends = None if follow else self._loop.run(self._ends())
        self._heard = self._asked = time.monotonic()
        while True:
            records = self._loop.run(self._more(ends, timeout, size))
            if records is None:
                return
            if records:
                yield records

    def at(self, topic: str, partition: int, offset: int) -> ConsumerRecord[bytes, bytes] | None:
        """Return the committed record at an offset, None where there is none, or none any more."""
        return self._loop.run(self._at(TopicPartition(topic, partition), offset))

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = self._made("read_committed")
            async with answered(self._servers, self._settings.deadline_s, "connecting"):
                try:
                    await consumer.start()
                except BaseException:
                    await stopped(consumer.stop)
                    raise
            self._consumer = consumer
        return self._consumer

    def _made(self, isolation: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=isolation,
            fetch_max_bytes=self._settings.fetch_bytes,
            max_partition_fetch_bytes=self._settings.partition_bytes,
            fetch_max_wait_ms=250,
        )

    async def _topics(self) -> dict[str, int]:
        consumer = await self._started()
        async with answered(self._servers, self._settings.deadline_s, "asking for topics"):
            found = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - as `topics` does, with partitions
        return {topic: len(found.partitions_for_topic(topic) or ()) for topic in sorted(found.topics())}

    async def _open(self, start: Mapping[TopicPartition, Start]) -> None:
        consumer, wanted = await self._started(), list(start)
        async with answered(self._servers, self._settings.deadline_s, "asking where the topic begins and ends"):
            begins, ends = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        consumer.assign(wanted)
        self._first = {}
        for tp, place in start.items():
            first = begins[tp] if place == "start" else ends[tp] if place == "end" else int(place)
            self._first[tp] = first
            consumer.seek(tp, min(max(first, begins[tp]), ends[tp]))

    async def _at(self, tp: TopicPartition, offset: int) -> ConsumerRecord[bytes, bytes] | None:
        await self._open({tp: offset})
        consumer = await self._started()
        async with answered(self._servers, self._settings.deadline_s, f"reading {tp.topic}"):
            while offset <= await consumer.position(tp) < (await consumer.end_offsets([tp]))[tp]:
                for one in (await consumer.getmany(tp, timeout_ms=250, max_records=1)).get(tp, ()):
                    return one if one.offset == offset else None
        return None

    async def _ends(self) -> dict[TopicPartition, int]:
        """Ask where the partitions end now, for a reader who waits until open transactions are decided."""
        everything = self._made("read_uncommitted")
        async with answered(self._servers, self._settings.deadline_s, "asking where the topic ends"):
            try:
                await everything.start()
                found: dict[TopicPartition, int] = await everything.end_offsets(list(self._first))
            finally:
                await stopped(everything.stop)
        return found

    async def _more(
        self, ends: Mapping[TopicPartition, int] | None, timeout: float | None, size: int
    ) -> list[Record] | None:
        """Return records, none where none came yet, None at the end."""
        consumer = await self._started()
        if ends is not None and await self._read(consumer, ends):
            return None
        wait = _WAIT_S if ends is None else _END_WAIT_S
        if timeout is not None:
            wait = max(0.0, min(wait, self._heard + timeout - time.monotonic()))
        async with answered(self._servers, self._settings.deadline_s, "reading"):
            got = await consumer.getmany(timeout_ms=int(1000 * wait), max_records=size)
        if not got:
            return None if await self._silent(consumer, timeout, _ASK_S if ends is None else _MARKERS_S) else []
        self._heard = self._asked = time.monotonic()
        return [
            _record(one)
            for tp, some in got.items()
            for one in some
            if one.offset >= self._first[tp] and (ends is None or one.offset < ends[tp])
        ]

    async def _read(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        async with answered(self._servers, self._settings.deadline_s, "reading"):
            return not any([await consumer.position(tp) < end for tp, end in ends.items()])

    async def _silent(self, consumer: AIOKafkaConsumer, timeout: float | None, ask_s: float) -> bool:
        """Tell, where nothing came, whether that is the end; now and then the brokers are asked.

        Raises
        ------
        StorageError
            If the brokers do not answer, or hold records that do not come.
        """
        now = time.monotonic()
        if timeout is not None and now - self._heard >= timeout:
            return True
        if now - self._asked < ask_s:
            return False
        self._asked = now
        async with answered(self._servers, self._settings.deadline_s, "reading"):
            ends = await consumer.end_offsets(list(self._first))
            behind = [tp for tp, end in ends.items() if await consumer.position(tp) < end]
        if behind and now - self._heard > self._settings.request_timeout_ms / 1000:
            cause = f"{behind[0].topic}/{behind[0].partition} of {self._servers} holds records that do not come"
            raise StorageError(cause, "Check the brokers' logs")
        return not behind and ask_s == _MARKERS_S

def require_topics(known: Mapping[str, int], topics: Sequence[str], servers: str) -> None:
    """Refuse topics that there are not.

    Raises
    ------
    InputError
        If one is not there.
    """
    for topic in topics:
        if not known.get(topic):
            cause = f"There is no topic {topic} on {servers}"
            raise InputError(cause, "Make it: `stream-ml topics PIPELINE.py` prints the commands")


def _record(one: ConsumerRecord[bytes, bytes]) -> Record:
    key = None if one.key is None else one.key.decode("utf-8", "backslashreplace")
    return Record(one.offset, one.topic, one.timestamp, key, one.value or b"", one.partition)


def place_of(record: Record) -> Place:
    """Return where on Kafka a record is."""
    return Place(record.partition, record.row)
