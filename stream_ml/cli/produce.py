"""`stream-ml produce`: the records of a file, or of stdin, into a topic."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import progress_bar, tell, write_json
from stream_ml.client import connect
from stream_ml.client.address import kafka_servers
from stream_ml.client.files import record_batches
from stream_ml.client.records import Place
from stream_ml.config.settings import Durable

PACES = 50  # chunks a second under --rate
_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Produce:
    """What was typed."""

    topic: str
    file: str
    on: str | None
    rate: float | None
    key: str | None
    durable: str | None


def produce(typed: Produce, *, as_json: bool) -> None:
    """Append and say which rows it became.

    Raises
    ------
    InputError
        If the file is missing or cannot be read at all.
    """
    settings, url = settings_and_url(typed.on, durable=typed.durable)
    on_kafka = kafka_servers(url) is not None
    durable = Durable.FULL if on_kafka and typed.durable is None else settings.durable
    batches = stdin_lines() if typed.file == "-" else record_batches(Path(typed.file))
    stored = Stored()
    begun = time.monotonic()
    with connect(url, durable=durable.value) as client, progress_bar(f"produce {typed.topic}") as bar:
        for batch in batches:
            for part in _paced(batch, typed.rate, begun, stored.count):
                for places in client.produce_chunks(typed.topic, part, key=typed.key):
                    stored.add(places)
                    bar.update(stored.count)
    if as_json:
        where = stored.partitions() if on_kafka else stored.rows()
        write_json({"topic": typed.topic, "records": stored.count, **where})
    elif stored.count:
        tell(f"{stored.count:,} records of {typed.topic} are stored, {stored.told(on_kafka=on_kafka)}")
    else:
        tell("No records: the input is empty")


class Stored:
    """Counts what was stored, and where: from which place to which in each partition (a file is one)."""

    def __init__(self) -> None:
        self.count = 0
        self.places: dict[int, tuple[int, int]] = {}

    def add(self, chunk: range | list[Place]) -> None:
        """Count a chunk."""
        self.count += len(chunk)
        ends = [Place(0, chunk.start), Place(0, chunk.stop - 1)] if isinstance(chunk, range) else chunk
        for partition, offset in ends:
            first, last = self.places.get(partition, (offset, offset))
            self.places[partition] = min(first, offset), max(last, offset)

    def rows(self) -> dict[str, Any]:
        """Return the first and the last row."""
        first, last = self.places.get(0, (None, None))
        return {"first": first, "last": last}

    def partitions(self) -> dict[str, Any]:
        """Return the first and the last offset of each partition."""
        return {"partitions": {str(number): list(ends) for number, ends in sorted(self.places.items())}}

    def told(self, *, on_kafka: bool) -> str:
        """Say where, for people."""
        if on_kafka:
            parts = [f"{number}/{first:,} to {last:,}" for number, (first, last) in sorted(self.places.items())]
            return f"partition/offset {', '.join(parts)}"
        first, last = self.places[0]
        return f"rows {first:,} to {last:,}"


def stdin_lines() -> Iterator[list[bytes]]:
    """Yield the lines of stdin as they come: what is there is not kept waiting for more."""
    fd = sys.stdin.fileno()
    rest = b""
    while data := os.read(fd, _READ):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            yield lines
        select.select([fd], [], [])
    if rest:
        yield [rest]


def _paced(batch: list[bytes], rate: float | None, begun: float, done: int) -> Iterator[list[bytes]]:
    """Cut a batch so that record i is not sent before `begun + i / rate`: the schedule does not wait for the log."""
    if rate is None:
        yield batch
        return
    size = max(1, int(rate / PACES))
    pause = Event()
    for start in range(0, len(batch), size):
        pause.wait(max(0.0, begun + (done + start) / rate - time.monotonic()))
        yield batch[start : start + size]
