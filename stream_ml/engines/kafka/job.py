"""What a task is given: what it is to do, and what it shares with the other tasks of its worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata

from stream_ml.config.kafka import KafkaSettings
from stream_ml.config.settings import Settings
from stream_ml.engines.kafka.careful import Gate, Owners
from stream_ml.engines.kafka.checks import KeyCheck
from stream_ml.engines.kafka.recovery import Made
from stream_ml.engines.kafka.snapshots import Pieces
from stream_ml.engines.kafka.writer import Part
from stream_ml.engines.watchdog import Watchdog


class Job(Protocol):
    """What a task does: a scorer's partition, or the learner.

    `partition` is where the task writes in every topic of its own; `sources` are the partitions that it reads, with
    their ranks among records received at the same moment; `first` of them are read whole before the others begin.
    Nobody but the task writes to `output`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def pipeline(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def sources(self) -> Mapping[TopicPartition, int]: ...  # noqa: D102
    @property
    def first(self) -> frozenset[TopicPartition]: ...  # noqa: D102
    @property
    def checks(self) -> Mapping[TopicPartition, KeyCheck]: ...  # noqa: D102
    @property
    def output(self) -> TopicPartition: ...  # noqa: D102
    @property
    def made(self) -> Made: ...  # noqa: D102

    async def edge(self, session: Any) -> None:
        """Do what is to be done between two turns."""

    def due(self, session: Any) -> int | None:
        """Return the moment (epoch ms) at which a tick is due."""

    def extra(self, session: Any) -> list[Part]:
        """Return what the next transaction carries beside the turn."""

    def stored(self, told: Sequence[RecordMetadata]) -> dict[TopicPartition, int]:
        """Take note of where `extra` stands; returns what may be dropped, by the offset before which."""

    def unfinished(self, session: Any) -> bool:
        """Tell whether something is still to be written although every record is read."""

    def wants_turn(self, session: Any) -> bool:
        """Tell whether a turn is to be made although nothing came."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all tasks of a worker use.

    Parameters
    ----------
    trim
        Drops what stands before these offsets.
    watchdog
        Watches each turn.
    gate, owners
        Keep deaths of one task apart from those of another.
    """

    client: Mapping[str, Any]
    kafka: KafkaSettings
    settings: Settings
    pieces: Pieces
    trim: Callable[[dict[TopicPartition, int]], None]
    watchdog: Watchdog | None = None
    gate: Gate = field(default_factory=Gate)
    owners: Owners = field(default_factory=Owners)
