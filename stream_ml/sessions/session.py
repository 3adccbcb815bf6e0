"""The session: runs of records in, turns out. No clock and no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream_ml.errors import CorruptError, Reason, UsageError
from stream_ml.kernels import operations
from stream_ml.language.pipeline import Pipeline
from stream_ml.learner.machine import Learner
from stream_ml.plan.bundle import Plan, compile_plan
from stream_ml.schema.records import Fed, Out, Run
from stream_ml.schema.symbols import Symbols
from stream_ml.schema.verdict import Bad
from stream_ml.scorer.machine import Scorer
from stream_ml.sessions import journal
from stream_ml.sessions.cut import SLICE
from stream_ml.sessions.encode import Encoder
from stream_ml.sessions.inline import Inline
from stream_ml.sessions.merge import merge
from stream_ml.sessions.outputs import Outputs
from stream_ml.sessions.snapshot import Manifest, Snapshots, read_manifest
from stream_ml.sessions.state import State

RANKS = {"table": 0, "event": 1, "other": 1, "label": 2}
CHANGED = (
    "Finish with the old file first: `stream-ml run OLD.py --drain`. The changed one then begins where that ended,"
    " with a fresh state"
)
#: (source, offset) of a record.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one feed decided; an engine carries out all of it or none of it.

    Parameters
    ----------
    out
        Records by topic.
    entry
        The journal entry: what was fed, and what no log holds.
    number
        The entry's number, from 1 without gaps.
    """

    out: tuple[Out, ...]
    entry: bytes
    number: int


