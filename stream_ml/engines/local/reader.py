"""Reads the log for one pipeline: runs of its topics in row order, without reading its own outputs again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.client.log import Log, Part, now_ms
from stream_ml.schema.records import Run, Topics

SOURCE = "log"
_REMEMBERED = 10_000  # ranges of own rows; past it they are read and passed over like anybody's


class Reader:
    """The log from a position on.

    Order: `next` gives what is unread; after the turn is stored `advance` moves the position. `passed` tells of rows
    that the worker itself appended.

    Parameters
    ----------
    log
        The table.
    topics
        Topics that the pipeline reads.
    position
        First row that has not been fed.
    """

    def __init__(self, log: Log, topics: Sequence[str], position: int) -> None:
        self._log = log
        self._topics = tuple(topics)
        self.position = position
        self._looked = position
        self._own: deque[range] = deque()
        self._own_rows = 0
        self.behind = 0

    def next(self, limit: int) -> Run | None:
        """Unread records, at most `limit`; None if every row is read.

        The run starts where the last one ended, so that runs follow one another without a gap.
        """
        while True:
            cap = now_ms()
            self._looked = self._past_own(self._looked)
            part = self._log.read(self._looked, self._topics, limit, self._own[0].start if self._own else None)
            if part.rows:
                self.behind = max(0, self._log.end() - part.end - self._own_rows)
                return _run(self.position, part, cap)
            if part.end == self._looked and not self._own:
                return None
            self._looked = part.end

    def fed(self, run: Run) -> None:
        """Go past a run whose turn is stored."""
        self.position = self._looked = run.end

    def passed(self, rows: range | None) -> None:
        """Remember rows that the worker appended: its topics are never among them."""
        if rows is None:
            return
        if self._own and self._own[-1].stop == rows.start:
            self._own[-1] = range(self._own[-1].start, rows.stop)
        elif len(self._own) < _REMEMBERED:
            self._own.append(rows)
        else:
            return
        self._own_rows += len(rows)

    def again(self, first: int, end: int) -> Run:
        """Read a run that was fed before, as recovery needs it."""
        part = self._log.read(first, self._topics, end - first, end)
        return _run(first, part, 0)

    def _past_own(self, position: int) -> int:
        while self._own and self._own[0].start <= position:
            passed = self._own.popleft()
            self._own_rows -= len(passed)
            position = max(position, passed.stop)
        return position


def nothing(first: int, end: int, cap: int) -> Run:
    """Make a run without records: it only moves the position."""
    none = np.empty(0, np.int64)
    return Run(SOURCE, first, end, cap, (), none, none, (), ())


def _run(first: int, part: Part, cap: int) -> Run:
    if not part.rows:
        return nothing(first, part.end, cap)
    offsets, topics, received, keys, values = zip(*part.rows, strict=True)
    return Run(
        source=SOURCE,
        first=first,
        end=part.end,
        cap=cap,
        topics=Topics.of(topics),
        offsets=_rising(offsets),
        received=_constant(received),
        keys=keys if set(keys) == {None} else [key if key is None else key.encode() for key in keys],
        values=values,
    )


def _rising(rows: tuple[int, ...]) -> NDArray[np.int64]:
    """Make an array of row numbers, which rise; mostly without a gap."""
    if rows[-1] - rows[0] == len(rows) - 1:
        return np.arange(rows[0], rows[-1] + 1, dtype=np.int64)
    return np.fromiter(rows, np.int64, len(rows))


def _constant(received: tuple[int, ...]) -> NDArray[np.int64]:
    """Make an array of received times, which never fall; mostly they are of one transaction."""
    if received[0] == received[-1]:
        return np.full(len(received), received[0], np.int64)
    return np.fromiter(received, np.int64, len(received))
