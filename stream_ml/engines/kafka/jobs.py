"""What tasks do: score a partition, or learn from all of them."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition

from stream_ml.engines.kafka.recovery import Made
from stream_ml.engines.kafka.writer import Part
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.session import RANKS, Session


class ScorerJob:
    """Scores one partition of the events; with one partition the model learns here as well."""

    def __init__(self, pipeline: Pipeline, partition: int, streams: list[tuple[str, str, int]], **options: Any) -> None:
        self.name, self.pipeline, self.partition = str(partition), pipeline.name, partition
        self.sources: dict[TopicPartition, int] = {}
        tables = []
        for topic, role, partitions in streams:
            numbers = range(partitions) if role == "table" else (partition,)
            for number in numbers:
                tp = TopicPartition(topic, number)
                self.sources[tp] = RANKS[role]
                if role == "table":
                    tables.append(tp)
        self.first = frozenset(tables)
        options = {"partition": partition, **options}
        self.made = Made(
            lambda: Session(pipeline, **options),
            lambda manifest, blobs: Session.restore(pipeline, manifest, blobs, **options),
        )

    def edge(self, session: Session) -> None:
        """Nothing is to be done between turns."""

    def due(self, session: Session) -> int | None:
        """Return the first moment at which a deadline may pass."""
        return session.due

    def extra(self, session: Session) -> list[Part]:
        """Nothing travels beside a turn."""
        return []

    def wants_turn(self, session: Session) -> bool:
        """Make turns of records only."""
        return False
