"""The reader, a process of its own: follows predictions and examples as any reader would, and notes when it saw what.

    python -m stream_ml.bench.reader URL NAME TOPICS.json OUT [FIELD]

It reads what is committed only. It writes how much it has seen to stdout, one JSON object a line, and ends when its
stdin does; then OUT holds all of it (`Seen`). FIELD holds an event's id in a prediction, where that is not "id".
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from stream_ml.bench.seen import EXAMPLES, JOURNAL, PREDICTIONS, Seen, encode_seen
from stream_ml.client.address import database_path, kafka_servers
from stream_ml.client.database import Access, failures, open_database
from stream_ml.client.follow import Follow
from stream_ml.client.log import Log
from stream_ml.sessions.journal import read_entry

_TELL_S, _WAIT_S = 0.1, 0.1


_NO_VERSION = ("", 0)


def _decoder(id_field: str, *fields: tuple[str, Any, Any]) -> Any:
    """Return a decoder of an id and some fields, which may be absent; other fields are passed over."""
    names = {"id": id_field, **{name: name for name, _, _ in fields}}
    return msgspec.json.Decoder(msgspec.defstruct("Record", [("id", str | int), *fields], rename=names))


class Reader:
    """Takes records in and keeps of them what a measurement needs.

    Parameters
    ----------
    name
        The pipeline's.
    id_field
        Where a prediction holds its event's id.
    """

    def __init__(self, name: str, id_field: str) -> None:
        self.seen = Seen()
        self.stop = False
        self._told = -1
        self._next = 0.0
        self._kinds = {f"{name}.{kind}": kind for kind in (PREDICTIONS, EXAMPLES, JOURNAL)}
        self._prediction = _decoder(id_field, ("version", tuple[str, int], _NO_VERSION))
        self._example = _decoder(id_field, ("fate", str, ""), ("weight", float | None, None))

    def take(self, at: float, topic: str, partition: int, offset: int, received: int, value: bytes) -> None:
        """Note one record that was seen at a moment (monotonic seconds)."""
        kind, seen = self._kinds.get(topic), self.seen
        if kind in {PREDICTIONS, EXAMPLES}:
            seen.stamps.append(received)
        if kind == PREDICTIONS:
            found = self._prediction.decode(value)
            seen.ids.append(found.id)
            seen.at.append(at)
            seen.counts.append(found.version[1])
        elif kind == EXAMPLES:
            example = self._example.decode(value)
            seen.examples.append(
                (example.id, partition, offset, example.fate == "label", example.weight is not None)
            )
        elif kind == JOURNAL:
            runs = [(one.source, one.first, one.end) for one in read_entry(value).fed]
            seen.entries.append(runs)

    def tell(self) -> None:
        """Say now and then how much there was."""
        now = time.monotonic()
        count = len(self.seen.ids) + len(self.seen.examples)
        if now >= self._next and count != self._told:
            self._next, self._told = now + _TELL_S, count
            line = {PREDICTIONS: len(self.seen.ids), EXAMPLES: len(self.seen.examples)}
            sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
            sys.stdout.flush()

    def until_stdin_ends(self) -> None:
        """Be told to stop, by whoever started us or by its end."""

        def wait() -> None:
            while os.read(0, 1):  # no buffer of ours, whose lock would outlive the interpreter
                pass
            self.stop = True

        threading.Thread(target=wait, daemon=True).start()


def follow_file(reader: Reader, path: Path, topics: list[str]) -> None:
    """Follow a SQLite log from its first row."""
    with failures(path):
        log = Log(open_database(path, Access.READ))
        waiting = Follow(log.connection, path)
        place = 1
        try:
            while True:
                waiting.mark()
                part = log.read(place, topics, 2_000)
                now, place = time.monotonic(), part.end
                for row, topic, received, _, value in part.rows:
                    reader.take(now, topic, 0, row, received, value)
                reader.tell()
                if not part.rows:
                    if reader.stop:
                        return
                    waiting.wait(_WAIT_S)
        finally:
            waiting.close()
            log.connection.close()


async def follow_kafka(reader: Reader, servers: str, topics: dict[str, list[int]]) -> None:
    """Follow partitions from their first offset, `read_committed`."""
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415 - an extra

    from stream_ml.config.kafka import read_kafka_settings  # noqa: PLC0415
    from stream_ml.engines.kafka.fetch import fetched  # noqa: PLC0415

    settings = read_kafka_settings()
    consumer = AIOKafkaConsumer(
        **settings.client(servers), group_id=None, enable_auto_commit=False, isolation_level="read_committed",
        fetch_max_bytes=settings.fetch_bytes, max_partition_fetch_bytes=settings.partition_bytes,
    )  # fmt: skip
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for topic, numbers in topics.items() for number in numbers]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        while True:
            found: dict[Any, Any] = await fetched(consumer, _WAIT_S)
            now = time.monotonic()
            for place, records in found.items():
                for one in records:
                    reader.take(now, place.topic, place.partition, one.offset, one.timestamp, one.value or b"")
            reader.tell()
            if not found and reader.stop and await _at_end(consumer, places):
                return
    finally:
        await consumer.stop()


async def _at_end(consumer: Any, places: list[Any]) -> bool:
    ends = await consumer.end_offsets(places)
    return all([await consumer.position(place) >= ends[place] for place in places])


def main(url: str, name: str, topics: str, out: str, id_field: str = "id") -> None:
    """Follow until stdin ends, then write what was seen."""
    reader = Reader(name, id_field)
    reader.until_stdin_ends()
    followed: dict[str, list[int]] = msgspec.json.decode(Path(topics).read_bytes())
    servers = kafka_servers(url)
    if servers is None:
        follow_file(reader, database_path(url), list(followed))
    else:
        asyncio.run(follow_kafka(reader, servers, followed))
    Path(out).write_bytes(encode_seen(reader.seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
