"""The learner's session: examples of all partitions in, lessons, metrics and alarms out. No clock and no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from stream_ml.errors import UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.learner.machine import Learner, Watched
from stream_ml.model.spec import Tape
from stream_ml.plan.bundle import compile_plan
from stream_ml.plan.partitions import require_shared
from stream_ml.schema.records import Fed, Out, Run
from stream_ml.schema.symbols import Symbols
from stream_ml.schema.verdict import Bad
from stream_ml.scorer.machine import Origin
from stream_ml.sessions import journal
from stream_ml.sessions.base import BEGIN, Journaled, Place, Turn, without
from stream_ml.sessions.codec import Seal
from stream_ml.sessions.cut import SLICE
from stream_ml.sessions.encode import encode
from stream_ml.sessions.examples import Examples, Reader
from stream_ml.sessions.merge import merge
from stream_ml.sessions.reports import dead_letter, drift_alarm, metric_record
from stream_ml.sessions.snapshot import Snapshots, read_manifest


class LearnerSession(Journaled):
    """Learns from the examples of every partition of a pipeline, in the order in which they are merged.

    Order of calls: :meth:`feed` for each turn; :meth:`segment` now and then, between turns. :meth:`recover` makes a
    session from what engines stored.

    Parameters
    ----------
    pipeline
        The user's declarations.
    journaled
        Whether turns carry journal entries.
    allow_pickle
        Whether a model that river itself runs may travel to the scorers, as a pickle.

    Raises
    ------
    UsageError
        When the pipeline's model cannot be learned apart from its scorers.
    """

    def __init__(self, pipeline: Pipeline, *, journaled: bool = True, allow_pickle: bool = False) -> None:
        super().__init__(compile_plan(pipeline), journaled=journaled)
        if pipeline.model is None:
            cause = f"{pipeline.name!r} has no model: there is nothing to learn"
            raise UsageError(cause, "Run no learner for it")
        require_shared(pipeline, allow_pickle=allow_pickle)
        self.symbols = Symbols()
        self.learner = Learner(self.plan.learner, self.symbols)
        self.examples = 0
        self.dead: dict[str, int] = {}
        self.alarms = 0
        self.now = 0
        self._reader = Reader(self.plan, self.symbols)
        self._labelled = self.plan.scorer.target is not None
        self._snapshots = Snapshots()

    @property
    def topic(self) -> str:
        """The topic that it reads."""
        return f"{self.plan.name}.examples"

    @property
    def version(self) -> tuple[str, int]:
        """Lineage of the model and its count of examples."""
        return self.plan.learner.lineage, self.learner.count

    # --- turns ----------------------------------------------------------------------------------------------------

    def feed(self, runs: Sequence[Run], skipped: Sequence[Place] = ()) -> Turn:
        """Carry out one turn.

        Parameters
        ----------
        runs
            One a source, each a partition of the topic of examples, named as `<topic>/<partition>`; each from where the
            last one of that source ended.
        skipped
            Records that killed the process: only their time passes, and each is a dead letter.
        """
        self.mark(BEGIN)
        given = [without(run, skipped) for run in runs] if skipped else runs
        fed = merge([replace(run, topics=[run.source] * len(run.values)) for run in given], self.now, {})
        out = self._carry_out(fed)
        if len(fed):
            self.now = int(fed.received[-1])
        turn = self._turn(runs, out, skipped=tuple(skipped))
        if self.symbols.due() and self.learner.model is not None:
            self.symbols.sweep([self.learner.model.codes()])
        return turn

    def _carry_out(self, fed: Fed) -> tuple[Out, ...]:
        known = {one.index: one for one in fed.bad}
        values = [b"" if i in known else value for i, value in enumerate(fed.values)] if known else fed.values
        found = self._reader.read(values)
        self.mark("decode")
        dead = [self._bury(fed, known.get(one.index, one)) for one in found.bad]
        self.examples += int(found.rows.size)
        self._learn(found)
        self.mark("model")
        alarms, metrics = self._watch(found)
        self.alarms += len(alarms)
        written = {"dead": dead, "alarms": alarms, "metrics": metrics}
        return tuple(
            Out(f"{self.plan.name}.{kind}", b"".join(record + b"\n" for record in records))
            for kind, records in written.items()
            if records
        )

    def _learn(self, found: Examples) -> None:
        """Learn what has a weight; what is learned at once has no label, and its later example only measures."""
        at_once = self.learner.spec.at_once
        taught = np.flatnonzero(found.unheard if at_once else ~np.isnan(found.weight))
        self.learner.run(
            Tape(np.ones(taught.size, np.uint8), taught, found.x, found.target[taught], found.weight[taught])
        )

    def _watch(self, found: Examples) -> tuple[list[bytes], list[bytes]]:
        """Measure what has a label; returns alarms and metrics."""
        at = np.flatnonzero(~found.unheard)
        if not self._labelled or not at.size:
            return [], []
        places = at.tolist()
        watched: Watched = self.learner.watch(
            found.target[at], found.score[at], found.predicted[at],
            [[column[i] for i in places] for column in found.slices],
        )  # fmt: skip
        alarms = [
            encode(
                drift_alarm(
                    self.learner, watched, detector, drift, int(found.known[at[drift.index]]),
                    found.versions[places[drift.index]],
                )
            )
            for detector, drift in watched.drifts
        ]  # fmt: skip
        metrics = [encode(metric_record(self.learner, one, int(found.known[at[i]]))) for i, one in watched.measured]
        return alarms, metrics

    def _bury(self, fed: Fed, bad: Bad) -> bytes:
        """Return the dead letter of a record that is no example."""
        self.dead[bad.reason.value] = self.dead.get(bad.reason.value, 0) + 1
        topic, _, partition = fed.names[int(fed.topics[bad.index])].rpartition("/")
        received = int(fed.received[bad.index])
        origin = Origin(topic or self.topic, int(fed.offsets[bad.index]), received, fed.values[bad.index])
        return dead_letter(origin, int(partition) if partition.isdecimal() else 0, bad.reason, bad.path, bad.message)

    @property
    def stats(self) -> dict[str, Any]:
        """Counters since the beginning: what came in, and what became of it."""
        return {
            "examples": self.examples,
            "learned": self.learner.count,
            "watched": self.learner.watched,
            "dead": dict(sorted(self.dead.items())),
            "alarms": self.alarms,
            "version": list(self.version),
            "learn_errors": self.learner.learn_errors,
            "differences": self.differences,
            "now": self.now,
            "entry": self.number,
            "state_bytes": self.symbols.nbytes,
        }

    def quality(self) -> list[dict[str, Any]]:
        """Return every metric as it stands now."""
        if self.learner.metrics is None:
            return []
        return [metric_record(self.learner, one, self.now) for one in self.learner.metrics.current()]

    # --- snapshots ------------------------------------------------------------------------------------------------

    def unsealed(self, slice_bytes: int = SLICE) -> Iterator[Seal]:
        """Gather the whole state, and return it as blobs to store, the manifest last."""
        self._snapshots = Snapshots()
        small = {
            "digest": self.plan.digest,
            "number": self.number,
            "positions": dict(self.positions),
            "examples": self.examples,
            "dead": dict(self.dead),
            "alarms": self.alarms,
            "now": self.now,
            "learner": self.learner.save(),
        }
        return self._snapshots.begin(NoRows(), small, slice_bytes)

    @classmethod
    def restore(cls, pipeline: Pipeline, manifest: bytes, blobs: Iterable[bytes], **options: Any) -> Self:
        """Return the session that a manifest and its blobs (oldest first) hold.

        Raises
        ------
        CorruptError
            When a checksum does not hold or a blob is missing.
        UsageError
            When the pipeline's file has changed since.
        """
        session = cls(pipeline, **options)
        _, small = session._snapshots.read(read_manifest(manifest), blobs)
        session._same_plan(small["digest"])
        session.learner.load(small["learner"])
        session.number, session.positions = small["number"], dict(small["positions"])
        session.examples, session.dead = small["examples"], dict(small["dead"])
        session.alarms, session.now = small["alarms"], small["now"]
        return session

    def _feed_again(self, entry: journal.Entry, runs: Sequence[Run]) -> Turn:
        return self.feed(runs, entry.skipped)


class NoRows:
    """The rows of a session that has none: all that a learner keeps is small."""

    def cut(self, *, everything: bool, slice_bytes: int) -> Self:
        """Return itself."""
        del everything, slice_bytes
        return self

    def parts(self) -> Iterator[Seal]:
        """Yield nothing."""
        yield from ()
