"""Checks keys: a record stands in the partition of its key, and its key is that of its event.

Windows and joins live in the partition of their key. A producer with another partitioner, or with another field as the
key, sends labels to where their events are not: every one of them becomes silence, and nothing fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import TopicPartition
from aiokafka.partitioner import murmur2

from stream_ml.client.kafka import key_of
from stream_ml.engines.kafka.batches import Fetched
from stream_ml.errors import UsageError
from stream_ml.language.specs import spec_of
from stream_ml.plan.bundle import Plan

#: Records of a source that are checked when it is first read.
FIRST = 20


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition to which Java's producers send a key.

    Examples
    --------
    >>> partition_for(b"c1", 4)
    3
    """
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


@dataclass(slots=True)
class KeyCheck:
    """Checks the records of one source.

    Parameters
    ----------
    fields
        JSON names of the key's fields in the records.
    partitions
        Of the topic.
    """

    tp: TopicPartition
    fields: tuple[str, ...]
    partitions: int
    seen: int = 0

    def fetched(self, records: Sequence[Fetched]) -> None:
        """Check the first records of the source, later the first of each fetch.

        Raises
        ------
        UsageError
            A record stands where its event does not.
        """
        for record in records[: max(1, FIRST - self.seen)]:
            self.check(record)
        self.seen += len(records)

    def check(self, record: Fetched) -> None:
        """Check a record; one without a readable key field becomes a dead letter, wherever it stands.

        Raises
        ------
        UsageError
            Topic, offset, the key seen, the key wanted, and the cure.
        """
        wanted = key_of(record.value or b"", self.fields)
        if wanted is None:
            return
        where = f"{self.tp.topic}/{self.tp.partition} offset {record.offset}"
        if record.key != wanted:
            cause = f"{where} has the key {_spelled(record.key)}, and its event's key is {_spelled(wanted)}"
            named = " and ".join(self.fields)
            raise UsageError(cause, f"Produce with the text of {named} as key (stream-ml produce --key); {_OFF}")
        right = partition_for(wanted, self.partitions)
        if right != self.tp.partition:
            cause = f"{where} has the key {_spelled(wanted)}, which belongs to partition {right} of {self.partitions}"
            raise UsageError(cause, f"Produce with murmur2, in librdkafka partitioner=murmur2_random; {_OFF}")


_OFF = (
    "what stands wrong must be produced anew, to a new topic. Where events and labels meet all the same, "
    "STREAM_ML_KAFKA_CHECK_KEYS=false ends this check"
)


def key_checks(
    plan: Plan, sources: Iterable[TopicPartition], partitions: Mapping[str, int]
) -> dict[TopicPartition, KeyCheck]:
    """Return the checks of a task's sources: events, their labels and other streams, where there are partitions.

    Parameters
    ----------
    sources
        The task's.
    partitions
        Of each topic.
    """
    fields: dict[str, tuple[str, ...]] = {}
    own = getattr(spec_of(plan.scorer.streams[0].model), "key", ())
    for stream in plan.scorer.streams:
        if stream.role == "table":
            continue
        key = own if stream.role in {"event", "label"} else getattr(spec_of(stream.model), "key", ())
        names = tuple(_alias(stream.model, name) for name in key if name in stream.model.model_fields)
        if key and len(names) == len(key):
            fields.setdefault(stream.topic, names)
    return {
        tp: KeyCheck(tp, fields[tp.topic], partitions[tp.topic])
        for tp in sources
        if partitions[tp.topic] > 1 and tp.topic in fields
    }


def _alias(model: type[Any], name: str) -> str:
    field = model.model_fields[name]
    alias = field.validation_alias or field.alias
    return alias if isinstance(alias, str) else name


def _spelled(key: bytes | None) -> str:
    return "none" if key is None else orjson.dumps(key.decode("utf-8", "backslashreplace")).decode()
