"""Dead letters on Kafka: the topics `NAME.dead`."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from types import TracebackType

import orjson

from stream_ml.cli.export import JOURNAL
from stream_ml.cli.letters import Kept, Letter, letter_of
from stream_ml.client import connect
from stream_ml.client.connection import Client
from stream_ml.errors import InputError, UsageError

DEAD = ".dead"


class KafkaLetters:
    """Dead letters of the pipelines of some brokers; ids are partition/offset of the pipeline's topic."""

    label = "id"

    def __init__(self, url: str) -> None:
        client = connect(url)
        assert not isinstance(client, Client)
        self._client = client
        self._reader = client.reader()

    def __enter__(self) -> KafkaLetters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()
        self._client.close()

    def pipelines(self, named: str | None) -> list[str]:
        """Return the pipelines that have run on these brokers, or the one that is named.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        known = self._reader.topics()
        found = [
            topic.removesuffix(JOURNAL)
            for topic in known
            if topic.endswith(JOURNAL) and topic.removesuffix(JOURNAL) + DEAD in known
        ]
        if named is not None and named not in found:
            cause = f"No pipeline {named} has run on {self._client.servers}"
            raise InputError(cause, f"There are: {', '.join(found)}" if found else "")
        return found if named is None else [named]

    def every(self, pipeline: str | None, reason: str | None) -> Iterator[Letter]:
        """Read those that are there now, partition by partition as they come."""
        for name in self.pipelines(pipeline):
            for batch in self._client.batches((name + DEAD,)):
                for record in batch:
                    letter = letter_of(
                        f"{record.partition}/{record.row}", name, record.received, orjson.loads(record.value)
                    )
                    if reason is None or letter.reason == reason:
                        yield letter

    def newest(self, pipeline: str | None, reason: str | None, limit: int) -> list[Letter]:
        """Return some, the newest last."""
        return heapq.nlargest(limit, self.every(pipeline, reason), key=_age)[::-1]

    def one(self, id_: str, pipeline: str | None) -> Letter:
        """Return one.

        Raises
        ------
        UsageError
            If the id is none, or more than one pipeline could be meant.
        """
        names = self.pipelines(pipeline)
        partition, slash, offset = id_.partition("/")
        if not (slash and partition.isdigit() and offset.isdigit()):
            cause = f"{id_!r} is no dead letter's id"
            raise UsageError(cause, "Write partition/offset, as stream-ml dead-letters list shows them")
        if len(names) > 1:
            cause = f"{id_} may be of several pipelines: {', '.join(names)}"
            raise UsageError(cause, "Add --pipeline NAME")
        found = None
        if names and int(partition) < self._client.partitions(names[0] + DEAD):
            found = self._reader.at(names[0] + DEAD, int(partition), int(offset))
        if found is None:
            cause = f"{id_} is no dead letter"
            raise UsageError(cause, "See their ids: stream-ml dead-letters list")
        return letter_of(id_, names[0], found.timestamp, orjson.loads(found.value or b""))

    def kept(self, letter: Letter) -> Kept | None:
        """Return the record that was refused as its topic still holds it."""
        if letter.partition >= self._client.topics().get(letter.topic, 0):
            return None
        found = self._reader.at(letter.topic, letter.partition, letter.offset)
        if found is None or not letter.is_of(found.value or b""):
            return None
        return Kept(found.key, found.value or b"")

    def produce(self, letter: Letter, kept: Kept | None, key: str | None) -> str:
        """Append the record to its topic again, to the partition where it stood; returns where it stands now.

        Raises
        ------
        InputError
            If the topic has several partitions and nothing tells the record's key.
        """
        if kept is not None:
            (place,) = self._client.append(letter.topic, [kept.value], [kept.key], [letter.partition])
        elif key is None and self._client.partitions(letter.topic) > 1:
            cause = f"{letter.topic} no longer holds {letter.partition}/{letter.offset}, and with it the record's key"
            raise InputError(cause, "Name the key's field: --key FIELD")
        else:
            (place,) = self._client.produce(letter.topic, [letter.raw], key=key)
        return str(place)


def _age(letter: Letter) -> tuple[int, list[int]]:
    return letter.written, [int(part) for part in str(letter.id).split("/")]
