"""What an engine stores, in memory: the log, the journal, the newest snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.journal import Fed
from stream_ml.sessions.session import Run, Session, Turn, read_manifest

SOURCE = "log"


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the log: topic, the log's time stamp (epoch ms), bytes."""

    topic: str
    received: int
    value: bytes


@dataclass(slots=True)
class Memory:
    """One log for all topics, the journal entries, and the blobs of the newest snapshot.

    Order of calls: :meth:`append`, feed the run, :meth:`keep` the turn; between turns :meth:`snapshot` or
    :meth:`recover`.
    """

    rows: list[Row] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    manifest: bytes | None = None

    def append(self, rows: Iterable[Row], cap: int) -> Run:
        """Append records; returns the run that holds them."""
        first = len(self.rows)
        self.rows.extend(rows)
        return self.run(first, len(self.rows), cap)

    def run(self, first: int, end: int, cap: int) -> Run:
        """Return the records `first` to `end` - 1 as a run."""
        rows = self.rows[first:end]
        return Run(
            SOURCE, first, end, cap, [row.topic for row in rows], np.arange(first, first + len(rows), dtype=np.int64),
            np.array([row.received for row in rows], np.int64), [None] * len(rows), [row.value for row in rows],
        )  # fmt: skip

    def keep(self, turn: Turn) -> None:
        """Store a turn's journal entry."""
        self.entries.append(turn.entry)

    def snapshot(self, session: Session) -> None:
        """Store what changed since the last snapshot; what no snapshot needs any more is let go."""
        *fresh, manifest = session.segment()
        self.manifest = manifest
        self.blobs = [*self.blobs, *fresh][-len(read_manifest(manifest).checks) :]

    def recover(self, pipeline: Pipeline, *, features: bool) -> Session:
        """Return a session made from what is stored."""
        return Session.recover(pipeline, self.manifest, self.blobs, self.entries, self._again, features=features)

    def _again(self, fed: Fed) -> Run:
        return self.run(fed.first, fed.end, fed.cap)