class Session:
    """Inputs in, decisions out.

    Order of calls: :meth:`feed` for each turn; :meth:`segment` now and then, between turns; :meth:`drain` where the
    pipeline ends for another plan to begin. :meth:`recover` makes a session from what engines stored.

    Parameters
    ----------
    pipeline
        The user's declarations.
    features
        Whether each prediction holds its feature values.
    journaled
        Whether turns carry journal entries; replay needs none.
    partition
        Of the events, in prediction ids and dead letters.
    """

    def __init__(
        self, pipeline: Pipeline, *, features: bool = False, journaled: bool = True, partition: int = 0
    ) -> None:
        self.plan: Plan = compile_plan(pipeline)
        self.symbols = Symbols()
        self.scorer = Scorer(self.plan.scorer, self.symbols)
        self.learner = Learner(self.plan.learner, self.symbols)
        self.inline = Inline(self.scorer, self.learner)
        spec, learned = self.plan.scorer, self.plan.learner
        encoder = Encoder(learned.task, spec.served, spec.carry, spec.slices, learned.lineage)
        self.outputs = Outputs(
            self.plan.name, self.inline, encoder, features=features, store_features=self.plan.store_features
        )
        self.outputs.partition = partition
        self.state = State(self.scorer, self.symbols)
        self.number = 0
        self.positions: dict[str, int] = {}
        self.asked = 0
        self.examples = 0
        self.no_target = 0
        self.differences = 0
        self.drained = False
        self._journaled = journaled
        self._snapshots = Snapshots()
        self._ranks = {stream.topic: RANKS[stream.role] for stream in reversed(spec.streams)}

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that the pipeline reads."""
        return tuple(dict.fromkeys(stream.topic for stream in self.plan.scorer.streams))

    @property
    def due(self) -> int | None:
        """The first moment (epoch ms) at which a tick would let a deadline pass, None where there is none."""
        return self.scorer.store.due()

    @property
    def unresolved(self) -> int:
        """How many events wait for their label, and labels for their event or the end of their delay."""
        return self.scorer.store.pending + self.scorer.store.early_labels

    @property
    def last_deadline(self) -> int | None:
        """The moment (epoch ms) by which all that waits now has its label or none, None where nothing waits."""
        return self.scorer.store.last_deadline() if self.unresolved else None

    # --- turns --------------------------------------------------------------------------------------------------------

    def feed(self, runs: Sequence[Run], tick: int | None = None, skipped: Sequence[Place] = ()) -> Turn:
        """Carry out one turn.

        Steps: 1 merge; 2 decode; 3 for each batch join and features, then model, then outputs; 4 the journal entry.

        Parameters
        ----------
        runs
            One a source, in its order, each from where the last one of that source ended.
        tick
            A moment at which every source was read to its end: deadlines before it pass.
        skipped
            Records that killed the process: only their time passes, and each is a dead letter. With the source
            :data:`journal.DEADLINES` it is what the tick's deadlines would teach that is left out.
        """
        given = [_without(run, skipped) for run in runs] if skipped else runs
        fed = merge(given, self.scorer.now, self._ranks)
        self.learner.muted = any(source == journal.DEADLINES for source, _ in skipped)
        self.carry_out(fed, None if tick is None else max(tick, self.scorer.now))
        self.learner.muted = False
        for run in runs:
            self.positions[run.source] = run.end
        self.drained = False
        turn = self._turn(runs, tick, skipped)
        if self.symbols.due():
            self.symbols.sweep(self._codes())
        return turn

    def drain(self) -> Turn:
        """Say in the journal that the pipeline ends here, so that another plan may begin where it ends.

        Nothing is fed and no state changes. What still waits for its label is told by an alarm: its examples are given
        up if another plan begins.
        """
        if self.unresolved:
            self.outputs.left(self.unresolved, self.scorer.now, self.learner.count)
        nothing = np.empty(0, np.int64)
        runs = [
            Run(source, end, end, self.scorer.now, (), nothing, nothing, (), ())
            for source, end in self.positions.items()
        ]
        self.drained = True
        return self._turn(runs, None, ())

    def _turn(self, runs: Sequence[Run], tick: int | None, skipped: Sequence[Place]) -> Turn:
        out = self.outputs.take()
        self.number += 1
        if not self._journaled:
            return Turn(out, b"", self.number)
        plan = self.plan.digest[: journal.PLAN]
        digest = journal.digest_of(out)
        entry = journal.Entry(
            journal.FORMAT, self.number, journal.fed_of(runs), tick, tuple(skipped), digest, plan, self.drained
        )
        return Turn(out, journal.write_entry(entry), self.number)

    def carry_out(self, fed: Fed, tick: int | None) -> None:
        """Carry out steps 2 and 3 of a turn on merged records."""
        taken = self.scorer.take(fed, tick)
        self.outputs.refused(taken)
        for batch in self.scorer.batches(taken):
            scored = self.inline.run(batch)
            self.asked += int(scored.events.size)
            self.examples += int(scored.examples.size)
            self.no_target += batch.no_target
            self.outputs.batch(batch, scored)

    def _codes(self) -> Iterator[Any]:
        yield from self.scorer.codes()
        if self.learner.model is not None:
            yield self.learner.model.codes()

    @property
    def stats(self) -> dict[str, Any]:
        """Counters since the beginning: what came in, and what became of it."""
        store = self.scorer.store
        counted = dict(zip(operations.COUNTERS, store.counters.tolist(), strict=True))
        return {
            **counted,
            "predicted": self.asked,
            "not_asked": counted["events"] - self.asked - self.outputs.dead.get("model", 0),
            "examples": self.examples,
            "no_target": self.no_target,
            "dead": dict(sorted(self.outputs.dead.items())),
            "alarms": self.outputs.alarms,
            "pending": store.pending,
            "version": [self.plan.learner.lineage, self.learner.count],
            "learn_errors": self.learner.learn_errors,
            "differences": self.differences,
            "now": self.scorer.now,
            "entry": self.number,
            "drained": self.drained,
            "keys": {str(i): len(space) for i, space in enumerate(self.scorer.features.spaces)},
            "state_bytes": self.scorer.features.nbytes + store.nbytes + self.symbols.nbytes,
        }

    def quality(self) -> list[dict[str, Any]]:
        """Return every metric as it stands now."""
        if self.learner.metrics is None:
            return []
        return [self.outputs.metric(one, self.scorer.now) for one in self.learner.metrics.current()]

    # --- snapshots ----------------------------------------------------------------------------------------------------

    def segment(self, slice_bytes: int = SLICE) -> Iterator[bytes]:
        """Begin a snapshot of what changed since the last one, and return it as blobs to store, the manifest last.

        Each blob is packed as it is taken; turns may be fed in between, and the snapshot is still of the state as it
        stands now.

        Parameters
        ----------
        slice_bytes
            Bytes of rows that are packed into one blob, before compression: how long taking one may pause the turns.

        Raises
        ------
        UsageError
            When the snapshot before was not taken to its end.
        """
        return self._snapshots.begin(self.state, self._small(), slice_bytes)

    def _small(self) -> dict[str, Any]:
        return {
            "digest": self.plan.digest,
            "number": self.number,
            "drained": self.drained,
            "positions": dict(self.positions),
            "asked": self.asked,
            "examples": self.examples,
            "no_target": self.no_target,
            "dead": dict(self.outputs.dead),
            "alarms": self.outputs.alarms,
            "learner": self.learner.save(),
        }

    @classmethod
    def restore(cls, pipeline: Pipeline, manifest: bytes, blobs: Iterable[bytes], **options: Any) -> Session:
        """Return the session that a manifest and its blobs (oldest first) hold.

        Raises
        ------
        CorruptError
            When a checksum does not hold or a blob is missing.
        UsageError
            When the pipeline's file has changed since.
        """
        session = cls(pipeline, **options)
        named = read_manifest(manifest)
        parts, small = session._snapshots.read(named, blobs)
        if small["digest"] != session.plan.digest:
            raise session._changed()
        session.state.load(parts)
        session.learner.load(small["learner"])
        session.number, session.drained = small["number"], small.get("drained", False)
        session.positions = dict(small["positions"])
        session.asked, session.examples = small["asked"], small["examples"]
        session.no_target = small["no_target"]
        session.outputs.dead, session.outputs.alarms = dict(small["dead"]), small["alarms"]
        return session

    @classmethod
    def recover(
        cls,
        pipeline: Pipeline,
        manifest: bytes | None,
        blobs: Iterable[bytes],
        entries: Iterable[bytes],
        read: Callable[[journal.Fed], Run],
        **options: Any,
    ) -> Session:
        """Return the session as it stood after the last journal entry.

        Parameters
        ----------
        manifest, blobs
            The newest snapshot, None where there is none.
        entries
            Journal entries in order; those that the snapshot holds already are left out. Without a snapshot the first
            may be one that drained another plan: this one begins there.
        read
            Reads the records of a run again from its source.
        options
            As the session that stopped was made with.

        Raises
        ------
        CorruptError
            When a checksum does not hold, an entry is missing, or a source no longer holds what was fed.
        UsageError
            When the pipeline's file has changed since.
        """
        session = cls(pipeline, **options) if manifest is None else cls.restore(pipeline, manifest, blobs, **options)
        for raw in entries:
            entry = journal.read_entry(raw)
            if entry.number <= session.number:
                continue
            if manifest is None and session.number == 0 and entry.drained:
                session.begin_after(entry)
                continue
            if entry.number != session.number + 1:
                cause = f"journal entry {session.number + 1} is missing: the next one is {entry.number}"
                raise CorruptError(cause, "Restore the file from a backup")
            if entry.plan != session.plan.digest[: journal.PLAN]:
                raise session._changed()  # noqa: SLF001  (its own)
            session.again(entry, [read(fed) for fed in entry.fed])
        return session

    def begin_after(self, entry: journal.Entry) -> None:
        """Begin where a drained plan ended: its numbers and positions go on, with a fresh state."""
        self.number = entry.number
        self.positions = {fed.source: fed.end for fed in entry.fed}

    def _changed(self) -> UsageError:
        cause = f"the declarations of {self.plan.name!r} differ from those that made this state"
        return UsageError(cause, CHANGED)

    def again(self, entry: journal.Entry, runs: Sequence[Run]) -> None:
        """Feed again what an entry says was fed; outputs are thrown away, their digest compared.

        Raises
        ------
        CorruptError
            When the runs do not hold what was fed.
        """
        runs = [_same(fed, run) for fed, run in zip(entry.fed, runs, strict=True)]
        turn = self.drain() if entry.drained else self.feed(runs, entry.tick, entry.skipped)
        if journal.read_entry(turn.entry).digest != entry.digest:
            self.differences += 1


def _without(run: Run, skipped: Sequence[Place]) -> Run:
    """Return a run whose skipped records are as records that the source could not read."""
    left = [offset for source, offset in skipped if source == run.source]
    at = np.flatnonzero(np.isin(run.offsets, left))
    bad = tuple(Bad(int(index), Reason.POISON, "$", "killed the process three times") for index in at)
    known = tuple(one for one in run.bad if one.index not in set(at.tolist()))
    return replace(run, bad=tuple(sorted((*known, *bad), key=lambda one: one.index)))


def _same(fed: journal.Fed, run: Run) -> Run:
    run = replace(run, first=fed.first, end=fed.end, cap=fed.cap)
    if len(run.values) != fed.count or journal.check_of(run) != fed.check:
        cause = f"{fed.source} no longer holds what was fed: records {fed.first} to {fed.end - 1} differ"
        raise CorruptError(cause, "Restore the source, or start anew with an empty state")
    return run


__all__ = ["Manifest", "Out", "Run", "Session", "Turn", "read_manifest"]
