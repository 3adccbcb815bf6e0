"""Scorers of several partitions and one learner, in one process: what an engine does, without a log to lose."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import TableSpec, spec_of
from stream_ml.model.fallback import RiverModel
from stream_ml.model.spec import Tape
from stream_ml.schema.records import Out, Run
from stream_ml.sessions.base import Journaled
from stream_ml.sessions.examples import Reader
from stream_ml.sessions.journal import Fed, read_entry
from stream_ml.sessions.learning import LearnerSession
from stream_ml.sessions.session import Session
from stream_ml.sessions.snapshot import read_manifest
from stream_ml.sessions.versions import Collector, ModelVersion, Publisher
from stream_ml.testing.canonical import plain, records
from stream_ml.testing.memory import Memory, Row
from tests.laws.stories import KINDS, Sent, differences
from tests.streams import TICK

LATE = 1 << 60
S = TypeVar("S", bound=Journaled)


def learned(session: Session | LearnerSession, values: Sequence[bytes] = ()) -> dict[str, Any]:
    """Return all that a learner keeps as plain values.

    A river model notes names that it is asked about in its dicts: of such a model its answers count, to the features of
    the examples in `values`.
    """
    learner = session.learner
    saved = learner.save()
    if isinstance(learner.model, RiverModel):
        x = Reader(session.plan, session.symbols).read(values).x
        n = len(x)
        asked = Tape(np.zeros(n, np.uint8), np.arange(n), x, np.full(n, np.nan), np.ones(n))
        answers = learner.model.run(asked)
        saved["model"] = [answers.score, answers.label, answers.probabilities]
    found: dict[str, Any] = plain(saved)
    return found


@dataclass
class Logs:
    """The logs that a session reads, its journal and newest snapshot, and what it wrote."""

    sources: dict[str, Memory] = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    manifest: bytes | None = None
    written: dict[str, list[bytes]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def append(self, source: str, rows: Iterable[Row]) -> Run:
        memory = self.sources.setdefault(source, Memory())
        return replace(memory.append(rows, LATE), source=source)

    def keep(self, entry: bytes, out: Sequence[Out]) -> dict[str, list[bytes]]:
        self.entries.append(entry)
        fresh: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        for one in out:
            kind = one.topic.rpartition(".")[2]
            fresh[kind] += one.values
            self.written[kind] += one.values
        return fresh

    def snapshot(self, session: Session | LearnerSession) -> None:
        *fresh, manifest = session.segment()
        self.manifest = manifest
        self.blobs = [*self.blobs, *fresh][-len(read_manifest(manifest).checks) :]

    def read(self, fed: Fed) -> Run:
        return replace(self.sources[fed.source].run(fed.first, fed.end, fed.cap), source=fed.source)

    def recover(self, cls: type[S], pipeline: Pipeline, **options: Any) -> S:
        return cls.recover(pipeline, self.manifest, self.blobs, self.entries, self.read, **options)


class Task:
    """One partition's scorer."""

    def __init__(self, pipeline: Pipeline, partition: int, learning: Any = "shared") -> None:
        self.pipeline = pipeline
        self.options: dict[str, Any] = {"features": True, "partition": partition, "learning": learning}
        self.session = Session(pipeline, **self.options)
        self.logs = Logs()
        self.collector: Collector | None = None
        if pipeline.model is not None:
            self.collector = Collector(pipeline, allow_pickle=True)
        self.newest: ModelVersion | None = None
        self.stamp = 0

    def feed(self, some: Sequence[Sent], tick: int | None = None) -> dict[str, list[bytes]]:
        runs = [self.logs.append("log", [Row(topic, stamp, value) for topic, value, stamp in some])] if some else []
        self.stamp = max([self.stamp, tick or 0, *(stamp for _, _, stamp in some)])
        turn = self.session.feed(runs, tick)
        return self.logs.keep(turn.entry, turn.out)

    def hear(self, values: Iterable[bytes]) -> None:
        """Take records of the models' topic."""
        for value in values:
            found = self.collector.add(value) if self.collector is not None else None
            self.newest = found or self.newest

    def take_up(self) -> bool:
        return self.newest is not None and self.session.take_up(self.newest)

    def stop_and_recover(self) -> None:
        before = state(self.session)
        self.session = self.logs.recover(Session, self.pipeline, **self.options)
        assert differences(before, state(self.session)) == []
        assert self.session.differences == 0
        served = read_entry(self.logs.entries[-1]).served if self.logs.entries else None
        assert served is None or self.session.version == (served.lineage, served.count)
        self.take_up()


