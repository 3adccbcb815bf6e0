"""The session: runs of records in, turns out. No clock and no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from stream_ml.errors import UsageError
from stream_ml.kernels import operations
from stream_ml.language.pipeline import Pipeline
from stream_ml.learner.machine import Learner
from stream_ml.plan.bundle import compile_plan
from stream_ml.plan.partitions import require_features
from stream_ml.schema.records import Fed, Out, Run
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.machine import Scorer
from stream_ml.sessions import journal
from stream_ml.sessions.base import BEGIN, Journaled, Place, Turn, without
from stream_ml.sessions.codec import Seal
from stream_ml.sessions.cut import SLICE
from stream_ml.sessions.encode import Encoder
from stream_ml.sessions.inline import Inline
from stream_ml.sessions.merge import merge
from stream_ml.sessions.outputs import Outputs
from stream_ml.sessions.remote import Remote
from stream_ml.sessions.snapshot import Manifest, Snapshots, read_manifest
from stream_ml.sessions.state import State
from stream_ml.sessions.versions import ModelVersion

Learning = Literal["inline", "shared"]
RANKS = {"table": 0, "event": 1, "other": 1, "label": 2}


class Session(Journaled):
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
        The partition of its topics that it reads.
    learning
        "inline": the model learns here. "shared": it learns elsewhere, from the examples of all partitions, and comes
        as versions that :meth:`take_up` is given.

    Raises
    ------
    UsageError
        When the pipeline's model cannot be learned elsewhere.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        features: bool = False,
        journaled: bool = True,
        partition: int = 0,
        learning: Learning = "inline",
    ) -> None:
        super().__init__(compile_plan(pipeline), journaled=journaled)
        if learning == "shared":
            require_features(pipeline)
        self.symbols = Symbols()
        self.scorer = Scorer(self.plan.scorer, self.symbols)
        self.learner = Learner(self.plan.learner, self.symbols)
        spec, learned = self.plan.scorer, self.plan.learner
        shared = learning == "shared"
        encoder = Encoder(learned.task, spec.served, spec.carry, spec.slices, [learned.lineage], shared=shared)
        self.remote = Remote(self.scorer, self.learner, encoder.lineages) if shared else None
        self.inline = self.remote or Inline(self.scorer, self.learner)
        self.outputs = Outputs(
            self.plan.name, self.inline, encoder, features=features, store_features=self.plan.store_features,
            partition=partition,
        )  # fmt: skip
        self.state = State(self.scorer, self.symbols)
        self.asked = 0
        self.examples = 0
        self.no_target = 0
        self.drained = False
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

    @property
    def version(self) -> tuple[str, int]:
        """Lineage and count of examples of the model that answers."""
        return self.inline.version

    def take_up(self, version: ModelVersion, *, other_lineage: bool = False) -> bool:
        """Answer with another version of the model from the next turn on.

        Parameters
        ----------
        version
            As a collector assembled it.
        other_lineage
            Whether it may begin another line of models.

        Returns
        -------
        bool
            False where it is older than the one at hand, or the same: it is left.

        Raises
        ------
        UsageError
            When the session learns for itself, or the version is of another lineage that was not allowed.
        """
        if self.remote is None:
            cause = f"{self.plan.name!r} learns in this session, which takes up no model versions"
            raise UsageError(cause, 'Make the session with learning="shared"')
        return self.remote.take_up(version, other_lineage=other_lineage)

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
        self.mark(BEGIN)
        given = [without(run, skipped) for run in runs] if skipped else runs
        fed = merge(given, self.scorer.now, self._ranks)
        self.learner.muted = any(source == journal.DEADLINES for source, _ in skipped)
        self.carry_out(fed, None if tick is None else max(tick, self.scorer.now))
        self.learner.muted = False
        self.drained = False
        turn = self._turn(runs, self.outputs.take(), tick=tick, skipped=tuple(skipped), served=self.inline.take())
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
        self.mark(BEGIN)
        return self._turn(runs, self.outputs.take(), served=self.inline.take(), drained=True)

    def carry_out(self, fed: Fed, tick: int | None) -> None:
        """Carry out steps 2 and 3 of a turn on merged records."""
        taken = self.scorer.take(fed, tick)
        self.mark("decode")
        self.outputs.refused(taken)
        for batch in self.scorer.batches(taken):
            self.mark("features")
            scored = self.inline.run(batch)
            self.mark("model")
            self.asked += int(scored.events.size)
            self.examples += int(scored.examples.size)
            self.no_target += batch.no_target
            self.outputs.batch(batch, scored)
            self.mark("outputs")
        self.mark("features")

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
            "version": list(self.version),
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

    def unsealed(self, slice_bytes: int = SLICE) -> Iterator[Seal]:
        """Begin a snapshot of what changed since the last one, and return it as blobs to store, the manifest last."""
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
            "learner": self.learner.save() if self.remote is None else None,
            **({} if self.remote is None else {"version": self.version, "lineages": self.remote.lineages}),
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
        session._same_plan(small["digest"])
        session.state.load(parts)
        session._resume(small)
        session.number, session.drained = small["number"], small.get("drained", False)
        session.positions = dict(small["positions"])
        session.asked, session.examples = small["asked"], small["examples"]
        session.no_target = small["no_target"]
        session.outputs.dead, session.outputs.alarms = dict(small["dead"]), small["alarms"]
        return session

    def _resume(self, small: dict[str, Any]) -> None:
        """Take over the learner, or the version that answered last."""
        if (small["learner"] is None) != (self.remote is not None):
            raise self._other_learning()
        if self.remote is None:
            self.learner.load(small["learner"])
            return
        self.remote.lineages[:] = small["lineages"]
        self.remote.named((str(small["version"][0]), int(small["version"][1])))

    def _feed_again(self, entry: journal.Entry, runs: Sequence[Run]) -> Turn:
        if (entry.served is None) != (self.remote is None):
            raise self._other_learning()
        if self.remote is not None and entry.served is not None:
            self.remote.tell(entry.served)
        return self.drain() if entry.drained else self.feed(runs, entry.tick, entry.skipped)

    def _other_learning(self) -> UsageError:
        now, then = ("in place", "elsewhere") if self.remote is None else ("elsewhere", "in place")
        cause = f"the model of {self.plan.name!r} learned {then} so far, and would now learn {now}"
        return UsageError(cause, "Go on as before, or start anew with another journal")


__all__ = ["Manifest", "Out", "Place", "Run", "Session", "Turn", "read_manifest"]
