"""What a batch comes to on the output topics."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import Reason
from stream_ml.kernels import operations
from stream_ml.kernels.waiting import R_WORD
from stream_ml.monitor.adwin import Drift
from stream_ml.schema.records import Out
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.intake import Taken
from stream_ml.scorer.machine import Batch, Origin, Scorer
from stream_ml.scorer.spec import Field
from stream_ml.scorer.store import VERSION
from stream_ml.sessions.encode import EACH_LINEAGE, Encoder, Event, encode
from stream_ml.sessions.forms import Form, Sheet
from stream_ml.sessions.inline import Inline, Scored
from stream_ml.sessions.reports import dead_letter, drift_alarm, metric_record
from stream_ml.sessions.values import words

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
KINDS = ("predictions", "examples", "dead", "alarms", "metrics")
#: Of the dead letters that one record brings about: what its time let expire, itself, what its model refused.
EXPIRED, REFUSED, FAILED = range(3)


class Outputs:
    """Collects the records of a turn, topic by topic.

    Order of calls: :meth:`refused` and :meth:`batch` as they come, then :meth:`take`.
    """

    def __init__(
        self, name: str, inline: Inline, encoder: Encoder, *, features: bool, store_features: bool, partition: int = 0
    ) -> None:
        self._name, self._inline, self._encoder = name, inline, encoder
        self._scorer: Scorer = inline.scorer
        self._symbols: Symbols = inline.scorer.symbols
        self._spec = inline.scorer.spec
        self._features, self._store = features or inline.learner.spec.task == "features", store_features
        self._sheets = {kind: Sheet() for kind in KINDS}
        self._dead: list[tuple[tuple[int, int], bytes]] = []
        self.dead: dict[str, int] = {}
        self.alarms = 0
        self.partition = partition

    def take(self) -> tuple[Out, ...]:
        """Return what was collected, and begin anew; dead letters stand in the order of the records."""
        self._dead.sort(key=lambda one: one[0])
        for _, letter in self._dead:
            self._sheets["dead"].add(letter + b"\n")
        self._dead = []
        return tuple(
            Out(f"{self._name}.{kind}", sheet.take()) for kind, sheet in self._sheets.items() if sheet.size
        )

    def _write(self, kind: str, record: dict[str, Any]) -> None:
        self._sheets[kind].add(encode(record) + b"\n")

    # --- dead letters -----------------------------------------------------------------------------------------------

    def refused(self, taken: Taken) -> None:
        """Write dead letters of the records that could not be read."""
        for record, _, bad in taken.refused:
            self.bury((4 * record, REFUSED), record_origin(taken, record), bad.reason, bad.path, bad.message)

    def bury(self, order: tuple[int, int], origin: Origin, reason: Reason, path: str, message: str) -> None:
        """Write a dead letter; `order` is its place among those of the turn."""
        self.dead[reason.value] = self.dead.get(reason.value, 0) + 1
        self._dead.append((order, dead_letter(origin, self.partition, reason, path, message)))

    # --- a batch ----------------------------------------------------------------------------------------------------

    def batch(self, batch: Batch, scored: Scored) -> None:
        """Write a batch's predictions, examples, dead letters, alarms and metrics."""
        for order, origin in batch.unmatched:
            self.bury((order, EXPIRED), origin, Reason.UNMATCHED, "$", "no event of this id came within the wait")
        for order, stream, row in batch.ahead:
            self._ahead(batch, order, stream, row)
        if scored.events.size:
            self._predictions(batch, scored)
        for op, message in scored.failed:
            row, record = int(batch.ops[op, operations.OP_ROW]), int(batch.ops[op, operations.OP_RECORD])
            order = int(batch.taken.orders[record])
            self.bury((order, FAILED), self._origin(batch, 0, row), Reason.MODEL, "$", message)
        if scored.examples.size:
            self._examples(batch, scored)
        self._alarms(batch, scored)

    def _origin(self, batch: Batch, stream: int, row: int) -> Origin:
        return record_origin(batch.taken, int(batch.taken.index[stream][row]))

    def _ahead(self, batch: Batch, order: int, stream: int, row: int) -> None:
        declared = next(one for one in self._spec.streams if one.number == stream)
        message = f"dated more than {declared.ahead_ms / 1000:g} s after it was received"
        self.bury((order, REFUSED), self._origin(batch, stream, row), Reason.AHEAD, f"$.{declared.time}", message)

    @cached_property
    def _forms(self) -> tuple[Form, Form]:
        """The shapes of predictions and examples; the partition is known by the first batch."""
        spec, inline = self._spec, self._inline
        event = Event(
            f"{spec.streams[0].topic}/{self.partition}/", spec.id, spec.keys, self._scorer.store.own, inline.keys,
            inline.served.tolist(), inline.slices,
        )  # fmt: skip
        target = None if spec.target is None else spec.target.kind
        return (
            self._encoder.predictions(event, inline.learner.spec.target, features=self._features),
            self._encoder.examples(event, target, features=self._store),
        )

    def _predictions(self, batch: Batch, scored: Scored) -> None:
        ops, at = batch.ops, scored.events
        source = ops[at, operations.OP_ROW]
        offsets = batch.taken.fed.offsets[batch.taken.index[0][source]]
        named = offsets if self._spec.id is None else self._event_column(batch, self._spec.id, source, at)
        given: list[Any] = [offsets, named]
        if self._inline.learner.spec.task == "multiclass":
            chances = scored.probabilities or [{}] * at.size
            given.append([{str(key): chance for key, chance in one.items()} for one in chances])
        given += self._version(ops[at, operations.OP_SLOT])
        given += [self._event_column(batch, one, source, at) for one in self._encoder.carry]
        given.append((ops[at, operations.OP_LATE] != 0).astype(np.int64))
        self._fill("predictions", self._forms[0], batch, at, given)

    def _event_column(self, batch: Batch, one: Field, source: I8, at: I8) -> F8:
        """Return a column of the events' own records; carried expressions stand in registers alone."""
        if any(register == one.register for _, register, _ in self._spec.streams[0].columns):
            column = batch.taken.columns[0][one.register]
            return column[source]
        found: F8 = self._scorer.registers[one.register, at]
        return found

    def _examples(self, batch: Batch, scored: Scored) -> None:
        ops, at = batch.ops, scored.examples
        ring = self._scorer.store.ring
        word = ring[ops[at, operations.OP_SEQ] & (ring.shape[0] - 1), R_WORD]
        given: list[Any] = [word if self._spec.id is None else words(word), ops[at, operations.OP_MOMENT]]
        if self._spec.target is not None:
            at_once = ops[at, operations.OP] == operations.OP_EVENT
            given.append(np.where(at_once, operations.BY_NONE, ops[at, operations.OP_FATE]))
        given += [scored.target, scored.weight, *self._version(ops[at, operations.OP_SLOT])]
        self._fill("examples", self._forms[1], batch, at, given)

    def _version(self, slots: I8) -> list[Any]:
        """Return lineage and count of the model that answered each, where they cannot stand in the shape."""
        if not self._encoder.shared:
            return []
        marks = self._scorer.store.kept[slots, self._scorer.store.own + VERSION].astype(np.int64)
        codes = self._symbols.code(self._encoder.lineages)
        return [codes[marks // EACH_LINEAGE], marks % EACH_LINEAGE]

    def _fill(self, kind: str, form: Form, batch: Batch, at: I8, given: list[Any]) -> None:
        slots = (self._scorer.store.kept, batch.ops[at, operations.OP_SLOT])
        form.write(self._sheets[kind], at.size, given, slots, self._symbols)

    def _alarms(self, batch: Batch, scored: Scored) -> None:
        """Write alarms in the order of the operations, then the metrics that were due."""
        watched = scored.watched
        found = [
            (int(scored.examples[drift.index]), self._drift(batch, scored, drift, n)) for n, drift in watched.drifts
        ]
        found += [(op, self._given_up(batch, op, count)) for op, count in batch.gave_up]
        for _, alarm in sorted(found, key=lambda one: one[0]):
            self.alarms += 1
            self._write("alarms", alarm)
        for index, one in watched.measured:
            moment = int(batch.ops[scored.examples[index], operations.OP_MOMENT])
            self._write("metrics", self.metric(one, moment))

    def _drift(self, batch: Batch, scored: Scored, drift: Drift, detector: int) -> dict[str, Any]:
        at = scored.examples[drift.index]
        kept = self._scorer.store.kept[batch.ops[at, operations.OP_SLOT]]
        version = (self._inline.learner.spec.lineage, int(kept[self._scorer.store.own + VERSION]))
        moment = int(batch.ops[at, operations.OP_MOMENT])
        return drift_alarm(self._inline.learner, scored.watched, detector, drift, moment, version)

    def left(self, count: int, moment: int, version: int) -> None:
        """Write the alarm that so many events or labels still waited when the pipeline was drained."""
        self.alarms += 1
        alarm = {
            "what": "pending", "detector": "drain", "since": None, "at": moment, "from": None, "to": count,
            "confidence": None, "version": [self._inline.version[0], version],
        }  # fmt: skip
        self._write("alarms", alarm)

    def _given_up(self, batch: Batch, op: int, count: int) -> dict[str, Any]:
        return {
            "what": "pending",
            "detector": "budget",
            "since": None,
            "at": int(batch.ops[op, operations.OP_MOMENT]),
            "from": self._scorer.store.budget,
            "to": count,
            "confidence": None,
            "version": [self._inline.version[0], None],
        }

    def metric(self, one: Any, at_ms: int) -> dict[str, Any]:
        """Return a metric record."""
        return metric_record(self._inline.learner, one, at_ms)


def record_origin(taken: Taken, record: int) -> Origin:
    """Return where a record of the turn came from."""
    fed = taken.fed
    name = fed.names[int(fed.topics[record])]
    return Origin(name, int(fed.offsets[record]), int(fed.received[record]), fed.values[record])
