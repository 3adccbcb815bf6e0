"""What a task reads: its partition of every topic, merged by received time without running ahead of any."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from numpy.typing import NDArray

from stream_ml.client.log import now_ms
from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.batches import Block
from stream_ml.engines.kafka.checks import KeyCheck
from stream_ml.engines.kafka.client import LostError, assign_paused, deadline, let_go, place
from stream_ml.engines.kafka.fetch import fetched
from stream_ml.errors import CorruptError
from stream_ml.schema.records import Run, Topics
from stream_ml.sessions.merge import earliest, safe
from stream_ml.sessions.session import RANKS

I8 = NDArray[np.int64]
#: Of records of tables in one turn: their bytes go into its journal entry.
KEPT_BYTES = 400_000
#: Of one source that wait to be fed, from which on no more are fetched.
HELD_BYTES = 32 << 20
_NONE = np.zeros(0, np.int64)


@dataclass(slots=True)
class Source:
    """One partition as it is read: records that are fetched and not yet fed.

    Parameters
    ----------
    fed
        One past the last record that was fed: the source's position.
    read
        One past the last that was fetched, control records included.
    known
        The end as far as the broker told: the last stable offset.
    offsets, received, stamps
        Of the waiting records; stamps are the received times that never fall.
    """

    tp: TopicPartition
    rank: int
    fed: int
    read: int
    known: int
    offsets: I8 = field(default_factory=lambda: _NONE)
    received: I8 = field(default_factory=lambda: _NONE)
    stamps: I8 = field(default_factory=lambda: _NONE)
    _blocks: deque[Block] = field(default_factory=deque)

    @property
    def behind(self) -> bool:
        """Whether the broker holds records that are not fetched."""
        return self.read < self.known

    @property
    def waiting(self) -> int:
        """How many records are fetched and not fed."""
        return self.offsets.size

    @property
    def held(self) -> int:
        """How many bytes of values lie in memory."""
        return sum(len(block.values.block) for block in self._blocks)

    @property
    def past(self) -> int:
        """One past what needs no more feeding: markers after the last record need none."""
        return self.fed if self.waiting else max(self.fed, self.read)

    def add(self, block: Block) -> None:
        """Take fetched records up."""
        self.offsets = np.concatenate([self.offsets, block.offsets])
        self.received = np.concatenate([self.received, block.received])
        self.stamps = np.concatenate([self.stamps, block.received])
        since = self.stamps[max(0, self.stamps.size - len(block) - 1) :]
        np.maximum.accumulate(since, out=since)
        self._blocks.append(block)

    def take(self, n: int, cap: int) -> Run:
        """Give the first `n` records away."""
        block = self.drop(n)
        first, self.fed = self.fed, int(block.offsets[-1]) + 1
        topics = Topics((self.tp.topic,), np.zeros(n, np.int64))
        return Run(
            place(self.tp), first, self.fed, cap, topics, block.offsets, block.received, block.keys, block.values,
            kept=self.rank == RANKS["table"],
        )  # fmt: skip

    def drop(self, n: int) -> Block:
        """Forget the first `n` records, which are returned."""
        self.offsets, self.received, self.stamps = self.offsets[n:], self.received[n:], self.stamps[n:]
        if self.waiting and self.stamps[0] > self.received[0]:  # risen by what is gone
            self.stamps = np.maximum.accumulate(self.received)
        parts: list[Block] = []
        while n:
            block = self._blocks.popleft()
            if len(block) > n:
                self._blocks.appendleft(block.behind(n))
            parts.append(block[:n])
            n -= len(parts[-1])
        return Block.joined(parts)

    def size(self, n: int) -> int:
        """Return how many bytes the first `n` values have."""
        sizes = [block.values.ends - block.values.begins for block in self._blocks]
        return int(np.concatenate(sizes)[:n].sum()) if n else 0


class Sources:
    """The sources of one task, over a consumer of its own.

    States: made → `open` at positions → (`fill`, `take`)* → `close`; before going live, `again` for each run of the
    journal's tail. After any error it is good for nothing: aiokafka loses fetched records of other partitions when one
    partition fails.

    Parameters
    ----------
    client
        What every client is made with.
    partitions
        Each source's partition and its rank among records received at the same moment.
    checks
        Of the keys, for the sources where they matter.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        settings: KafkaSettings,
        partitions: Mapping[TopicPartition, int],
        checks: Mapping[TopicPartition, KeyCheck] | None = None,
    ) -> None:
        self._checks = dict(checks or {})
        self._wait_s = settings.deadline_s
        self._partitions = dict(partitions)
        self._consumer = AIOKafkaConsumer(**client, **consumer_options(settings))
        self._all: dict[TopicPartition, Source] = {}
        self._first: frozenset[TopicPartition] = frozenset()

    async def start(self) -> None:
        """Connect."""
        async with deadline(self._wait_s, "connecting to Kafka"):
            await self._consumer.start()
        assign_paused(self._consumer, self._partitions)

    async def close(self) -> None:
        """Let go of the connections."""
        await let_go(self._consumer.stop())

    async def ends(self) -> dict[TopicPartition, int]:
        """Ask where each source ends for readers of committed records."""
        async with deadline(self._wait_s, "asking where the sources end"):
            found: dict[TopicPartition, int] = await self._consumer.end_offsets(list(self._partitions))
        return found

    async def begins(self) -> dict[TopicPartition, int]:
        """Ask for the oldest record that each source still holds."""
        async with deadline(self._wait_s, "asking where the sources begin"):
            found: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(self._partitions))
        return found

    async def since(self, moment_ms: int) -> dict[TopicPartition, int]:
        """Ask for the first record of each source that was received at a moment or later, else its end."""
        async with deadline(self._wait_s, "asking where the sources stood at a moment"):
            found = await self._consumer.offsets_for_times(dict.fromkeys(self._partitions, moment_ms))
        ends = await self.ends()
        return {tp: ends[tp] if found.get(tp) is None else found[tp].offset for tp in self._partitions}

    async def open(self, positions: Mapping[str, int], first: frozenset[TopicPartition] = frozenset()) -> None:
        """Read on from positions, one for each source's name; some sources are read whole before the others begin."""
        self._first = first
        ends = await self.ends()
        for tp, rank in self._partitions.items():
            at = positions[place(tp)]
            self._consumer.seek(tp, at)
            self._all[tp] = Source(tp, rank, at, at, ends[tp])
        self._consumer.resume(*self._partitions)

    async def fill(self, wait_s: float, only: TopicPartition | None = None) -> int:
        """Fetch what is there, waiting at most so long for the first record; returns how many came.

        A source of which much waits is left with the client, whose buffer is bounded; so is then the memory of a task
        one of whose sources is far denser than another.

        Raises
        ------
        CorruptError
            If a source no longer holds what comes next.
        UsageError
            If a record stands in another partition than its key's, or has another key than its event's.
        """
        try:
            async with deadline(self._wait_s + wait_s, "reading"):
                wanted = (only,) if only else tuple(tp for tp, one in self._all.items() if one.held < HELD_BYTES)
                got = await fetched(self._consumer, wait_s, wanted) if wanted else {}
                for tp, source in self._all.items():
                    if tp in got:
                        source.add(got[tp])
                        if tp in self._checks:
                            self._checks[tp].fetched(got[tp])
                    source.read = await self._consumer.position(tp)
                    source.known = max(source.known, self._consumer.last_stable_offset(tp) or 0)
        except LostError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise await self._gone() from error
            raise
        return sum(map(len, got.values()))

    async def _gone(self) -> CorruptError:
        begins = await self.begins()
        lost = [source for tp, source in self._all.items() if source.read < begins[tp]]
        told = ", ".join(
            f"{source.tp.topic}/{source.tp.partition} from {source.read} to {begins[source.tp] - 1}" for source in lost
        )
        cause = f"Kafka no longer holds what comes next: {told or 'an offset past the end; was the topic made anew?'}"
        return CorruptError(
            cause,
            "Keep the topics longer than the longest outage; to go on without these records, start anew under another "
            "pipeline name",
        )

    @property
    def waiting(self) -> int:
        """How many records are fetched and not fed."""
        return sum(source.waiting for source in self._all.values())

    @property
    def lag(self) -> int:
        """How many offsets lie between the positions and the ends that were told last, markers at an end left out."""
        return sum(max(0, source.known - source.past) for source in self._all.values())

    @property
    def known(self) -> dict[TopicPartition, int]:
        """Where each source ends as far as the brokers told."""
        return {tp: source.known for tp, source in self._all.items()}

    def past(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Tell whether every record before these ends is fed."""
        return all(source.past >= ends[tp] for tp, source in self._all.items())

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The next offset of each source."""
        return {tp: source.fed for tp, source in self._all.items()}

    def take(self, limit: int) -> list[Run]:
        """Give what may be fed now, in merged order at most so many records.

        A source that has nothing fetched and is behind its end holds all the others back; one that has, and is behind,
        holds them at its last fetched record.
        """
        live = [source for source in self._all.values() if source.waiting or source.behind]
        if self._first:
            whole = [source for source in live if source.tp in self._first]
            self._first, live = (self._first, whole) if whole else (frozenset(), live)
        if not any(source.waiting for source in live) or not all(source.waiting for source in live):
            return []
        stamps = [source.stamps for source in live]
        ranks = [source.rank for source in live]
        counts = safe(stamps, ranks, [source.behind for source in live])
        counts = self._bounded(live, stamps, counts, limit)
        cap = now_ms()
        return [source.take(n, cap) for source, n in zip(live, counts, strict=True) if n]

    def _bounded(self, live: list[Source], stamps: list[I8], counts: list[int], limit: int) -> list[int]:
        """Cut a turn to so many records, and to what the journal may keep of tables."""
        ranks = [source.rank for source in live]
        tables = [i for i, rank in enumerate(ranks) if rank == RANKS["table"]]
        while True:
            if sum(counts) > limit:
                counts = earliest(stamps, ranks, counts, limit)
            kept = sum(live[i].size(counts[i]) for i in tables)
            if kept <= KEPT_BYTES or sum(counts) == 1:
                return counts
            limit = sum(counts) // 2

    def nothing(self) -> list[Run]:
        """Give runs without records: they only say where each source begins."""
        cap = now_ms()
        return [
            Run(place(tp), source.fed, source.fed, cap, [], _NONE, _NONE, [], []) for tp, source in self._all.items()
        ]

    async def read_whole(self) -> bool:
        """Ask the brokers whether every record has been fed."""
        if self.waiting:
            return False
        ends = await self.ends()
        for tp, source in self._all.items():
            source.known = max(source.known, ends[tp])
        return not any(source.behind for source in self._all.values())

    def skip(self, tp: TopicPartition, end: int) -> None:
        """Go past records that the journal kept."""
        source = self._all[tp]
        source.fed = end
        if source.read < end:
            source.read = end
            self._consumer.seek(tp, end)
        source.drop(int(np.searchsorted(source.offsets, end)))

    async def again(self, tp: TopicPartition, first: int, end: int, cap: int) -> Run:
        """Read a run that was fed before.

        Raises
        ------
        CorruptError
            If the source no longer holds it.
        """
        source = self._all[tp]
        source.fed = first
        while source.read < end and not (source.waiting and source.offsets[-1] >= end - 1):
            await self.fill(1.0, tp)
            if source.read < end and source.read >= source.known:
                ends = await self.ends()
                source.known = max(source.known, ends[tp])
                if source.read >= source.known:
                    cause = f"{place(tp)} ends at {source.known}, and records up to {end - 1} were fed: made anew?"
                    raise CorruptError(cause, "Restore the topic, or start anew with another pipeline name")
        n = int(np.searchsorted(source.offsets, end))
        run = source.take(n, cap) if n else Run(place(tp), first, end, cap, [], _NONE, _NONE, [], [])
        source.fed = end
        return replace(run, end=end)


def consumer_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options of every consumer that reads records: committed ones only, positions are ours."""
    return {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "fetch_max_bytes": settings.fetch_bytes,
        "max_partition_fetch_bytes": settings.partition_bytes,
        "fetch_max_wait_ms": 250,
    }
