"""What a batch comes to on the output topics."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import Reason
from stream_ml.features.spec import OUTCOMES
from stream_ml.kernels import operations
from stream_ml.kernels.waiting import R_WORD
from stream_ml.monitor.adwin import Drift
from stream_ml.schema.records import Out
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.intake import Taken
from stream_ml.scorer.machine import Batch, Origin, Scorer
from stream_ml.scorer.spec import Field
from stream_ml.scorer.store import AT, PREDICTED, RECEIVED, SCORE, VERSION
from stream_ml.sessions.encode import FATES, RAW, Encoder, encode
from stream_ml.sessions.inline import Inline, Scored
from stream_ml.sessions.values import values, words

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
KINDS = ("predictions", "examples", "dead", "alarms", "metrics")
#: Of the dead letters that one record brings about: what its time let expire, itself, what its model refused.
EXPIRED, REFUSED, FAILED = range(3)


class Outputs:
    """Collects the records of a turn, topic by topic.

    Order of calls: :meth:`refused` and :meth:`batch` as they come, then :meth:`take`.
    """

    def __init__(self, name: str, inline: Inline, encoder: Encoder, *, features: bool, store_features: bool) -> None:
        self._name, self._inline, self._encoder = name, inline, encoder
        self._scorer: Scorer = inline.scorer
        self._symbols: Symbols = inline.scorer.symbols
        self._spec = inline.scorer.spec
        self._features, self._store = features or inline.learner.spec.task == "features", store_features
        self._out: dict[str, tuple[list[Any], list[bytes]]] = {}
        self._begin()
        self._dead: list[tuple[tuple[int, int], bytes]] = []
        self.dead: dict[str, int] = {}
        self.alarms = 0
        self.partition = 0

    def take(self) -> tuple[Out, ...]:
        """Return what was collected, and begin anew; dead letters stand in the order of the records."""
        self._dead.sort(key=lambda one: one[0])
        for _, letter in self._dead:
            self._write("dead", letter)
        self._dead = []
        found = tuple(
            Out(f"{self._name}.{kind}", keys, b"".join(blobs)) for kind, (keys, blobs) in self._out.items() if keys
        )
        self._begin()
        return found

    def _begin(self) -> None:
        self._out = {kind: ([], []) for kind in KINDS}

    def _write(self, kind: str, record: bytes) -> None:
        keys, blobs = self._out[kind]
        keys.append(None)
        blobs.append(record + b"\n")

    # --- dead letters -----------------------------------------------------------------------------------------------

    def refused(self, taken: Taken) -> None:
        """Write dead letters of the records that could not be read."""
        for record, _, bad in taken.refused:
            self.bury((4 * record, REFUSED), record_origin(taken, record), bad.reason, bad.path, bad.message)

    def bury(self, order: tuple[int, int], origin: Origin, reason: Reason, path: str, message: str) -> None:
        """Write a dead letter; `order` is its place among those of the turn."""
        self.dead[reason.value] = self.dead.get(reason.value, 0) + 1
        letter = {
            "topic": origin.topic,
            "partition": self.partition,
            "offset": origin.offset,
            "received": origin.received,
            "reason": reason.value,
            "path": path,
            "message": message,
            "raw": base64.b64encode(origin.raw[:RAW]).decode(),
            "size": len(origin.raw),
        }
        self._dead.append((order, encode(letter)))

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

    def _answer(self, scored: Scored) -> list[Sequence[Any]]:
        task = self._inline.learner.spec.task
        if task in {"binary", "anomaly"}:
            return [values(scored.predicted, "bool", self._symbols), values(scored.score, "float", self._symbols)]
        if task == "multiclass":
            kind = self._inline.learner.spec.target
            chances = scored.probabilities or [{} for _ in range(scored.events.size)]
            named = [{str(key): chance for key, chance in one.items()} for one in chances]
            return [values(scored.predicted, kind, self._symbols), named]
        return [values(scored.score, "float", self._symbols)] if task == "regression" else []

    def _predictions(self, batch: Batch, scored: Scored) -> None:
        ops, at = batch.ops, scored.events
        registers = self._scorer.registers
        source = ops[at, operations.OP_ROW]
        fed = batch.taken.fed
        offsets = fed.offsets[batch.taken.index[0][source]].tolist()
        topic = self._spec.streams[0].topic
        places = [f"{topic}/{self.partition}/{offset}" for offset in offsets]
        ids = self._event_values(batch, self._spec.id, source) if self._spec.id is not None else places
        keys = self._keys([self._event_values(batch, one, source) for one in self._spec.keys], at.size)
        kept, slots = self._scorer.store.kept, ops[at, operations.OP_SLOT]
        times = kept[slots, self._scorer.store.own + AT].astype(np.int64).tolist()
        features = None
        if self._features:
            columns = [values(registers[one.register, at], one.kind, self._symbols) for one in self._spec.served]
            features = self._encoder.features(columns) if columns else None
        carry = {one.name: self._event_values(batch, one, source, at) for one in self._spec.carry}
        late = (ops[at, operations.OP_LATE] != 0).tolist()
        head = [places, ids, keys, times, *self._answer(scored)]
        made = self._encoder.predictions(head, scored.counts.tolist(), features, carry, late)
        keys_out, blobs = self._out["predictions"]
        keys_out.extend(ids)
        blobs.append(made)

    def _event_values(self, batch: Batch, one: Field, source: I8, at: I8 | None = None) -> list[Any]:
        """Return a column of the events' own records; texts as they were decoded, without a look at the symbols."""
        stream = self._spec.streams[0]
        name = next((field for field, register, _ in stream.columns if register == one.register), None)
        texts = batch.taken.texts[0]
        if name is not None and name in texts:
            column = texts[name]
            return column if len(column) == source.size and _whole(source) else [column[i] for i in source.tolist()]
        if name is not None:
            return values(batch.taken.columns[0][one.register][source], one.kind, self._symbols)
        assert at is not None  # only carried expressions stand in registers alone
        return values(self._scorer.registers[one.register, at], one.kind, self._symbols)

    def _keys(self, columns: list[list[Any]], n: int) -> list[Any]:
        if not columns:
            return [None] * n
        return columns[0] if len(columns) == 1 else [list(one) for one in zip(*columns, strict=True)]

    def _examples(self, batch: Batch, scored: Scored) -> None:
        ops, at = batch.ops, scored.examples
        store, spec, symbols = self._scorer.store, self._spec, self._symbols
        slots, own = ops[at, operations.OP_SLOT], store.own
        kept = np.ascontiguousarray(store.kept[slots].T)
        ids = self._ids(batch, at)
        parts = [values(kept[c], one.kind, symbols) for c, one in zip(self._inline.keys, spec.keys, strict=True)]
        keys = self._keys(parts, at.size)
        none = spec.target is None
        fates = ["none"] * at.size if none else [FATES[i] for i in ops[at, operations.OP_FATE].tolist()]
        kind = spec.target.kind if spec.target is not None else "float"
        target = values(scored.target, kind, symbols)
        score = kept[own + SCORE]
        task = self._inline.learner.spec.task
        decided = kept[own + PREDICTED]
        predicted = values(decided, _answer_kind(task, kind), symbols)
        features = None
        if self._store:
            columns = [
                values(kept[c], one.kind, symbols)
                for c, one in zip(self._inline.served.tolist(), spec.served, strict=True)
            ]
            features = self._encoder.features(columns) if columns else None
        slices = [
            values(kept[c], one.kind, symbols) for c, one in zip(self._inline.slices, spec.slices, strict=True)
        ]
        head = [
            ids, keys, kept[own + AT].astype(np.int64).tolist(), kept[own + RECEIVED].astype(np.int64).tolist(),
            ops[at, operations.OP_MOMENT].tolist(), fates, target, values(scored.weight, "float", symbols), predicted,
            values(score, "float", symbols),
        ]  # fmt: skip
        counts = kept[own + VERSION].astype(np.int64).tolist()
        keys_out, blobs = self._out["examples"]
        keys_out.extend(ids)
        blobs.append(self._encoder.examples(head, counts, features, slices))

    def _ids(self, batch: Batch, at: I8) -> list[Any]:
        """Return the events' ids; where labels of this turn gave the outcomes, as those labels name them."""
        own, joined = self._spec.id, self._spec.join
        if own is not None and own.kind == "text" and joined is not None and joined.on is None:
            rows = batch.taken.label_rows(batch.ops[at, operations.OP_ROW])
            if rows is not None:
                texts = batch.taken.texts[OUTCOMES][own.name]
                return [texts[row] for row in rows.tolist()]
        ring = self._scorer.store.ring
        word = ring[batch.ops[at, operations.OP_SEQ] & (ring.shape[0] - 1), R_WORD]
        if own is None:
            topic = self._spec.streams[0].topic
            return [f"{topic}/{self.partition}/{offset}" for offset in word.tolist()]
        return values(words(word), own.kind, self._symbols)

    def _alarms(self, batch: Batch, scored: Scored) -> None:
        """Write alarms in the order of the operations, then the metrics that were due."""
        watched = scored.watched
        found = [
            (int(scored.examples[drift.index]), self._drift(batch, scored, drift, n)) for n, drift in watched.drifts
        ]
        found += [(op, self._given_up(batch, op, count)) for op, count in batch.gave_up]
        for _, alarm in sorted(found, key=lambda one: one[0]):
            self.alarms += 1
            self._write("alarms", encode(alarm))
        for index, one in watched.measured:
            moment = int(batch.ops[scored.examples[index], operations.OP_MOMENT])
            self._write("metrics", encode(self.metric(one, moment)))

    def _drift(self, batch: Batch, scored: Scored, drift: Drift, detector: int) -> dict[str, Any]:
        declared = self._inline.learner.spec.monitor.detectors[detector]
        at = scored.examples[drift.index]
        kept = self._scorer.store.kept[batch.ops[at, operations.OP_SLOT]]
        return {
            "what": "error",
            "detector": repr(declared),
            "since": scored.watched.before + drift.index + 1 - drift.kept,
            "at": int(batch.ops[at, operations.OP_MOMENT]),
            "from": drift.mean_before,
            "to": drift.mean_after,
            "confidence": 1.0 - declared.delta,
            "version": [self._encoder.lineage, int(kept[self._scorer.store.own + VERSION])],
        }

    def left(self, count: int, moment: int, version: int) -> None:
        """Write the alarm that so many events or labels still waited when the pipeline was drained."""
        self.alarms += 1
        alarm = {
            "what": "pending", "detector": "drain", "since": None, "at": moment, "from": None, "to": count,
            "confidence": None, "version": [self._encoder.lineage, version],
        }  # fmt: skip
        self._write("alarms", encode(alarm))

    def _given_up(self, batch: Batch, op: int, count: int) -> dict[str, Any]:
        return {
            "what": "pending",
            "detector": "budget",
            "since": None,
            "at": int(batch.ops[op, operations.OP_MOMENT]),
            "from": self._scorer.store.budget,
            "to": count,
            "confidence": None,
            "version": [self._encoder.lineage, None],
        }

    def metric(self, one: Any, at_ms: int) -> dict[str, Any]:
        """Return a metric record."""
        return {
            "name": one.name,
            "slice": self._inline.learner.groups.slice(one.group),
            "window": one.window,
            "value": one.value,
            "n": one.n,
            "at": at_ms,
            "version": [self._encoder.lineage, one.count],
        }


def record_origin(taken: Taken, record: int) -> Origin:
    """Return where a record of the turn came from."""
    fed = taken.fed
    name = fed.names[int(fed.topics[record])]
    return Origin(name, int(fed.offsets[record]), int(fed.received[record]), fed.values[record])


def _whole(source: I8) -> bool:
    return bool(source[0] == 0 and source[-1] == source.size - 1)


def _answer_kind(task: str, kind: str) -> str:
    if task in {"binary", "anomaly"}:
        return "bool"
    return kind if task == "multiclass" else "float"
