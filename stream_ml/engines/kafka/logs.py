"""Reads a task's own partitions back: its journal, and the snapshots in its state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.client import LostError, assign_paused, deadline, let_go, place
from stream_ml.engines.kafka.sources import consumer_options
from stream_ml.errors import CorruptError, FormatError

FORMAT = 1
MANIFEST = b"manifest"
_POLL_S = 0.05
_FETCH_MS = 5  # what is asked for lies before a known end: a broker that waits for more only holds other answers up


class Generation(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot as the state partition holds it.

    Parameters
    ----------
    manifest
        Of the session: checksums, and the entry that it goes up to.
    places
        Offsets of the pieces of each blob, oldest blob first.
    journal
        Offset of the journal's entry that it goes up to.
    before
        Offset of the generation before it in the state partition, -1 where there is none.
    """

    format: int
    manifest: bytes
    places: tuple[tuple[int, ...], ...]
    journal: int
    before: int

    @property
    def first(self) -> int:
        """The oldest offset of the state partition that it needs."""
        return min((piece for blob in self.places for piece in blob), default=0)


_DECODER = msgspec.msgpack.Decoder(Generation)


def read_generation(raw: bytes) -> Generation:
    """Return a generation from its bytes.

    Raises
    ------
    CorruptError, FormatError
        If they are none, or a newer version's.
    """
    try:
        found = _DECODER.decode(raw)
    except msgspec.DecodeError as error:
        cause = "a snapshot's record cannot be read"
        raise CorruptError(cause, "Restore the state topic") from error
    if found.format > FORMAT:
        cause = "the snapshot was written by a newer version of stream_ml"
        raise FormatError(cause, "Upgrade stream_ml on this machine")
    return found


class Logs:
    """A reader of a task's journal and state, for the time of an acquire.

    Order of calls: `start`, `settled` for each partition, then reads, then `close`.
    """

    def __init__(
        self, client: Mapping[str, Any], settings: KafkaSettings, partitions: Iterable[TopicPartition]
    ) -> None:
        self._wait_s = settings.deadline_s
        self._partitions = list(partitions)
        options = {**consumer_options(settings), "fetch_max_wait_ms": _FETCH_MS}
        self._reader = AIOKafkaConsumer(**client, **options)
        self._uncommitted = AIOKafkaConsumer(**client, **{**options, "isolation_level": "read_uncommitted"})

    async def start(self) -> None:
        """Connect."""
        async with deadline(self._wait_s, "connecting to Kafka"):
            await asyncio.gather(self._reader.start(), self._uncommitted.start())
        for consumer in (self._reader, self._uncommitted):
            assign_paused(consumer, self._partitions)

    async def close(self) -> None:
        """Let go of the connections."""
        await let_go(self._reader.stop(), self._uncommitted.stop())

    async def settled(self, tp: TopicPartition) -> int:
        """Wait until no open transaction hides committed records; returns the end.

        Raises
        ------
        LostError
            If somebody's transaction hangs: the cure is named.
        """
        stable = 0
        try:
            async with asyncio.timeout(self._wait_s):
                while True:
                    stable, high = await self._ends(tp)
                    if stable == high:
                        return high
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            cause = f"a transaction stays open on {place(tp)} at offset {stable}: entries behind it cannot be seen"
            raise LostError(cause, "Find and end it: kafka-transactions.sh find-hanging, then abort") from error

    async def visible(self, tp: TopicPartition) -> int:
        """Return the end of what is committed, without waiting for open transactions."""
        return (await self._ends(tp))[0]

    async def _ends(self, tp: TopicPartition) -> tuple[int, int]:
        async with deadline(self._wait_s, f"asking where {place(tp)} ends"):
            stable, high = await asyncio.gather(self._reader.end_offsets([tp]), self._uncommitted.end_offsets([tp]))
        return stable[tp], high[tp]

    async def begin(self, tp: TopicPartition) -> int:
        """Return the oldest offset that a partition holds."""
        async with deadline(self._wait_s, f"asking where {place(tp)} begins"):
            found: int = (await self._reader.beginning_offsets([tp]))[tp]
        return found

    async def records(
        self, tp: TopicPartition, first: int, end: int
    ) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
        """Yield the committed records of a partition from an offset to before another.

        The end is told by the position, never by a record: what comes last may be markers and aborted records only.
        What the partition does not hold is left out.
        """
        (stable, _), begin = await asyncio.gather(self._ends(tp), self.begin(tp))
        first, end = max(first, begin), min(end, stable)
        self._reader.pause(*self._partitions)
        self._reader.seek(tp, first)
        self._reader.resume(tp)
        position = first
        while position < end:
            async with deadline(self._wait_s, f"reading {place(tp)}"):
                got = await self._reader.getmany(tp, timeout_ms=500)
                position = await self._reader.position(tp)
            for record in got.get(tp, ()):
                if record.offset >= end:
                    return
                yield record

    async def last(self, tp: TopicPartition, begin: int, end: int) -> ConsumerRecord[bytes, bytes] | None:
        """Return the last committed record before an end, None where there is none."""
        span = 8
        while True:
            first = max(begin, end - span)
            found = None
            async for record in self.records(tp, first, end):
                found = record
            if found is not None or first == begin:
                return found
            span *= 16

    async def generation(self, tp: TopicPartition, at: int) -> Generation:
        """Read the generation that stands at an offset.

        Raises
        ------
        CorruptError
            If there is none.
        """
        async for record in self.records(tp, at, at + 1):
            if record.key == MANIFEST:
                return read_generation(record.value or b"")
        cause = f"{place(tp)} no longer holds the snapshot at offset {at}"
        raise CorruptError(cause, "Set retention.ms=-1 on the state topic; start anew under another pipeline name")

    async def blobs(self, tp: TopicPartition, generation: Generation) -> list[bytes]:
        """Read the blobs of a generation, oldest first; a missing piece leaves a blob short, which its check tells."""
        wanted = {piece for blob in generation.places for piece in blob}
        if not wanted:
            return []
        found: dict[int, bytes] = {}
        async for record in self.records(tp, min(wanted), max(wanted) + 1):
            if record.offset in wanted:
                found[record.offset] = record.value or b""
        return [b"".join(found.get(piece, b"") for piece in blob) for blob in generation.places]
