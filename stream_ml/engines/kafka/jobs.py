"""What tasks do: score a partition, or learn from all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata

from stream_ml.engines.kafka.checks import KeyCheck, key_checks
from stream_ml.engines.kafka.client import deadline
from stream_ml.engines.kafka.models import Models
from stream_ml.engines.kafka.recovery import Made
from stream_ml.engines.kafka.topics import MODELS, names
from stream_ml.engines.kafka.writer import Part
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import compile_plan
from stream_ml.sessions.documents import read_head
from stream_ml.sessions.learning import LearnerSession
from stream_ml.sessions.session import RANKS, Session
from stream_ml.sessions.versions import Publisher

LEARNER = "learner"
#: Bytes of model versions in a second at most: versions of large models come less often.
BUDGET = 5_000_000
_LOOK_S = 0.02


class ScorerJob:
    """Scores one partition of the events; with one partition the model learns here as well.

    Parameters
    ----------
    streams
        (topic, role, partitions) of each input.
    models
        The learner's versions, None where the model learns here.
    check_keys
        Whether records must stand where their keys belong.
    wait_s
        How long a version that is not at hand is waited for, seconds.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        partition: int,
        streams: Sequence[tuple[str, str, int]],
        models: Models | None,
        wait_s: float = 40.0,
        *,
        check_keys: bool = True,
    ) -> None:
        self.name, self.pipeline, self.partition = str(partition), pipeline.name, partition
        self._models, self._wait_s = models, wait_s
        self.output = TopicPartition(names(pipeline.name)["predictions"], partition)
        self.sources: dict[TopicPartition, int] = {}
        for topic, role, partitions in streams:
            for number in range(partitions) if role == "table" else (partition,):
                self.sources[TopicPartition(topic, number)] = RANKS[role]
        counts = {topic: count for topic, _, count in streams}
        self.checks = key_checks(compile_plan(pipeline), self.sources, counts) if check_keys else {}
        self.first = frozenset(tp for tp, rank in self.sources.items() if rank == RANKS["table"])
        options: dict[str, Any] = {"partition": partition, "learning": "inline" if models is None else "shared"}
        self.made = Made(
            lambda: Session(pipeline, **options),
            lambda manifest, blobs: Session.restore(pipeline, manifest, blobs, **options),
        )

    async def edge(self, session: Session) -> None:
        """Take the newest model up; after a recovery, wait for the version that answered last or a newer one.

        Another worker may have read further in the models' topic than this one has.
        """
        if self._models is None:
            return
        lineage, count = session.version
        async with deadline(self._wait_s, f"waiting for the model version {lineage}/{count}"):
            while True:
                self._models.failed()
                newest = self._models.newest
                if newest is not None and newest.lineage == lineage:
                    session.take_up(newest)
                if session.remote is None or session.remote.ready:
                    return
                await asyncio.sleep(_LOOK_S)

    def due(self, session: Session) -> int | None:
        """Return the first moment at which a deadline may pass."""
        return session.due

    def extra(self, session: Session) -> list[Part]:
        """Nothing travels beside a turn."""
        return []

    def stored(self, told: Sequence[RecordMetadata]) -> dict[TopicPartition, int]:
        """Nothing can be dropped."""
        return {}

    def unfinished(self, session: Session) -> bool:
        """Leave nothing behind."""
        return False

    def wants_turn(self, session: Session) -> bool:
        """Make turns of records only."""
        return False


class LearnerJob:
    """Learns from the examples of every partition, and publishes versions of the model.

    Parameters
    ----------
    partitions
        Of the topic of examples; the learner writes to the partition after the scorers'.
    """

    def __init__(self, pipeline: Pipeline, partitions: int, *, allow_pickle: bool) -> None:
        own = names(pipeline.name)
        self.name, self.pipeline, self.partition = LEARNER, pipeline.name, partitions
        self.sources = {TopicPartition(own["examples"], number): RANKS["event"] for number in range(partitions)}
        self.first: frozenset[TopicPartition] = frozenset()
        self.checks: dict[TopicPartition, KeyCheck] = {}
        self.output = TopicPartition(own[MODELS], 0)
        self._sync_ms = pipeline.learning.sync_ms
        self._publisher: Publisher | None = None
        self._published = -1
        self._next = 0.0
        self._whole = False
        self.made = Made(
            lambda: LearnerSession(pipeline, allow_pickle=allow_pickle),
            lambda manifest, blobs: LearnerSession.restore(pipeline, manifest, blobs, allow_pickle=allow_pickle),
        )

    async def edge(self, session: LearnerSession) -> None:
        """Nothing is to be done between turns."""

    def due(self, session: LearnerSession) -> int | None:
        """Return nothing: a learner has no deadlines."""
        return None

    def unfinished(self, session: LearnerSession) -> bool:
        """Publish the last version before the end."""
        return session.version[1] != self._published

    def wants_turn(self, session: LearnerSession) -> bool:
        """Publish what was learned although no example comes."""
        return time.monotonic() >= self._next and session.version[1] != self._published

    def extra(self, session: LearnerSession) -> list[Part]:
        """Return the next version where it is time."""
        self._whole = False
        if not self.wants_turn(session):
            return []
        if self._publisher is None:
            self._publisher = Publisher(session)
        records = self._publisher.next()
        self._published = session.version[1]
        self._next = time.monotonic() + max(self._sync_ms, self._publisher.interval_ms(BUDGET)) / 1000
        if not records:
            return []
        head = read_head(records[0])
        self._whole = head is not None and head.full
        return [Part(self.output, [None] * len(records), records)]

    def stored(self, told: Sequence[RecordMetadata]) -> dict[TopicPartition, int]:
        """Return what a whole version makes needless: everything before it."""
        return {self.output: told[0].offset} if self._whole and told else {}
