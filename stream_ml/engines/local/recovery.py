"""Where a worker begins: fresh, from a saved state, or from the newest snapshot and the journal after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_ml.client.log import now_ms
from stream_ml.engines.local.reader import SOURCE, Reader
from stream_ml.engines.local.store import Commit, Generation, Store
from stream_ml.errors import CorruptError, UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.session.journal import Fed
from stream_ml.session.session import Run, Session, read_manifest


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
    """

    session: Session
    generation: int
    segments: int
    told: str


def open_session(pipeline: Pipeline, store: Store, start_from: Path | None) -> Recovered:
    """Begin where the file says.

    Steps: 1 compare journal and snapshots; 2 newest snapshot that passes its checks, and what the journal says was fed
    after it; 3 forget what a stop in mid-snapshot left behind.

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
    if not generations and span.start > 1:
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
        return Recovered(found.session, found.generation, found.segments, found.told + damaged)
    if span.start > 1:
        raise failed
    session = Session.recover(pipeline, None, (), store.entries(0), _again(store, pipeline))
    store.forget_after(0, 0)
    return Recovered(session, 0, 0, f"fed again {len(span):,} journal entries{damaged}")


def _from_snapshot(pipeline: Pipeline, store: Store, generation: Generation) -> Recovered:
    manifest = read_manifest(generation.data)
    end = generation.first_segment + len(manifest.checks)
    blobs = (store.segment(number) for number in range(generation.first_segment, end))
    entries = store.entries(generation.entry)
    session = Session.recover(pipeline, generation.data, blobs, entries, _again(store, pipeline))
    again = session.number - generation.entry
    told = f"recovered from the snapshot of entry {generation.entry:,} and {again:,} journal entries"
    return Recovered(session, generation.number, end - 1, told)


class _again:  # noqa: N801 - called like a function
    """Reads runs again as they were fed."""

    def __init__(self, store: Store, pipeline: Pipeline) -> None:
        self._store = store
        self._pipeline = pipeline
        self._reader: Reader | None = None

    def __call__(self, fed: Fed) -> Run:
        raise NotImplementedError


def _fresh(pipeline: Pipeline, store: Store, start_from: Path | None) -> Recovered:
    if start_from is None:
        return Recovered(Session(pipeline), 0, 0, "fresh start at row 1")
    raise NotImplementedError


def position_of(session: Session) -> int:
    """First row that the session has not been fed."""
    return session.positions.get(SOURCE, 1)


__all__ = ["Commit", "Iterator", "Recovered", "now_ms", "open_session", "position_of"]
