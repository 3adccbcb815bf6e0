"""One task: a partition's session, acquired, carried on in transactions, released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aiokafka import TopicPartition

from stream_ml.client.log import now_ms
from stream_ml.engines.attempts import Attempt
from stream_ml.engines.kafka.careful import Careful
from stream_ml.engines.kafka.client import place
from stream_ml.engines.kafka.feeding import Feeding
from stream_ml.engines.kafka.given_up import GivenUp
from stream_ml.engines.kafka.job import Job, Shared
from stream_ml.engines.kafka.logs import Logs
from stream_ml.engines.kafka.notes import ATTEMPT, RELEASED, SERVING, write_attempt
from stream_ml.engines.kafka.recovery import ORIGIN, POINTER, Recovered, recover
from stream_ml.engines.kafka.snapshots import Snapshots
from stream_ml.engines.kafka.sources import Sources
from stream_ml.engines.kafka.states import ARROWS, State, Told
from stream_ml.engines.kafka.topics import names
from stream_ml.engines.kafka.writer import Part, Writer
from stream_ml.engines.stages import Stages
from stream_ml.schema.records import Run
from stream_ml.sessions.session import Place, Turn

_IDLE_S = 0.25
_GATHER_S = 0.005
#: Records that are worth computing while the turn before them is being written.
_ENOUGH = 4_000
_SAY_EVERY_S = 1.0


class Task:
    """One task from acquire to release.

    Parameters
    ----------
    say
        Takes one line for people.
    until_end
        Return when every record is read.
    """

    def __init__(self, job: Job, shared: Shared, say: Callable[[str], None], *, until_end: bool = False) -> None:
        self.job, self._shared, self._say, self._until_end = job, shared, say, until_end
        own = names(job.pipeline)
        self._journal = TopicPartition(own["journal"], job.partition)
        self._state = TopicPartition(own["state"], job.partition)
        kafka = shared.kafka
        self._writer = Writer(
            shared.client, f"{job.pipeline}.{job.name}", kafka.deadline_s, kafka.transaction_timeout_ms,
            kafka.compression,
        )  # fmt: skip
        self._sources: Sources | None = None
        self._stopping = False
        self._beginning = GivenUp()
        self._flight: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._last = -1
        self._written = {self._journal}
        self._fed_s = 0.0
        self._released = False
        self._said = time.monotonic()
        self._careful = Careful(lambda: self.job.due(self.session), self._noted)
        self.session: Any = None
        self.told = Told()
        self.stages = Stages()

    # --- life ---------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask for a clean end: the turn at hand is finished, a snapshot is kept; what is still restored is given up."""
        self._stopping = True
        self._beginning.stop()

    def finish(self) -> None:
        """Ask for an end when every record is read."""
        self._until_end = True

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The next offset of each source."""
        return {} if self._sources is None else self._sources.positions

    def status(self) -> dict[str, Any]:
        """Tell where the task is, for people."""
        found = {
            "state": self.told.state.value,
            "positions": {place(tp): at for tp, at in self.positions.items()},
            "lag": self.told.lag,
        }
        return found | ({} if self.session is None else {"stats": self.session.stats, "stages_s": self.stages.seconds})

    def _become(self, state: State) -> None:
        if state not in ARROWS[self.told.state]:
            message = f"task {self.job.name}: {self.told.state.value} does not lead to {state.value}"
            raise AssertionError(message)
        self.told.state = state

    async def run(self) -> None:
        """Acquire, serve until stopped, release.

        Raises
        ------
        LostError, FencedError
            The task may be acquired anew.
        StreamMLError
            It may not.
        """
        try:
            begun = time.monotonic()
            await self._beginning.run(self._acquire())
            if not self._stopping:
                self._say(f"task {self.job.name}: {self.told.line}, {time.monotonic() - begun:.1f} s")
                self._become(State.RUNNING)
                await self._serve()
                self._become(State.DRAINING)
                await self._drain()
            self._become(State.CLOSED)
        except BaseException:
            self.told.state = State.FAILED
            raise
        finally:
            await self._close()

    async def _close(self) -> None:
        if self.session is not None:
            self._snapshots.cancel()
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)
        await self._writer.close()
        if self._sources is not None:
            await self._sources.close()

    # --- acquire ------------------------------------------------------------------------------------------------------

    async def _acquire(self) -> None:
        """Take the task over.

        Steps: 1 fence whoever held it; 2 wait until its last transaction is settled; 3 newest snapshot; 4 feed the
        journal's tail again; 5 read on where it ends.
        """
        shared = self._shared
        await self._writer.open()
        self._become(State.RESTORING)
        logs = Logs(shared.client, shared.kafka, (self._journal, self._state, self.job.output))
        await logs.start()
        try:
            found = await recover(
                logs, self._journal, self._state, output=self.job.output, made=self.job.made, opened=self._opened,
                progress=self._progress,
            )  # fmt: skip
        finally:
            await logs.close()
        self.session = found.session
        self.session.mark = self.stages
        name = f"{self.job.pipeline}: task {self.job.name}"
        self._feeding = Feeding(self.session, shared, name, self.told)
        self._snapshots = Snapshots(
            self.session, shared.pieces, self._state, shared.settings.snapshot_seconds, shared.gate.turn
        )
        self._snapshots.restored(found.generation, found.at, found.entry, found.again_s)
        self._last = found.journal
        if found.is_fresh:
            await self._begin()
        elif self._sources is None:
            await self._opened(dict(found.session.positions))
        self._suspect(found)

    def _suspect(self, found: Recovered) -> None:
        """Find out whether the last owner died, and where."""
        owners = self._shared.owners
        died, mine = owners.died(found), owners.left(found.left)
        owners.add(self._writer.epoch)
        self._released = found.left.released
        assert self._sources is not None
        batch = self._shared.settings.batch
        self._careful.begin(self.session, found.left, self._sources.known, batch, mine=mine, died=died)
        self.told.line = "; ".join(filter(None, (found.told, self._careful.told)))

    async def _connected(self) -> Sources:
        self._sources = Sources(self._shared.client, self._shared.kafka, self.job.sources, self.job.checks)
        await self._sources.start()
        return self._sources

    async def _opened(self, positions: dict[str, int]) -> Sources:
        sources = await self._connected()
        await sources.open(positions)
        return sources

    async def _begin(self) -> None:
        """Write the first entry: where each source begins."""
        sources = await self._connected()
        start = self._shared.kafka.start
        whole = await sources.begins()
        if start == "earliest":
            places = whole
        elif start == "latest":
            places = {tp: whole[tp] if tp in self.job.first else end for tp, end in (await sources.ends()).items()}
        else:
            places = {**await sources.since(int(start)), **{tp: whole[tp] for tp in self.job.first}}
        await sources.open({place(tp): at for tp, at in places.items()}, first=self.job.first)
        self._commit(*await self._feeding.turn(sources.nothing()))
        await self._settled()

    def _progress(self, done: int, entries: int) -> None:
        self.told.restored = (done, entries)
        if time.monotonic() - self._said > _SAY_EVERY_S:
            self._said = time.monotonic()
            self._say(f"task {self.job.name}: {done:,} of {entries:,} journal entries fed again")

    # --- turns --------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Feed what comes; in a backlog the next turn is computed while one is being committed."""
        sources = self._sources
        assert sources is not None
        if self._released:
            await self._mark(SERVING)
        while not self._stopping:
            self._snapshots.failed()
            if self._careful.on:
                self._careful.look(sources)
            else:
                await self._gathered(sources)
            self.told.lag = sources.lag
            runs = sources.take(self._careful.limit(self._feeding.limit))
            if runs:
                await (self._careful.feed(runs) if self._careful.on else self._turn(runs))
                await sources.fill(0.0)
                continue
            await self._settled()
            self._trim()
            overdue = self._writer.began_s > self._shared.kafka.transaction_timeout_ms / 3_000
            wanted = overdue or self.job.wants_turn(self.session) or self._snapshots.part() is not None
            if wanted and not self._careful.on:
                await self._turn([])
                continue
            due = self.job.due(self.session)
            if due is not None and due <= now_ms():
                await self._tick(due)
                continue
            came = await sources.fill(self._pause(due))
            done = self._until_end and not came and not self.job.unfinished(self.session)
            if done and await sources.read_whole():
                break
        await self._settled()

    async def _gathered(self, sources: Sources) -> None:
        """Let records gather until the next turn may be written, or until there are enough for a whole one.

        What is fed earlier would only wait for the turn before it, and what comes meanwhile for both.
        """
        while sources.waiting < min(_ENOUGH, self._feeding.limit):
            if self._flight is not None and not self._flight.done():
                await asyncio.wait({self._flight}, timeout=_GATHER_S)
                await sources.fill(0.0)
                continue
            await self._settled()
            if not sources.waiting:
                return
            await self._writer.begin(self._written)
            pause = self._interval
            if pause <= 0:
                return
            await asyncio.sleep(min(pause, _GATHER_S))
            await sources.fill(0.0)

    @property
    def _interval(self) -> float:
        """Seconds until the next transaction may begin."""
        return self._begun + self._shared.kafka.commit_interval_ms / 1000 - time.monotonic()

    def _pause(self, due: int | None) -> float:
        return _IDLE_S if due is None else max(0.001, min(_IDLE_S, (due - now_ms()) / 1000))

    async def _tick(self, due: int) -> None:
        """Let deadlines pass that no record will: every source was read to its end at a moment after them."""
        sources = self._sources
        assert sources is not None
        moment = now_ms()
        if await sources.read_whole():
            await (self._careful.tick(max(moment, due)) if self._careful.on else self._turn([], max(moment, due)))
        else:
            await sources.fill(_IDLE_S)

    async def _turn(self, runs: Sequence[Run], tick: int | None = None) -> None:
        await self.job.edge(self.session)
        await self._shared.gate.passed()
        turn, fed_s = await self._feeding.turn(runs, tick)
        await self._settled()
        if self._interval > 0:
            await asyncio.sleep(self._interval)
        self._commit(turn, fed_s)

    async def _noted(
        self, runs: Sequence[Run], tick: int | None = None, skipped: Sequence[Place] = (), *, attempt: Attempt
    ) -> None:
        """Carry out a turn that is written down before, apart from those of other tasks.

        What was fed alone is cleared before it is stored: a death from then on is no fault of it.
        """
        await self._settled()
        await self.job.edge(self.session)
        async with self._shared.gate.alone():
            await self._keep(attempt)
            turn, fed_s = await self._feeding.turn(runs, tick, skipped)
            if attempt.size == 1:
                await self._keep(replace(attempt, begun=False))
            self._commit(turn, fed_s)
            await self._settled()

    async def _keep(self, attempt: Attempt) -> None:
        """Write an attempt down."""
        owner = self._writer.epoch
        headers = [(ORIGIN, owner.encode())]
        await self._writer.commit([Part(self._state, [ATTEMPT], [write_attempt(attempt, owner)], headers)])

    def _commit(self, turn: Turn, fed_s: float = 0.0) -> None:
        """Begin to write a turn; `_settled` waits for its end."""
        self._begun = time.monotonic()
        origin = [(ORIGIN, f"{self._writer.epoch}/{turn.number}".encode())]
        manifest = self._snapshots.part()
        parts = [Part(TopicPartition(out.topic, self.job.partition), None, out.lines, origin) for out in turn.out]
        outputs = len(parts)
        parts += self.job.extra(self.session)
        extra = range(outputs, len(parts))
        self._written = {self._journal, *(part.to for part in parts)}
        parts += [manifest] if manifest is not None else []
        pointer = (POINTER, str(self._snapshots.at).encode())
        parts.append(Part(self._journal, [None], [turn.entry], [*origin, pointer]))
        self._flight = asyncio.create_task(self._write(parts, fed_s, extra, manifest=manifest is not None))

    async def _write(self, parts: list[Part], fed_s: float, extra: range, *, manifest: bool) -> None:
        begun = time.perf_counter()
        told = await self._writer.commit(parts)
        self.told.commit_s += time.perf_counter() - begun
        self.told.turns += 1
        self.told.committed = time.monotonic()
        self._last = told[-1].offset
        needless = self.job.stored(told[extra.start : extra.stop])
        if needless:
            self._shared.trim(needless)
        if manifest:
            self._snapshots.committed(told[-2])
            self.told.snapshots += 1
            self.told.snapshot_bytes, self.told.snapshot_at = self._snapshots.bytes, self._snapshots.taken
        self._fed_s = fed_s

    async def _settled(self) -> None:
        """Wait until the last turn is stored; then its snapshot may be due."""
        if self._flight is None:
            return
        flight, self._flight = self._flight, None
        await flight
        self._snapshots.after_turn(self._fed_s, self._last)

    def _trim(self) -> None:
        """Drop what neither of the two newest generations needs."""
        old = self._snapshots.droppable()
        if old is not None:
            self._shared.trim({self._journal: old.journal, self._state: old.first})

    async def _drain(self) -> None:
        """Keep what came since the last snapshot, and let go: the next owner feeds nothing again, suspects nobody."""
        await self._snapshots.finished()
        if self._snapshots.part() is None:
            self._snapshots.begin(self._last)
            await self._snapshots.finished()
        if self._snapshots.part() is not None:
            self._commit(*await self._feeding.turn([]))
            await self._settled()
        await self._mark(RELEASED)

    async def _mark(self, key: bytes) -> None:
        """Leave a mark for the next owner."""
        await self._writer.commit([Part(self._state, [key], [self._writer.epoch.encode()])])
