"""What the worker keeps in the file beside the log: journal, segments, manifests, its line in `pipelines`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from stream_ml.client.database import Access, failures, open_database, transaction
from stream_ml.client.log import Checkpointer, Log, now_ms
from stream_ml.config.settings import Durable
from stream_ml.errors import CorruptError

WAL_BYTES = 16 << 20  # the worker checkpoints when so much is new
_TRIM = 500  # journal entries deleted in one transaction: producers are not held


@dataclass(frozen=True, slots=True)
class Generation:
    """A snapshot that a manifest completes.

    Parameters
    ----------
    number
        Generations count from 1.
    entry
        Last journal entry that it contains.
    first_segment
        Oldest segment that it needs.
    made
        When, epoch ms UTC.
    data
        The manifest's bytes.
    """

    number: int
    entry: int
    first_segment: int
    made: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Output:
    """Values for one topic, in order."""

    topic: str
    values: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction stores: outputs, the entry that tells of them, and what goes with it."""

    outputs: Sequence[Output]
    number: int
    entry: bytes
    status: bytes | None = None


class Store:
    """The file as the worker of one pipeline sees it.

    `commit` is one turn; `keep_segments` and `publish` are transactions of their own; `tidy` runs between turns.
    """

    def __init__(self, path: Path, pipeline: str, durable: Durable, busy_ms: int) -> None:
        self.path = path
        self.pipeline = pipeline
        self.connection = open_database(path, Access.WRITE, durable, busy_ms)
        self.log = Log(self.connection)
        self._checkpointer = Checkpointer(self.connection, WAL_BYTES, busy_ms)
        with failures(path):
            known = self.connection.execute("SELECT 1 FROM pipelines WHERE name = ?", (pipeline,)).get
            if known is None:
                with transaction(self.connection):
                    self.connection.execute(
                        "INSERT OR IGNORE INTO pipelines (name, created) VALUES (?, ?)", (pipeline, now_ms())
                    )

    def close(self) -> None:
        """Close the file."""
        with failures(self.path):
            self.connection.close()

    def commit(self, commit: Commit) -> range | None:
        """Store a turn's outputs and its entry in one transaction.

        Steps: 1 take the writer's lock; 2 stamp the received time; 3 append the outputs; 4 append the entry; 5 commit.

        Returns
        -------
        range or None
            Row numbers of the outputs, None if there were none.

        Raises
        ------
        StorageError, BusyError, CorruptError
            Nothing was stored, or it is not known to be: the worker ends and recovers from the file.
        """
        with failures(self.path), transaction(self.connection):
            return self.write(commit)

    def write(self, commit: Commit) -> range | None:
        """Carry out steps 2 to 4 of `commit` inside a transaction that the caller holds."""
        first: int | None = None
        end = 0
        received = self.log.stamp()
        for output in commit.outputs:
            if output.values:
                start = self.log.append(output.topic, received, output.values)
                first = start if first is None else first
                end = start + len(output.values)
        self.connection.execute(
            "INSERT INTO journal (pipeline, number, entry) VALUES (?, ?, ?)",
            (self.pipeline, commit.number, commit.entry),
        )
        if commit.status is not None:
            self._status(commit.status)
        return None if first is None else range(first, end)

    def keep_status(self, status: bytes) -> None:
        """Store what `stream-ml status` shows, with no turn."""
        with failures(self.path), transaction(self.connection):
            self._status(status)

    def _status(self, status: bytes) -> None:
        self.connection.execute(
            "UPDATE pipelines SET updated = ?, status = ? WHERE name = ?", (now_ms(), status.decode(), self.pipeline)
        )

    def after_commit(self) -> None:
        """Checkpoint if it is time."""
        with failures(self.path):
            self._checkpointer.after_commit()

    # Journal ---------------------------------------------------------------------------------------------------------

    def journal_span(self) -> range:
        """Numbers of the entries that are kept; empty if none was ever written.

        Raises
        ------
        CorruptError
            If one is missing in between.
        """
        with failures(self.path):
            first, last, count = self.connection.execute(
                "SELECT coalesce(min(number), 1), coalesce(max(number), 0), count(*) FROM journal WHERE pipeline = ?",
                (self.pipeline,),
            ).get
        span = range(first, last + 1)
        if len(span) != count:
            cause = f"The journal of {self.pipeline!r} in {self.path} has holes"
            raise CorruptError(cause, "Restore the file from a copy")
        return span

    def entries(self, after: int) -> Iterator[bytes]:
        """Entries after a number, in order; each read is short, so checkpoints are not held up."""
        number = after
        while True:
            with failures(self.path):
                rows = self.connection.execute(
                    "SELECT number, entry FROM journal WHERE pipeline = ? AND number > ? ORDER BY number LIMIT 64",
                    (self.pipeline, number),
                ).fetchall()
            if not rows:
                return
            yield from (cast("bytes", entry) for _, entry in rows)
            number = cast("int", rows[-1][0])

    # Snapshots -------------------------------------------------------------------------------------------------------

    def generations(self) -> list[Generation]:
        """Complete snapshots, newest first."""
        with failures(self.path):
            return [
                Generation(*cast("tuple[int, int, int, int, bytes]", row))
                for row in self.connection.execute(
                    "SELECT generation, entry, first_segment, made, data FROM manifest WHERE pipeline = ?"
                    " ORDER BY generation DESC",
                    (self.pipeline,),
                ).fetchall()
            ]

    def segment(self, number: int) -> bytes:
        """One segment.

        Raises
        ------
        CorruptError
            If it is not there.
        """
        with failures(self.path):
            data = self.connection.execute(
                "SELECT data FROM segments WHERE pipeline = ? AND number = ?", (self.pipeline, number)
            ).get
        if data is None:
            cause = f"Segment {number} of {self.pipeline!r} is missing in {self.path}"
            raise CorruptError(cause, "Restore the file from a copy")
        return bytes(data)

    def last_segment(self) -> int:
        """Give the number of the newest segment, 0 if there is none."""
        with failures(self.path):
            return int(
                self.connection.execute(
                    "SELECT coalesce(max(number), 0) FROM segments WHERE pipeline = ?", (self.pipeline,)
                ).get
            )

    def keep_segments(self, first: int, blobs: Sequence[bytes]) -> None:
        """Store segments, numbered from `first` on, in a transaction of their own."""
        with failures(self.path), transaction(self.connection):
            self.connection.executemany(
                "INSERT OR REPLACE INTO segments (pipeline, number, data) VALUES (?, ?, ?)",
                [(self.pipeline, number, blob) for number, blob in enumerate(blobs, first)],
            )

    def publish(self, generation: Generation) -> None:
        """Complete a snapshot: its manifest, in a transaction of its own; its entry is in the journal already."""
        with failures(self.path), transaction(self.connection):
            self.write_manifest(generation)

    def write_manifest(self, generation: Generation) -> None:
        """Write a manifest inside a transaction that the caller holds."""
        self.connection.execute(
            "INSERT INTO manifest (pipeline, generation, entry, first_segment, made, data) VALUES (?, ?, ?, ?, ?, ?)",
            (
                self.pipeline,
                generation.number,
                generation.entry,
                generation.first_segment,
                generation.made,
                generation.data,
            ),
        )

    def forget_after(self, generation: int, segment: int) -> None:
        """Drop newer generations, which are damaged, and newer segments, which no manifest names."""
        self._delete("DELETE FROM manifest WHERE pipeline = ? AND generation > ?", generation)
        for number in self._column("SELECT number FROM segments WHERE pipeline = ? AND number > ?", segment):
            self._delete("DELETE FROM segments WHERE pipeline = ? AND number = ?", number)

    def drop_journal(self) -> None:
        """Drop the journal inside a transaction that the caller holds: a state that goes further takes its place."""
        self.connection.execute("DELETE FROM journal WHERE pipeline = ?", (self.pipeline,))

    def forget_before(self, entry: int) -> None:
        """Drop the entries before one that drained the pipeline, and every snapshot: it is the beginning now."""
        for first in range(self.journal_span().start, entry, _TRIM):
            self._delete("DELETE FROM journal WHERE pipeline = ? AND number <= ?", min(first + _TRIM, entry) - 1)
        self.forget_after(0, 0)

    def tidy(self) -> Iterator[None]:
        """Drop what neither of the two newest generations needs, a small transaction a step.

        The journal keeps every entry after the older of the two, and in any case its last one.
        """
        kept = self.generations()[:2]
        if not kept:
            return
        oldest = kept[-1]
        self._delete("DELETE FROM manifest WHERE pipeline = ? AND generation < ?", oldest.number)
        yield
        needed = min(generation.first_segment for generation in kept)
        numbers = self._column("SELECT number FROM segments WHERE pipeline = ? AND number < ?", needed)
        for number in numbers:
            self._delete("DELETE FROM segments WHERE pipeline = ? AND number = ?", number)
            yield
        last = self.journal_span()[-1:]
        end = min(oldest.entry, last[0] - 1) if last else 0
        for first in self._column("SELECT min(number) FROM journal WHERE pipeline = ? AND number <= ?", end):
            for upto in range((first or end) + _TRIM - 1, end + _TRIM, _TRIM):
                self._delete("DELETE FROM journal WHERE pipeline = ? AND number <= ?", min(upto, end))
                yield

    def _column(self, query: str, bound: int) -> list[int]:
        with failures(self.path):
            return [
                cast("int", value) for (value,) in self.connection.execute(query, (self.pipeline, bound)).fetchall()
            ]

    def _delete(self, statement: str, bound: int) -> None:
        with failures(self.path), transaction(self.connection):
            self.connection.execute(statement, (self.pipeline, bound))
