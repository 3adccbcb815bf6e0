"""Where a worker begins: fresh, from a saved state, or from the newest snapshot and the journal after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stream_ml.client.database import failures, transaction
from stream_ml.client.log import now_ms
from stream_ml.engines.local.reader import SOURCE, Reader, nothing
from stream_ml.engines.local.store import Commit, Generation, Store
from stream_ml.engines.saved import load_state
from stream_ml.errors import CorruptError, UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import compile_plan
from stream_ml.sessions.journal import PLAN, Entry, Fed, read_entry
from stream_ml.sessions.session import Run, Session, read_manifest


@dataclass(frozen=True, slots=True)
class Recovered:
    """A session that is ready to go on.

    Parameters
    ----------
    session
        As it stood after the last journal entry.
    generation
        Number of the snapshot that it came from, 0 if it came from none.
    segments
        Number of the last segment of that snapshot.
    told
        One line for people.
    snapshot_entry
        Journal entry that the snapshot contains.
    again_s
        How long feeding the journal again took, seconds.
    """

    session: Session
    generation: int
    segments: int
    told: str
    snapshot_entry: int = 0
    again_s: float = 0.0


def open_session(pipeline: Pipeline, store: Store, start_from: Path | None) -> Recovered:
    """Begin where the file says.

    Steps: 1 compare journal and snapshots; where another plan was drained, begin there; 2 newest snapshot that passes
    its checks, and what the journal says was fed after it; 3 forget what a stop in mid-snapshot left behind.

    Raises
    ------
    CorruptError
        A snapshot without its journal, the reverse, checks that fail, or a log that no longer holds what was fed.
    UsageError
        The pipeline's declarations have changed, or a saved state is given to a pipeline that has run already.
    """
    span, generations = store.journal_span(), store.generations()
    if not span and not generations:
        return _fresh(pipeline, store, start_from)
    drained = _drained(pipeline, store, span)
    if drained is not None:
        return _fresh(pipeline, store, start_from, drained)
    if start_from is not None:
        cause = f"{pipeline.name!r} has already run on {store.path}, so it goes on from there"
        raise UsageError(cause, "Leave --start-from out, or name a new file")
    _require_pairs(store, span, generations)
    return _recover(pipeline, store, span, generations)


def _require_pairs(store: Store, span: range, generations: Sequence[Generation]) -> None:
    cure = "Restore the file from a copy"
    if not span:
        cause = f"{store.path} has a snapshot of {store.pipeline!r} without its journal"
        raise CorruptError(cause, cure)
    if not generations and span.start > 1 and not read_entry(next(store.entries(0))).drained:
        cause = f"{store.path} has a journal of {store.pipeline!r} from entry {span.start} on without its snapshot"
        raise CorruptError(cause, cure)
    if generations and generations[0].entry >= span.stop:
        cause = f"{store.path} has a snapshot of {store.pipeline!r} that is newer than its journal"
        raise CorruptError(cause, cure)


def _recover(pipeline: Pipeline, store: Store, span: range, generations: Sequence[Generation]) -> Recovered:
    damaged = ""
    for generation in generations:
        if span.start > generation.entry + 1:
            break
        try:
            found = _from_snapshot(pipeline, store, generation)
        except CorruptError as error:
            failed = error
            damaged = f" (snapshot {generation.number} is damaged)"
            continue
        store.forget_after(generation.number, found.segments)
        return replace(found, told=found.told + damaged)
    if span.start > 1 and generations and not _ends_another(read_entry(next(store.entries(0))), pipeline):
        raise failed
    begun = time.perf_counter()
    session = Session.recover(pipeline, None, (), store.entries(0), _again(store, pipeline))
    store.forget_after(0, 0)
    told = f"recovered from {len(span):,} journal entries{damaged}"
    return Recovered(session, 0, 0, told, 0, time.perf_counter() - begun)


def _from_snapshot(pipeline: Pipeline, store: Store, generation: Generation) -> Recovered:
    manifest = read_manifest(generation.data)
    end = generation.first_segment + len(manifest.checks)
    blobs = (store.segment(number) for number in range(generation.first_segment, end))
    entries = store.entries(generation.entry)
    begun = time.perf_counter()
    session = Session.recover(pipeline, generation.data, blobs, entries, _again(store, pipeline))
    again = session.number - generation.entry
    told = f"recovered from the snapshot of entry {generation.entry:,} and {again:,} journal entries"
    return Recovered(session, generation.number, end - 1, told, generation.entry, time.perf_counter() - begun)


def _again(store: Store, pipeline: Pipeline) -> Callable[[Fed], Run]:
    """Give what reads runs again as they were fed."""
    streams = compile_plan(pipeline).scorer.streams
    reader = Reader(store.log, tuple(dict.fromkeys(stream.topic for stream in streams)), 1)

    def read(fed: Fed) -> Run:
        with failures(store.path):
            return reader.again(fed.first, fed.end) if fed.count else nothing(fed.first, fed.end, fed.cap)

    return read


def _drained(pipeline: Pipeline, store: Store, span: range) -> Entry | None:
    """Give the last entry, if with it another plan was drained."""
    if not span:
        return None
    last = read_entry(next(store.entries(span[-1] - 1)))
    return last if _ends_another(last, pipeline) else None


def _ends_another(entry: Entry, pipeline: Pipeline) -> bool:
    return entry.drained and entry.plan != compile_plan(pipeline).digest[:PLAN]


def _fresh(pipeline: Pipeline, store: Store, start_from: Path | None, drained: Entry | None = None) -> Recovered:
    """Begin with an empty or a saved state: at the first row, or where another plan was drained.

    Of that plan only its last entry is kept, which says where it ended.
    """
    if drained is not None:
        store.forget_before(drained.number)
    if start_from is None:
        session = Session(pipeline)
        if drained is None:
            return Recovered(session, 0, 0, "fresh start at row 1")
        session.begin_after(drained)
        told = f"fresh start at row {position_of(session):,}, where the pipeline was drained"
        return Recovered(session, 0, 0, told)
    session, segments, manifest = load_state(pipeline, start_from)
    answered = 1 if drained is None else max((fed.end for fed in drained.fed), default=1)
    with failures(store.path):
        position = _first_unseen(session, store)
        _require_whole(session, store, answered, start_from)
    position = max(position, answered)
    entry = session.number
    for number, blob in enumerate(segments, 1):
        store.keep_segments(number, [blob])
    turn = session.feed([nothing(position, position, now_ms())])
    with failures(store.path), transaction(store.connection):
        store.drop_journal()
        store.write(Commit((), turn.number, turn.entry))
        store.write_manifest(Generation(1, entry, 1, now_ms(), manifest))
    told = f"started from {start_from} at row {position:,}"
    return Recovered(session, 1, len(segments), told, entry)


def _first_unseen(session: Session, store: Store) -> int:
    """Find the first row that the history cannot have held: received after the last moment that was replayed.

    Records received at that very moment may be in the history or not. With event ids they are fed again, since those
    that were seen are then counted as duplicates; without ids they are left out.
    """
    now = session.scorer.now
    after = now if session.plan.scorer.id is not None else now + 1
    return int(
        store.connection.execute(
            "SELECT coalesce((SELECT min(row) FROM log WHERE received >= ?), max(row) + 1, 1) FROM log",
            (after,),
        ).get
    )


def _require_whole(session: Session, store: Store, answered: int, start_from: Path) -> None:
    """Refuse a saved state that leaves out records which the drained pipeline answered."""
    later = store.connection.execute(
        "SELECT count(*) FROM log WHERE received > ? AND row < ?", (session.scorer.now, answered)
    ).get
    if later:
        cause = f"{start_from} ends before row {answered:,}, up to which the drained pipeline has answered"
        raise UsageError(cause, "Replay the history up to there, then try again")


def position_of(session: Session) -> int:
    """Give the first row that the session has not been fed."""
    return session.positions.get(SOURCE, 1)
