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

from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import progress_bar, tell, write_json
from stream_ml.client import connect
from stream_ml.client.files import record_batches

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
    batches = stdin_lines() if typed.file == "-" else record_batches(Path(typed.file))
    count = 0
    first = last = None
    begun = time.monotonic()
    with connect(url, durable=settings.durable.value) as client, progress_bar(f"produce {typed.topic}") as bar:
        for batch in batches:
            for part in _paced(batch, typed.rate, begun, count):
                for rows in client.produce_chunks(typed.topic, part, key=typed.key):
                    first = rows.start if first is None else first
                    last = rows.stop - 1
                    count += len(rows)
                    bar.update(count)
    if as_json:
        write_json({"topic": typed.topic, "records": count, "first": first, "last": last})
    elif count:
        tell(f"{count:,} records of {typed.topic} are stored, rows {first:,} to {last:,}")
    else:
        tell("No records: the input is empty")


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
