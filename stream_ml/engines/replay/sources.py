"""Sources of history: files and records in memory, each a row of batches with a received time for every record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from stream_ml.client.records import json_of
from stream_ml.engines.replay.moments import OwnTime, misdated
from stream_ml.errors import UsageError
from stream_ml.schema.history import Batch, given
from stream_ml.schema.lines import joined
from stream_ml.schema.records import Run, Topics
from stream_ml.schema.verdict import Bad

I8 = NDArray[np.int64]
Record = dict[str, Any] | BaseModel | bytes | str
#: Records in memory are taken so many at once.
CHUNK = 4_096
#: The latest received time there is, epoch ms: history is never cut off by a clock.
NEVER = 1 << 62


@dataclass(slots=True)
class Source:
    """One file, or one iterable, of a topic.

    Order of calls: :meth:`fill`, then :meth:`take` until nothing is :attr:`left`, then :meth:`fill` again; it returns
    False at the end.

    Parameters
    ----------
    name
        What positions call it.
    topic, rank
        Its topic, and the topic's rank among records of one moment.
    batches
        Where records come from.
    own
        Reads the records' own time where their batches have no received times; None: they are there from the start.
    ahead_ms
        How far ahead of its neighbours a record may be dated by its own time, milliseconds.
    late_ms
        How far back a record may go before it counts as out of order, milliseconds.
    """

    name: str
    topic: str
    rank: int
    batches: Iterator[Batch]
    own: OwnTime | None
    ahead_ms: int = 3_600_000
    late_ms: int = 60_000
    stamps: I8 = field(default_factory=lambda: np.zeros(0, np.int64))
    went_back: int = 0
    _held: Batch | None = None
    _values: Sequence[bytes] = ()
    _bad: tuple[Bad, ...] = ()
    _first: int = 0
    _begin: int = 0
    _last: int = 0

    @property
    def left(self) -> int:
        """How many records of the batch at hand were not taken."""
        return len(self._values) - self._begin

    @property
    def waiting(self) -> I8:
        """Received times of the records that are left, epoch ms."""
        return self.stamps[self._begin :]

    @property
    def count(self) -> int:
        """How many records were taken."""
        return self._first + self._begin

    def fill(self) -> bool:
        """Read the next batch if nothing is left; return whether anything is."""
        while not self.left:
            batch = next(self.batches, None)
            if batch is None and self._held is None:
                return False
            batch, moments = self._dated(batch)
            self._first += len(self._values)
            self._values, self._bad, self._begin = batch.values, batch.bad, 0
            self.stamps = self._stamped(moments)
        return True

    def take(self, n: int) -> Run:
        """Take the next n records."""
        begin, end = self._begin, self._begin + n
        first = self._first + begin
        bad = tuple(replace(one, index=one.index - begin) for one in self._bad if begin <= one.index < end)
        whole = begin == 0 and end == len(self._values)
        run = Run(
            source=self.name,
            first=first,
            end=first + n,
            cap=NEVER,
            topics=Topics((self.topic,), np.zeros(n, np.int64)),
            offsets=np.arange(first, first + n),
            received=self.stamps[begin:end],
            keys=[None] * n,
            values=self._values if whole else self._values[begin:end],
            bad=bad,
        )
        self._begin = end
        return run

    def _dated(self, batch: Batch | None) -> tuple[Batch, I8]:
        """Return a batch and when its records were received; those at its end that are in doubt are held back."""
        ended = batch is None
        batch, self._held = _joined(self._held, batch), None
        if batch.received is not None:
            return batch, batch.received
        if self.own is None:
            return batch, np.zeros(len(batch.values), np.int64)
        moments = self.own.read(batch.values)
        last = float(self._last) if self.count else np.nan
        wrong, known = misdated(moments, last, self.ahead_ms, ended=ended)
        if known < len(batch.values):
            batch, self._held = _split(batch, known)
        moments[wrong] = np.nan
        moments = moments[:known]
        so_far = np.maximum.accumulate(np.where(np.isnan(moments), self._last, moments))
        return batch, np.where(np.isnan(moments), so_far, moments).astype(np.int64)

    def _stamped(self, moments: I8) -> I8:
        """Return received times that never go back."""
        if not moments.size:
            return moments
        stamps = np.maximum.accumulate(np.maximum(moments, self._last))
        self.went_back += int((moments < stamps - self.late_ms).sum())
        self._last = int(stamps[-1])
        return stamps


def _joined(held: Batch | None, batch: Batch | None) -> Batch:
    parts = [part for part in (held, batch) if part is not None]
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    shift = len(first.values)
    bad = tuple(replace(one, index=one.index + shift) for one in second.bad)
    return Batch(first.first_row, joined([first.values, second.values]), None, (*first.bad, *bad))


def _split(batch: Batch, at: int) -> tuple[Batch, Batch]:
    before = tuple(one for one in batch.bad if one.index < at)
    after = tuple(replace(one, index=one.index - at) for one in batch.bad if one.index >= at)
    return (
        Batch(batch.first_row, batch.values[:at], None, before),
        Batch(batch.first_row + at, batch.values[at:], None, after),
    )


def in_memory(records: Iterable[Record], received: str | None) -> Iterator[Batch]:
    """Take records that are in memory."""
    return given(_chunks(records), received)


def _chunks(records: Iterable[Record]) -> Iterator[list[bytes]]:
    source = iter(records)
    while chunk := [as_bytes(record) for record in islice(source, CHUNK)]:
        yield chunk


def as_bytes(record: Record) -> bytes:
    """Return a record as the bytes a log would hold.

    Raises
    ------
    UsageError
        When it cannot be written as JSON.
    """
    try:
        return json_of(record)
    except TypeError as error:
        cause = f"the record {record!r:.80} cannot be written as JSON: {error}"
        raise UsageError(cause, "Give dicts of plain values, instances of event classes, or bytes") from error


def is_path(given_: object) -> bool:
    """Return whether what stands for a topic is a file's name."""
    return isinstance(given_, str | Path)
