"""The run that never stopped: a fresh session, fed exactly the runs and ticks that a file's journal says were fed.

A worker drops journal entries that its snapshots hold, so a trigger keeps a copy of each, in the transaction of its
turn. When deadlines are let pass depends on clocks; what was fed and when is in the journal, so it can be fed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from stream_ml.client.database import Access, open_database
from stream_ml.client.log import Log
from stream_ml.engines.local.reader import Reader, nothing
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.journal import Entry, Fed, read_entry
from stream_ml.sessions.session import Run, Session

KINDS = ("predictions", "examples", "dead", "alarms", "metrics")


@dataclass
class Story:
    """What a session put out and where it stands after the last entry; `after[n]` counts outputs after entry n."""

    session: Session
    turns: int = 0
    ticks: int = 0
    out: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    after: list[dict[str, int]] = field(default_factory=lambda: [{}])


def keep_journal(path: Path) -> None:
    """Make the file keep a copy of every journal entry; call it before a worker runs."""
    connection = open_database(path, Access.WRITE)
    connection.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, entry BLOB NOT NULL)")
    connection.execute(
        "CREATE TRIGGER keep AFTER INSERT ON journal BEGIN INSERT INTO kept VALUES (new.number, new.entry); END"
    )
    connection.close()


@contextmanager
def opened(path: Path) -> Iterator[apsw.Connection]:
    """Open a file to read."""
    connection = open_database(path, Access.READ)
    try:
        yield connection
    finally:
        connection.close()


def kept_entries(connection: apsw.Connection) -> list[Entry]:
    """Read the kept entries; they number from 1 without a gap, and no row of the log lies between two runs."""
    rows = connection.execute("SELECT number, entry FROM kept ORDER BY number").fetchall()
    entries = [read_entry(bytes(raw)) for _, raw in rows]  # type: ignore[arg-type]  # a BLOB
    assert [entry.number for entry in entries] == list(range(1, len(rows) + 1))
    position = 1
    for entry in entries:
        for fed in entry.fed:
            assert fed.first == position, f"entry {entry.number} begins at row {fed.first}, not at {position}"
            position = fed.end
    return entries


def never_stopped(pipeline: Pipeline, path: Path) -> Story:
    """Feed a fresh session what the journal of a file says was fed, without stopping."""
    connection = open_database(path, Access.READ)
    session = Session(pipeline)
    reader = Reader(Log(connection), session.topics, 1)
    story = Story(session)
    for entry in kept_entries(connection):
        turn = session.feed([_run(reader, fed) for fed in entry.fed], entry.tick, entry.skipped)
        assert read_entry(turn.entry) == entry, f"turn {entry.number} is another one than the worker carried out"
        for out in turn.out:
            story.out[out.topic] += out.values
        story.after.append({topic: len(values) for topic, values in story.out.items()})
        story.turns += 1
        story.ticks += entry.tick is not None
    connection.close()
    return story


def _run(reader: Reader, fed: Fed) -> Run:
    run = reader.again(fed.first, fed.end) if fed.count else nothing(fed.first, fed.end, fed.cap)
    return Run(run.source, fed.first, fed.end, fed.cap, run.topics, run.offsets, run.received, run.keys, run.values)


def written(path: Path, name: str) -> dict[str, list[bytes]]:
    """Read every output of a pipeline from the log, by topic, in row order, as bytes."""
    connection = open_database(path, Access.READ)
    found = {}
    for kind in KINDS:
        rows = connection.execute("SELECT value FROM log WHERE topic = ? ORDER BY row", (f"{name}.{kind}",)).fetchall()
        if rows:
            found[f"{name}.{kind}"] = [bytes(value) for (value,) in rows]  # type: ignore[arg-type]  # a BLOB
    connection.close()
    return found


def assert_same(ours: dict[str, list[bytes]], theirs: dict[str, list[bytes]]) -> None:
    """Fail at the first output that differs, byte by byte."""
    assert set(ours) == set(theirs)
    for topic, values in ours.items():
        for at, (one, other) in enumerate(zip(values, theirs[topic], strict=False)):
            assert one == other, f"{topic} {at}"
        assert len(values) == len(theirs[topic]), topic
