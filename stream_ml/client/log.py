"""The log of the file: append under the writer's lock, read in row order, checkpoint.

Rows are numbered by SQLite (AUTOINCREMENT) and received times are stamped while the writer's lock is held, so row
order is commit order and received times never go back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, cast

import apsw

# One statement for many rows: the array is read by SQLite itself. Measured in benchmarks/sqlite.py.
_APPEND_VALUES = "INSERT INTO log (topic, received, value) SELECT ?1, ?2, value FROM carray(?3)"
_APPEND_ONE = "INSERT INTO log (topic, received, key, value) VALUES (?, ?, ?, ?)"
_BY_CARRAY: Final = 8  # rows from which the array is faster than one statement a row

Row = tuple[int, str, int, str | None, bytes]
_VALUE: Final = 4  # its place in a row

PART_BYTES = 32 << 20  # a part ends when it holds so much, however few its rows
SLICE = 128


def now_ms() -> int:
    """Read the clock of the machine: epoch milliseconds UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of the log from `first` up to but without `end`, of the topics that were asked for."""

    first: int
    end: int
    rows: list[Row]


class Log:
    """The `log` table of one open connection.

    `append` is called inside a transaction, `stamp` before it; `read` outside one.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def stamp(self) -> int:
        """Received time of the rows that this transaction appends: the clock, but never before the last row's."""
        last = self.connection.execute("SELECT received FROM log ORDER BY row DESC LIMIT 1").get
        now = now_ms()
        return now if last is None else max(now, cast("int", last))

    def append(
        self, topic: str, received: int, values: Sequence[bytes], keys: Sequence[str | None] | None = None
    ) -> int:
        """Append values in order; gives the row number of the first.

        Parameters
        ----------
        topic
            Topic of all of them.
        received
            What `stamp` gave in this transaction, epoch ms.
        values
            At least one.
        keys
            Their keys, where they have any.
        """
        if keys is None and len(values) >= _BY_CARRAY:
            self.connection.execute(_APPEND_VALUES, (topic, received, apsw.carray(tuple(values))))
        else:
            given = keys if keys is not None else (None,) * len(values)
            self.connection.executemany(
                _APPEND_ONE, ((topic, received, key, value) for key, value in zip(given, values, strict=True))
            )
        return self.connection.last_insert_rowid() - len(values) + 1

    def end(self) -> int:
        """Row number that the next record will have at least: one past the last row."""
        return int(self.connection.execute("SELECT coalesce(max(row), 0) + 1 FROM log").get)

    def read(self, first: int, topics: Sequence[str], limit: int, end: int | None = None) -> Part:
        """Rows of these topics from `first` on, in row order.

        Parameters
        ----------
        first
            First row number to look at.
        topics
            Topics wanted; the others are passed over. None at all means every topic.
        limit
            Rows at most; fewer where they hold more than `PART_BYTES`.
        end
            Row number to stop before; the end of the log without it.
        """
        stop = self.end() if end is None else end
        where = f" AND topic IN ({','.join('?' * len(topics))})" if topics else ""
        cursor = self.connection.execute(
            f"SELECT row, topic, received, key, value FROM log WHERE row >= ? AND row < ?{where} ORDER BY row LIMIT ?",
            (first, stop, *topics, limit),
        )
        rows: list[Row] = []
        held = 0
        while held < PART_BYTES and (slice_ := cast("list[Row]", list(islice(cursor, SLICE)))):
            rows += slice_
            held += sum(map(len, [row[_VALUE] for row in slice_]))
        cut = len(rows) == limit or held >= PART_BYTES
        cursor.close(True)
        return Part(first, rows[-1][0] + 1 if cut else max(first, stop), rows)


class Checkpointer:
    """Keeps the write-ahead log from growing without bound, holding nobody up for long.

    Passive checkpoints copy what they can while others write. A log that still grows, since somebody always writes, is
    started anew by a checkpoint that holds writers for the few frames left; if readers are in the way it is tried again
    at a later turn.
    """

    HOLD_MS = 50

    def __init__(self, connection: apsw.Connection, limit_bytes: int, busy_ms: int) -> None:
        self._connection = connection
        self._busy_ms = busy_ms
        page = int(connection.execute("PRAGMA page_size").get)
        self._limit = max(1, limit_bytes // page)
        self._frames = 0
        self._copied = 0
        connection.set_wal_hook(self._committed)

    def _committed(self, _connection: apsw.Connection, _database: str, frames: int) -> int:
        self._copied = min(self._copied, frames)
        self._frames = frames
        return apsw.SQLITE_OK

    def after_commit(self) -> None:
        """Checkpoint if enough has been written since the last one; call outside transactions."""
        if self._frames - self._copied < self._limit:
            return
        frames = self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        if frames < 2 * self._limit:
            return
        self._connection.set_busy_timeout(self.HOLD_MS)
        try:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._connection.set_busy_timeout(self._busy_ms)

    def _checkpoint(self, mode: int) -> int:
        """Checkpoint; where another process is at it, or readers are in the way, leave it for later.

        Returns
        -------
        int
            Frames in the write-ahead log, 0 if it is not known.
        """
        try:
            frames, self._copied = self._connection.wal_checkpoint("main", mode)
        except apsw.BusyError:
            self._copied = self._frames
            return 0
        return frames
