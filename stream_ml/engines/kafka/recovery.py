"""How a task begins: fresh, or from the newest snapshot that passes its checks and the journal after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka import TopicPartition

from stream_ml.engines.kafka.client import partition_of, place
from stream_ml.engines.kafka.logs import MANIFEST, Generation, Logs, read_generation
from stream_ml.engines.kafka.notes import ATTEMPT, RELEASED, SERVING, Left, read_left
from stream_ml.engines.kafka.sources import Sources
from stream_ml.errors import CorruptError
from stream_ml.schema.records import Run
from stream_ml.sessions import journal
from stream_ml.sessions.journal import Entry, read_entry
from stream_ml.sessions.session import read_manifest

#: Headers of an entry: the newest manifest, and who wrote it (producer id, epoch, number).
POINTER, ORIGIN = "manifest", "stream_ml"
_BREATH_S = 0.05  # of feeding again, after which heartbeats and rebalances get a moment
_CURE = "Restore the topics, or start anew under another pipeline name"


class Fed(Protocol):
    """A session as recovery needs it."""

    number: int
    positions: dict[str, int]

    def again(self, entry: Entry, runs: list[Run]) -> None:
        """Feed again what an entry names."""


@dataclass(frozen=True, slots=True)
class Made:
    """How sessions are made: without a state, or from a snapshot."""

    fresh: Callable[[], Fed]
    restore: Callable[[bytes, Iterable[bytes]], Fed]


@dataclass(frozen=True, slots=True)
class Recovered:
    """A session that is ready to go on.

    Parameters
    ----------
    session
        As it stood after the last journal entry; fresh where there was none.
    generation, at
        The snapshot that it came from and its offset, None and -1 without.
    entry, journal
        The entry that the snapshot holds, and the offset of the last entry in the journal (-1: none yet).
    told
        One line for people.
    again_s
        What feeding again took, seconds.
    left, wrote
        What owners left for the next one; who wrote the last entry, as producer id and epoch.
    """

    session: Fed
    generation: Generation | None
    at: int
    entry: int
    journal: int
    told: str
    again_s: float = 0.0
    left: Left = field(default_factory=Left)
    wrote: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether the task never ran."""
        return self.journal < 0


Progress = Callable[[int, int], None]
Opened = Callable[[dict[str, int]], Awaitable[Sources]]


async def recover(
    logs: Logs,
    journal: TopicPartition,
    state: TopicPartition,
    *,
    output: TopicPartition,
    made: Made,
    opened: Opened,
    progress: Progress,
) -> Recovered:
    """Bring a session to where the journal ends.

    Parameters
    ----------
    output
        A partition where nobody but the task writes, and it nothing without an entry in its journal.
    opened
        Opens the task's sources at positions.
    progress
        Called with entries fed again and entries in all.

    Raises
    ------
    CorruptError
        A journal without its snapshot, the reverse, checks that fail, or a source that no longer holds what was fed.
    UsageError
        The declarations have changed.
    """
    asked = logs.settled(journal), logs.settled(state), logs.settled(output), logs.begin(journal)
    end, state_end, output_end, begin = await asyncio.gather(*asked)
    last = await logs.last(journal, begin, end)
    if last is None:
        written = [(state, state_end), (output, output_end)]
        if begin > 0 or any([await logs.last(tp, await logs.begin(tp), end) is not None for tp, end in written]):
            cause = f"{place(journal)} holds no entry, and the pipeline has run: the journal was deleted"
            raise CorruptError(cause, _CURE)
        return Recovered(made.fresh(), None, -1, 0, -1, "fresh start")
    headers = dict(last.headers)
    newest, left = await _newer(logs, state, int(headers.get(POINTER, b"-1")), state_end)
    session, generation, at, damaged = await _newest(logs, state, newest, made)
    start = begin if generation is None else generation.journal
    if start < begin:
        cause = f"{place(journal)} begins at {begin}, and the snapshot needs it from {start} on"
        raise CorruptError(cause, _CURE)
    began, from_entry = time.perf_counter(), session.number
    final = read_entry(last.value or b"").number
    sources: Sources | None = None
    breath = began
    async for record in logs.records(journal, start, end):
        entry = read_entry(record.value or b"")
        if entry.number <= session.number:
            continue
        if entry.number != session.number + 1:
            cause = f"entry {session.number + 1} is missing in {place(journal)}: the next one is {entry.number}"
            raise CorruptError(cause, _CURE)
        if sources is None:
            first = {fed.source: fed.first for fed in entry.fed}
            sources = await opened({**first, **session.positions})
        session.again(entry, [await _read_again(sources, fed) for fed in entry.fed])
        progress(session.number - from_entry, final - from_entry)
        if time.perf_counter() - breath > _BREATH_S:  # one round of the loop is not enough for an answer to be met
            await asyncio.sleep(_BREATH_S / 10)
            breath = time.perf_counter()
    again = session.number - from_entry
    told = f"recovered from {'the journal' if generation is None else f'the snapshot of entry {from_entry:,}'}"
    told += f" and {again:,} entries fed again{damaged}"
    return Recovered(
        session, generation, at, from_entry, last.offset, told, time.perf_counter() - began, left,
        headers.get(ORIGIN, b"").decode().rpartition("/")[0],
    )  # fmt: skip


async def _read_again(sources: Sources, fed: journal.Fed) -> Run:
    tp = partition_of(fed.source)
    kept = journal.kept_run(fed)
    if kept is None:
        return await sources.again(tp, fed.first, fed.end, fed.cap)
    sources.skip(tp, fed.end)
    return kept


async def _newer(logs: Logs, state: TopicPartition, at: int, end: int) -> tuple[int, Left]:
    """Return the newest committed generation, since the last entry cannot name one of its own transaction; and notes.

    A generation goes with a turn, which every note of a turn that came to nothing is younger than.
    """
    attempt, mark = None, None
    async for record in logs.records(state, max(at, await logs.begin(state)), end):
        if record.key == MANIFEST:
            at = record.offset
        elif record.key == ATTEMPT:
            attempt = record.value
        elif record.key in {RELEASED, SERVING}:
            mark = record.key, record.value or b""
    return at, read_left(attempt, mark)


async def _newest(
    logs: Logs, state: TopicPartition, at: int, made: Made
) -> tuple[Fed, Generation | None, int, str]:
    """Return the session of the newest generation that passes its checks."""
    damaged = ""
    while at >= 0:
        generation = await logs.generation(state, at)
        try:
            read_manifest(generation.manifest)
            blobs = await logs.blobs(state, generation)
            session = await asyncio.to_thread(made.restore, generation.manifest, blobs)  # heartbeats go on meanwhile
        except CorruptError:
            damaged += f" (the snapshot at offset {at} is damaged)"
            at = generation.before
            continue
        return session, generation, at, damaged
    return made.fresh(), None, -1, damaged


__all__ = ["Made", "Recovered", "read_generation", "recover"]