def state(session: Session) -> dict[str, Any]:
    """Return a scorer's state; what it learned only where it learns."""
    found = records(session)
    if session.remote is not None:
        del found["learner"]
    return found


class Cluster:
    """Scorers and their learner."""

    def __init__(self, pipeline: Pipeline, partitions: int, *, every: int = 3, limit: int = 2000) -> None:
        self.pipeline = pipeline
        self.tasks = [Task(pipeline, i) for i in range(partitions)]
        self.learner = LearnerSession(pipeline, allow_pickle=True)
        self.every, self.limit = every, limit
        self.publisher = Publisher(self.learner, limit=limit, every=every)
        self.logs = Logs()
        self.versions: dict[tuple[str, int], ModelVersion] = {}
        self.waiting: dict[int, list[Row]] = {i: [] for i in range(partitions)}

    def feed(self, partition: int, some: Sequence[Sent], tick: int | None = None) -> None:
        task = self.tasks[partition]
        fresh = task.feed(some, tick)
        self.waiting[partition] += [Row(f"{self.pipeline.name}.examples", task.stamp, v) for v in fresh["examples"]]

    def learn(self) -> None:
        """Let the learner read every partition to its end."""
        runs = [
            self.logs.append(f"{self.pipeline.name}.examples/{i}", rows) for i, rows in self.waiting.items() if rows
        ]
        self.waiting = {i: [] for i in self.waiting}
        turn = self.learner.feed(runs)
        self.logs.keep(turn.entry, turn.out)

    def publish(self) -> None:
        """Let every task hear of the newest version."""
        values = self.publisher.next()
        for task in self.tasks:
            task.hear(values)
            if task.newest is not None:
                self.versions[task.newest.lineage, task.newest.count] = task.newest

    def stop_learner(self) -> None:
        before = [learned(self.learner), {**self.learner.stats, "state_bytes": 0}, dict(self.learner.positions)]
        self.learner = self.logs.recover(LearnerSession, self.pipeline, allow_pickle=True)
        after = [learned(self.learner), {**self.learner.stats, "state_bytes": 0}, dict(self.learner.positions)]
        assert differences(before, after) == []
        self.publisher = Publisher(self.learner, limit=self.limit, every=self.every)


def dealt(pipeline: Pipeline, log: Sequence[Sent], partitions: int) -> list[tuple[list[int], Sent]]:
    """Say of each record to which partitions it goes: by the event's key; tables and ticks go everywhere."""
    keys = spec_of(pipeline.event).key  # type: ignore[union-attr]
    names = [pipeline.event.model_fields[name].alias or name for name in keys]
    tables = {spec.topic for cls in _tables(pipeline) if isinstance(spec := spec_of(cls), TableSpec)}
    found = []
    for one in log:
        if one[0] == TICK or one[0] in tables:
            found.append((list(range(partitions)), one))
        else:
            record = json.loads(one[1])
            key = json.dumps([record.get(name) for name in names])
            found.append(([zlib.crc32(key.encode()) % partitions], one))
    return found


def _tables(pipeline: Pipeline) -> list[Any]:
    return [stream.model for stream in Session(pipeline).plan.scorer.streams if stream.role == "table"]
