"""Features alone: runs of records in, rows of features out, by the kernels of a live run; no model, no outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import Reason
from stream_ml.features.spec import OUTCOMES, OWN
from stream_ml.kernels import operations
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import compile_plan
from stream_ml.schema.records import Run
from stream_ml.schema.symbols import Symbols
from stream_ml.schema.verdict import Bad
from stream_ml.scorer.machine import Batch, Scorer, reads_outcomes
from stream_ml.scorer.spec import Field, ScorerSpec
from stream_ml.sessions.merge import merge
from stream_ml.sessions.session import RANKS

F8 = NDArray[np.float64]
#: Operations carried out at once: nobody waits for the first of them.
CAPACITY = 1 << 15
COUNTED = ("events", "duplicate", "late", "other_events", "other_late", "other_duplicate", "labels", "tables")


class FeatureSession:
    """The scorer's part of a pipeline over its history.

    Order of calls: :meth:`feed` for each turn.

    Parameters
    ----------
    pipeline
        The user's declarations.

    Raises
    ------
    DeclarationError
        When declarations cannot be carried out.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        whole = compile_plan(pipeline).scorer
        self.reads_labels = reads_outcomes(whole)
        self.label_topic = next((one.topic for one in whole.streams if one.number == OUTCOMES), None)
        self.spec = whole if self.reads_labels else without_labels(whole)
        self.symbols = Symbols()
        self.scorer = Scorer(self.spec, self.symbols, CAPACITY, examples=False)
        self.fields = named(self.spec)
        self._registers = np.array([one.register for one in self.fields], np.int64)
        self._ranks = {stream.topic: RANKS[stream.role] for stream in reversed(self.spec.streams)}

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that are read: without label-fed windows the label's is none of them."""
        return tuple(dict.fromkeys(stream.topic for stream in self.spec.streams))

    @property
    def counters(self) -> dict[str, int]:
        """What came in so far, as far as features see it."""
        counted = dict(zip(operations.COUNTERS, self.scorer.store.counters.tolist(), strict=True))
        return {name: counted[name] for name in COUNTED}

    def feed(self, runs: Sequence[Run]) -> tuple[list[F8], list[tuple[str, int, Bad]]]:
        """Carry out one turn.

        Returns
        -------
        list of float64[n]
            The columns of :attr:`fields`, a row for each event that a live run would answer, in that order: missing is
            NaN, a text its symbol's code.
        list
            (topic, offset, what is wrong) of each record that is refused.
        """
        fed = merge(runs, self.scorer.now, self._ranks)
        if self.symbols.due():
            self.symbols.sweep(self.scorer.codes())
        taken = self.scorer.take(fed)
        most = taken.index[OWN].size if OWN in taken.index else 0
        columns = [np.empty(most) for _ in self.fields]
        bad = [(record, one) for record, _, one in taken.refused]
        n = 0
        for batch in self.scorer.batches(taken):
            n = self._keep(batch, columns, n)
            bad += [self._ahead(batch, *one) for one in batch.ahead]
        for column in columns:
            column.resize(n, refcheck=False)  # what nobody asked for is not kept
        return columns, [(fed.names[int(fed.topics[i])], int(fed.offsets[i]), one) for i, one in bad]

    def _ahead(self, batch: Batch, _: int, number: int, row: int) -> tuple[int, Bad]:
        stream = next(one for one in self.spec.streams if one.number == number)
        message = f"dated more than {stream.ahead_ms / 1000:g} s after it was received"
        record = int(batch.taken.index[number][row])
        return record, Bad(record, Reason.AHEAD, f"$.{stream.time}", message)

    def _keep(self, batch: Batch, columns: list[F8], n: int) -> int:
        at = batch.events if batch.asked.all() else batch.events[batch.asked]
        registers = self.scorer.registers
        for register, column in zip(self._registers.tolist(), columns, strict=True):
            registers[register].take(at, out=column[n : n + at.size], mode="clip")
        return n + at.size


def without_labels(spec: ScorerSpec) -> ScorerSpec:
    """Return a plan whose label stream is not read."""
    return replace(spec, streams=tuple(stream for stream in spec.streams if stream.number != OUTCOMES))


def named(spec: ScorerSpec) -> tuple[Field, ...]:
    """Return the columns of a feature table: id, key and time of the event, then the features."""
    event = spec.streams[0]
    time = next((s.register for s in spec.features.sources if s.stream == event.number and s.field == event.time), None)
    first = [*([spec.id] if spec.id is not None else []), *spec.keys]
    first += [] if time is None or event.time is None else [Field(event.time, time, "time")]
    served = {one.name for one in spec.served}
    return (*(one for one in dict.fromkeys(first) if one.name not in served), *spec.served)
