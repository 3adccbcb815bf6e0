"""The first turns of a task whose last owner died: each is written down before it is begun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from aiokafka import TopicPartition

from stream_ml.client.log import now_ms
from stream_ml.engines.attempts import ALL, Attempt, Attempts, Kind, kills
from stream_ml.engines.kafka.notes import Left
from stream_ml.engines.kafka.recovery import Recovered
from stream_ml.engines.kafka.sources import Sources
from stream_ml.schema.records import Run
from stream_ml.sessions.base import Place
from stream_ml.sessions.journal import DEADLINES

#: Of the last owner that may not be in the journal: one was being stored, and the next one computed.
_TURNS = 2
_PATIENCE_S = 2.0


class Gate:
    """Keeps the turns of one process apart, and its tasks while one of them has written down what it feeds.

    Otherwise a record of one task would be blamed for the death that another task's record was.
    """

    def __init__(self) -> None:
        self._alone, self._turn = asyncio.Lock(), asyncio.Lock()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Let no other task feed: those that passed before have fed when this begins."""
        async with self._alone:
            async with self._turn:
                pass
            yield

    async def passed(self) -> None:
        """Wait for whoever is alone; a task that then asks for its turn before it waits for anything else feeds apart.

        Brokers that do not answer a careful task hold the others up for moments only.
        """
        if self._alone.locked():
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S), self._alone:
                    pass

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Let no other turn be computed, and no snapshot be packed; first come, first served."""
        async with self._turn:
            yield


class Owners:
    """The owners that this process was, as producer id and epoch: it is alive, so none of them died."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """Take note of an acquire."""
        self._names.add(name)

    def died(self, found: Recovered) -> bool:
        """Tell whether the task's last owner may have died in a turn."""
        left = found.left
        return not (found.is_fresh or left.released or {found.wrote, left.served} & self._names)

    def left(self, left: Left) -> bool:
        """Tell whether it was this process that wrote an attempt down."""
        return left.writer in self._names


class Carry(Protocol):
    """Carries a turn out that is written down before."""

    def __call__(
        self, runs: Sequence[Run], tick: int | None = None, skipped: Sequence[Place] = (), *, attempt: Attempt
    ) -> Awaitable[None]:
        """Carry it out."""


class Careful:
    """What a task that took over from a death does otherwise than other tasks, until it is past that place.

    Parameters
    ----------
    due
        Returns the moment of the next deadline.
    carry
        Carries a turn out.
    """

    def __init__(self, due: Callable[[], int | None], carry: Carry) -> None:
        self._due, self._carry = due, carry
        self._attempts = Attempts()
        self._ends: Mapping[TopicPartition, int] = {}

    @property
    def on(self) -> bool:
        """Whether turns are to be written down."""
        return self._attempts.careful

    @property
    def told(self) -> str:
        """What a person should know at the start, empty if it is nothing."""
        return self._attempts.told

    def begin(
        self, session: Any, left: Left, ends: Mapping[TopicPartition, int], turn: int, *, mine: bool, died: bool
    ) -> None:
        """Find out what is suspected, if anything is.

        Parameters
        ----------
        ends
            Where each source ended when the task was acquired: what killed stands before.
        turn
            How many records a turn may have.
        mine
            Whether it was this process that wrote the last attempt down.
        died
            Whether the last owner may have died in a turn.
        """
        self._ends = ends
        last = left.attempt
        if last is not None and self._is_next(last, session):
            alive = Attempt(last.place, last.kind, last.size, last.deaths, begun=False)
            self._attempts.go_on(alive if mine else last, self._due())
        elif died:
            self._attempts.suspect(_TURNS * turn, ALL, now_ms())

    def _is_next(self, last: Attempt, session: Any) -> bool:
        """Tell whether an attempt came to nothing: what it was to feed is not fed."""
        source, number = last.place
        if last.kind is Kind.DEADLINES:
            return self._due() == number
        at = session.positions.get(source)
        return at is not None and at <= number

    def limit(self, records: int) -> int:
        """Return how many records a turn may have that might have so many."""
        return min(records, self._attempts.records) if self.on else records

    def look(self, sources: Sources) -> None:
        """Be done where nothing that is suspected is left."""
        due = self._due()
        late = due is not None and due <= self._attempts.until_ms
        if self.on and not late and (self._attempts.left <= 0 or sources.past(self._ends)):
            self._attempts.over()

    async def feed(self, runs: Sequence[Run]) -> None:
        """Feed records; where one is suspected alone, its deadlines pass before it."""
        received = min(min(int(run.received[0]), run.cap) for run in runs)
        while (passing := self._attempts.deadlines(self._due(), received)) is not None:
            await self._pass(passing[0])
        records = sum(len(run.values) for run in runs)
        place = runs[0].source, int(runs[0].offsets[0])
        attempt = self._attempts.write(place, Kind.RECORDS, records)
        await self._carry(runs, None, [place] if kills(attempt) else [], attempt=attempt)
        self._attempts.fed(records)

    async def tick(self, moment: int) -> None:
        """Let deadlines pass that no record will, up to a moment at most."""
        passing = self._attempts.deadlines(self._due(), None)
        await self._pass(moment if passing is None else min(passing[0], moment))

    async def _pass(self, moment: int) -> None:
        due = self._due()
        assert due is not None
        attempt = self._attempts.write((DEADLINES, due), Kind.DEADLINES, moment - due + 1)
        await self._carry([], moment, [(DEADLINES, moment)] if kills(attempt) else [], attempt=attempt)
