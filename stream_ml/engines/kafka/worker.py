"""The worker of one pipeline on Kafka: joins the group, runs the tasks that are its own, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any

from aiokafka import TopicPartition

from stream_ml.config.kafka import KafkaSettings
from stream_ml.config.settings import Settings
from stream_ml.engines.kafka.client import MOST_FAILURES, FencedError, LostError
from stream_ml.engines.kafka.given_up import GivenUp
from stream_ml.engines.kafka.job import Job, Shared
from stream_ml.engines.kafka.jobs import LEARNER, LearnerJob, ScorerJob
from stream_ml.engines.kafka.members import Members
from stream_ml.engines.kafka.models import Models
from stream_ml.engines.kafka.snapshots import Pieces
from stream_ml.engines.kafka.states import State
from stream_ml.engines.kafka.task import Task
from stream_ml.engines.kafka.topics import MODELS, Admin, names
from stream_ml.engines.kafka.watchdog import LoopWatchdog
from stream_ml.engines.watchdog import Watchdog
from stream_ml.errors import UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import compile_plan
from stream_ml.plan.partitions import require_partitions, require_shared

_log = logging.getLogger("stream_ml")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_TELL_EVERY_S = 5.0
_END_S = 0.1  # between two looks whether all has ended, once a task has

Say = Callable[[str], None]
Changed = Callable[[frozenset[int]], None]


class Role(StrEnum):
    """What a worker may run: partitions of the events, the learner, or both."""

    SCORER = "scorer"
    LEARNER = "learner"
    ALL = "all"


class Worker:
    """Runs tasks.

    States: made → `run` → (stopped | read to the end). `stop` may be called from a signal handler. An exception out of
    `run` leaves Kafka as the last transactions left it.

    Parameters
    ----------
    pipeline
        What to run.
    servers
        host:port, more with commas.
    say
        Takes one line for people.
    role
        What of the pipeline this worker may run.
    turns
        Watches each turn; the caller, who makes it in the loop's thread, closes it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        servers: str,
        settings: Settings,
        kafka: KafkaSettings,
        say: Say,
        role: Role = Role.ALL,
        turns: Watchdog | None = None,
    ) -> None:
        self._pipeline, self._settings, self._kafka, self._say = pipeline, settings, kafka, say
        self._role, self._turns = role, turns
        self._client = kafka.client(servers)
        self.plan = compile_plan(pipeline)
        self.tasks: dict[str, Task] = {}
        self.partitions = 0
        self.fenced = self.lost = 0
        self.watchdog = LoopWatchdog(kafka.stall_s)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._mine: frozenset[str] = frozenset()
        self._change = asyncio.Event()
        self._models: Models | None = None
        self._members: list[Members] = []
        self.joined = False
        self._stopping = False
        self._beginning = GivenUp()
        self._trims: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Ask every task to finish its turn and keep a snapshot; then `run` returns, at once where none has begun."""
        self._stopping = True
        self._beginning.stop()
        for task in self.tasks.values():
            task.stop()
        self._change.set()

    async def run(self, *, until_end: bool = False) -> None:
        """Join the group and run what is ours.

        Raises
        ------
        StreamMLError
            A task cannot go on.
        """
        self.watchdog.start()
        admin = Admin(self._client, self._kafka)
        pieces = Pieces(self._client, self._kafka)
        try:
            async with AsyncExitStack() as stack:
                await self._beginning.run(self._begin(stack, admin, pieces))
                try:
                    await self._supervise(until_end=until_end)
                finally:
                    await self._end()
        finally:
            self.watchdog.stop()
            await asyncio.gather(*self._trims, return_exceptions=True)
            await pieces.close()
            await admin.close()

    async def _begin(self, stack: AsyncExitStack, admin: Admin, pieces: Pieces) -> None:
        """Make and check topics, and join the groups."""
        await admin.start()
        self.partitions = await admin.ready(self.plan)
        require_partitions(self._pipeline, self.partitions)
        if self.partitions > 1 and self._pipeline.model is not None:
            require_shared(self._pipeline, allow_pickle=self._kafka.allow_pickle)
        self._streams = await self._read_topics(admin)
        await pieces.start()
        self._shared = Shared(self._client, self._kafka, self._settings, pieces, self._trimmer(admin), self._turns)
        if self.partitions > 1 and self.plan.learner.estimator is not None:
            self._models = await self._follow(stack)
        for group in self._groups():
            self._members.append(await self._join(stack, *group))

    def _groups(self) -> list[tuple[str, str, Changed]]:
        """Return what this worker takes part in: group, topic whose partitions it shares out, what is told of them."""
        name = self.plan.name
        found: list[tuple[str, str, Changed]] = []
        if self._role is not Role.LEARNER:
            found.append((name, self.plan.scorer.streams[0].topic, self._scorers))
        if self._role is not Role.SCORER and self._models is not None:
            found.append((f"{name}.{LEARNER}", names(name)[MODELS], self._learner))
        if not found:
            cause = f"{name!r} has one partition: its model learns in the scorer"
            raise UsageError(cause, "Run it with --role all")
        return found

    async def _join(
        self, stack: AsyncExitStack, group: str, topic: str, changed: Changed
    ) -> Members:
        members = Members(self._client, self._kafka, group, [topic], changed)
        stack.push_async_callback(self._leave, members)
        await members.start()
        return members

    async def _leave(self, members: Members) -> None:
        with contextlib.suppress(LostError):
            await members.close()

    async def _follow(self, stack: AsyncExitStack) -> Models:
        models = Models(self._client, self._kafka, self._pipeline, names(self.plan.name)[MODELS])
        await models.start()
        stack.push_async_callback(models.close)
        return models

    async def _read_topics(self, admin: Admin) -> list[tuple[str, str, int]]:
        roles = {stream.topic: stream.role for stream in reversed(self.plan.scorer.streams)}
        counts = await admin.partitions(roles)
        return [(topic, role, counts[topic]) for topic, role in roles.items()]

    # --- which tasks --------------------------------------------------------------------------------------------------

    def _scorers(self, partitions: frozenset[int]) -> None:
        self._mine = frozenset(str(number) for number in partitions) | (self._mine & {LEARNER})
        self.joined = True
        self._change.set()

    def _learner(self, partitions: frozenset[int]) -> None:
        self._mine = (self._mine - {LEARNER}) | (frozenset({LEARNER}) if partitions else frozenset())
        self.joined = self.joined or self._role is Role.LEARNER
        self._change.set()

    async def _supervise(self, *, until_end: bool) -> None:
        """Start what became ours, stop what no longer is, and end when a task cannot go on."""
        ended: set[asyncio.Task[None]] = set()
        while not self._stopping:
            for name in self._mine - self._running.keys():
                self._running[name] = asyncio.create_task(self._keep(name, until_end=until_end), name=f"task {name}")
            for name in self.tasks.keys() - self._mine:
                self.tasks[name].stop()
            changed = asyncio.create_task(self._change.wait())
            left = {changed, *self._running.values()} - ended
            await asyncio.wait(left, timeout=_END_S if ended else _TELL_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            self._change.clear()
            for name, running in list(self._running.items()):
                if running.done():
                    if until_end and running.exception() is None:
                        ended.add(running)
                    else:
                        del self._running[name]
                    running.result()
            if until_end and self.joined and self._finished():
                return
            for one in self._members:
                await self._tell(one)

    def _finished(self) -> bool:
        """Tell whether every task has read all; the learner is asked to once the scorers have."""
        scorers = [running for name, running in self._running.items() if name != LEARNER]
        if not all(one.done() for one in scorers):
            return False
        if LEARNER in self.tasks:
            self.tasks[LEARNER].finish()
        return all(one.done() for one in self._running.values())

    async def _tell(self, members: Members) -> None:
        """Commit positions for lag dashboards; nobody reads them back, so a failure is only said."""
        positions: dict[TopicPartition, int] = {}
        for task in self.tasks.values():
            if task.told.state is State.RUNNING:
                positions |= task.positions
        try:
            await members.tell(positions)
        except LostError as error:
            _log.warning("positions for lag dashboards were not told: %s", error)

    async def _keep(self, name: str, *, until_end: bool) -> None:
        """Run a task, and acquire it anew when it was lost, as long as it is ours."""
        failures = 0
        while name in self._mine and not self._stopping:
            until = until_end and name != LEARNER
            task = self.tasks[name] = Task(self._job(name), self._shared, self._say, until_end=until)
            try:
                await task.run()
            except LostError as error:
                failures = 1 if task.told.turns else failures + 1
                self.fenced += isinstance(error, FencedError)
                self.lost += not isinstance(error, FencedError)
                if failures >= MOST_FAILURES:
                    raise
                _log.warning("task %s: %s; acquired anew if it is still ours", name, error)
                await self._pause(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**failures))
                await self._confirmed(name)
            else:
                if until_end:
                    return
        self.tasks.pop(name, None)

    async def _confirmed(self, name: str) -> None:
        """Wait until the group says that a task is ours: who was paused does not know what others have taken."""
        with contextlib.suppress(LostError):
            while name in self._mine and not self._stopping:
                if all([await one.confirmed() for one in self._members]):
                    return
                await self._pause(_FIRST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._stopping:
                    await asyncio.sleep(0.05)

    def _job(self, name: str) -> Job:
        if name == LEARNER:
            return LearnerJob(self._pipeline, self.partitions, allow_pickle=self._kafka.allow_pickle)
        return ScorerJob(
            self._pipeline, int(name), self._streams, self._models, self._kafka.deadline_s,
            check_keys=self._kafka.check_keys,
        )  # fmt: skip

    async def _end(self) -> None:
        """Let every task come to its end; none is acquired again."""
        self._stopping = True
        for task in self.tasks.values():
            task.stop()
        told = await asyncio.gather(*self._running.values(), return_exceptions=True)
        for one in told:
            if isinstance(one, BaseException):
                _log.warning("a task did not end cleanly: %s", one)

    # --- what waits ---------------------------------------------------------------------------------------------------

    def _trimmer(self, admin: Admin) -> Callable[[Mapping[TopicPartition, int]], None]:
        def trim(before: Mapping[TopicPartition, int]) -> None:
            work = asyncio.create_task(self._trim(admin, before))
            self._trims.add(work)
            work.add_done_callback(self._trims.discard)

        return trim

    async def _trim(self, admin: Admin, before: Mapping[TopicPartition, int]) -> None:
        try:
            await admin.drop(before)
        except (LostError, UsageError) as error:
            _log.warning("old journal entries and snapshots were not dropped: %s", error)

    @property
    def not_begun(self) -> frozenset[str]:
        """Tasks that the group has just told are this worker's."""
        return self._mine - self.tasks.keys()

    @property
    def newest_version(self) -> int | None:
        """Examples that the newest model has learned, where models come from a learner."""
        return None if self._models is None or self._models.newest is None else self._models.newest.count

    @property
    def model_age_s(self) -> float | None:
        """Seconds since a new model version came, where models come from a learner."""
        return None if self._models is None else time.monotonic() - self._models.since

    def status(self) -> dict[str, Any]:
        """Tell where each task is."""
        return {
            "pipeline": self.plan.name,
            "partitions": self.partitions,
            "tasks": {name: task.status() for name, task in sorted(self.tasks.items())},
        }
