"""Keeps snapshots of a task: pieces are written between turns, the manifest in the transaction of a turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.client import deadline, let_go
from stream_ml.engines.kafka.logs import FORMAT, MANIFEST, Generation
from stream_ml.engines.kafka.writer import BATCH_BYTES, Part
from stream_ml.sessions.codec import Seal
from stream_ml.sessions.session import read_manifest

#: Header of a manifest: how many bytes were written for its snapshot.
BYTES = "bytes"
PIECE = BATCH_BYTES - 10_000


class Machine(Protocol):
    """What a snapshot is taken of."""

    number: int

    def unsealed(self) -> Iterator[Seal]:
        """Return blobs, the manifest last."""


class Pieces:
    """Writes pieces of snapshots, outside of transactions: they count only once a manifest names them."""

    def __init__(self, client: Mapping[str, Any], settings: KafkaSettings) -> None:
        self._wait_s = settings.deadline_s
        self._producer = AIOKafkaProducer(
            **client, enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES, linger_ms=0
        )

    async def start(self) -> None:
        """Connect."""
        async with deadline(self._wait_s, "connecting to Kafka"):
            await self._producer.start()

    async def close(self) -> None:
        """Let go of the connections."""
        await let_go(self._producer.stop())

    async def write(self, to: TopicPartition, key: bytes, blob: bytes) -> tuple[int, ...]:
        """Write a blob in pieces; returns their offsets."""
        async with deadline(self._wait_s, "writing a snapshot"):
            sent = [
                await self._producer.send(to.topic, blob[start : start + PIECE], key, to.partition)
                for start in range(0, max(len(blob), 1), PIECE)
            ]
            told: list[RecordMetadata] = await asyncio.gather(*sent)
        return tuple(one.offset for one in told)


class Snapshots:
    """Snapshots of one task.

    States: idle → (due) writing, in a coroutine of its own that runs between turns → ready: `part` goes with the next
    turn → `committed` → idle.

    Parameters
    ----------
    machine
        The session.
    pieces
        Where blobs go.
    state
        The task's partition of the state topic.
    budget_s
        A snapshot is due when feeding again what came since would take longer, in seconds.
    alone
        Keeps turns away while a piece is packed.
    """

    def __init__(
        self, machine: Machine, pieces: Pieces, state: TopicPartition, budget_s: float,
        alone: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:  # fmt: skip
        self._machine, self._pieces, self._state, self._budget_s = machine, pieces, state, budget_s
        self._alone = alone
        self._places: list[tuple[int, ...]] = []
        self._since_s = 0.0
        self._work: asyncio.Task[None] | None = None
        self._manifest: bytes | None = None
        self._newest: Generation | None = None
        self._old: Generation | None = None
        self._entry = -1
        self._journal = -1
        self.at = -1
        self.entry = 0
        self.taken: float | None = None
        self.bytes = 0

    def restored(self, generation: Generation | None, at: int, entry: int, again_s: float) -> None:
        """Go on from the generation that the session came from."""
        self._places = [] if generation is None else list(generation.places)
        self._newest = generation
        self.at, self.entry, self._since_s = at, entry, again_s

    def after_turn(self, feed_s: float, journal: int) -> None:
        """Count a turn of so many seconds whose entry stands at a place in the journal; begin when it is time."""
        self._since_s += feed_s
        if self._since_s > self._budget_s:
            self.begin(journal)

    def begin(self, journal: int) -> None:
        """Begin a snapshot of the state after the entry that stands at a place in the journal."""
        if self._work is not None or self._manifest is not None or self._machine.number == self.entry:
            return
        self._since_s = 0.0
        self._journal, self._entry = journal, self._machine.number
        self._work = asyncio.create_task(self._write(self._machine.unsealed()))

    @property
    def busy(self) -> bool:
        """Whether a snapshot is being written."""
        return self._work is not None

    async def finished(self) -> None:
        """Wait for a snapshot that is being written, and tell if it failed."""
        if self._work is not None:
            await self._work

    def failed(self) -> None:
        """Raise what writing raised."""
        if self._work is not None and self._work.done():
            self._work.result()

    def cancel(self) -> None:
        """Leave off."""
        if self._work is not None:
            self._work.cancel()

    async def _write(self, blobs: Iterator[Seal]) -> None:
        entry = str(self._entry).encode()
        fresh: list[tuple[int, ...]] = []
        blob = await self._packed(blobs)
        self.bytes = 0
        while following := await self._packed(blobs):
            fresh.append(await self._pieces.write(self._state, b"%s:%d" % (entry, len(fresh)), blob))
            self.bytes += len(blob)
            blob = following
        manifest = read_manifest(blob)
        self._places = (self._places if not manifest.base else []) + fresh
        self._places = self._places[-len(manifest.checks) :]
        self._manifest = blob
        self._work = None

    async def _packed(self, blobs: Iterator[Seal]) -> bytes:
        """Return the next blob, empty after the last; turns are kept away while it is packed, not while compressed."""
        async with self._alone():
            seal = next(blobs, bytes)
        return await asyncio.to_thread(seal)

    def part(self) -> Part | None:
        """Return the record that makes a written snapshot count, for the next turn's transaction."""
        if self._manifest is None:
            return None
        size = [(BYTES, str(self.bytes).encode())]
        return Part(self._state, [MANIFEST], [msgspec.msgpack.encode(self._made(self._manifest))], size)

    def _made(self, manifest: bytes) -> Generation:
        return Generation(FORMAT, manifest, tuple(self._places), self._journal, self.at)

    def committed(self, told: RecordMetadata) -> None:
        """Take note that the record is stored."""
        assert self._manifest is not None
        self._old, self._newest, self._manifest = self._newest, self._made(self._manifest), None
        self.at, self.entry = told.offset, self._entry
        self.taken = time.time()

    def droppable(self) -> Generation | None:
        """Return, once, the generation before the newest: what is older than it needs may go."""
        old, self._old = self._old, None
        return old
