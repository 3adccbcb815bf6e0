"""The machine, one record at a time: deadlines, decode, features, prediction, join, label-fed windows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from stream_ml.language.declare import Label
from stream_ml.language.pipeline import Pipeline

from .decode import Dead, Record, decode, silent
from .expr import evaluate
from .join import DELAYED, EXPIRY, TIME_OUT, Deadline, Join, LabelRecord, Waiting
from .rows import DeadLetter, Example, Row, Served, serve
from .scopes import EventScope, OutcomeScope, RowScope, Tables, columns_of, tables_of, windows_in
from .windows import Value


class Naive:
    """The truth about features, windows and joins.

    Feed records in merged order, and ticks; then read `predictions`, `examples`, `order`, `counters`, `dead`.

    Parameters
    ----------
    pipeline
        A user's declarations.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.event: Any = pipeline.features.of
        self.spec: Any = self.event.__stream__
        self.served = pipeline.features.served
        self.windows = windows_in([*self.served.values(), pipeline.when, *pipeline.slices, *pipeline.carry])
        self.label: Any = self._label_class()
        self.label_spec: Any = self.label.__stream__ if self.label is not None else None
        self.tables = Tables()
        self.table_classes = self._tables()
        self.join = Join(self.label_spec.wait_ms if self.label_spec is not None else self.spec.lateness_ms)
        self.now = -(1 << 62)
        self.arrival = 0
        self.newest: dict[type, int] = {}
        self.others = self._others()
        self.seen: dict[type, dict[Any, int]] = {cls: {} for cls in self.others}
        self.predictions: list[Row] = []
        self.examples: list[Example] = []
        self.order: list[tuple[str, Any]] = []
        self.dead: list[DeadLetter] = []
        self.counters: Counter[str] = Counter()

    # what the pipeline reads

    def _label_class(self) -> Any:
        """Return the class of the label: of `label=`, else of a label-fed window."""
        found = [w.aggregate.source for w in self.windows.values() if issubclass(w.aggregate.source, Label)]
        found += [c for c in columns_of(self.pipeline.label) if issubclass(c, Label)]
        return found[-1] if found else None

    def _others(self) -> list[Any]:
        sources = [w.aggregate.source for w in self.windows.values()]
        return list(dict.fromkeys(s for s in sources if not issubclass(s, Label) and not issubclass(self.event, s)))

    def _tables(self) -> list[Any]:
        p = self.pipeline
        expressions = [*self.served.values(), p.label, p.weight, p.when, *p.slices, *p.carry]
        return list(dict.fromkeys(cls for e in expressions for cls in tables_of(e)))

    # inputs

    def feed(self, topic: str, received: int, value: dict[str, Any] | bytes, offset: int) -> None:
        """Take one record: deadlines that it passes, then what it is."""
        self.tick(received)
        self.arrival += 1
        for cls in self.table_classes:
            if cls.__stream__.topic == topic:
                self._table(cls, topic, value, offset)
        for cls in self.others:
            if cls.__stream__.topic == topic:
                self._other(cls, topic, value, offset)
        if topic == self.spec.topic:
            self._event(topic, value, offset)
        else:
            self._arrived(self._decode_label(topic, value, offset))

    def tick(self, moment: int) -> None:
        """Every record received before this moment has been fed: fire the deadlines that it passes."""
        self.now = max(self.now, moment)
        while (deadline := self.join.due(self.now)) is not None:
            self._fire(deadline)

    def _decode(self, cls: Any, role: str, value: Any, names: tuple[str, ...], place: tuple[str, int]) -> Record | None:
        """Return the record as its class, or bury it; the names are of fields that must not be null.

        A record that is an event and a label too, refused as both for the same reason and field, is buried once.
        """
        try:
            return decode(cls, value, names)
        except Dead as dead:
            letter = DeadLetter(*place, role, dead.reason, dead.path, self.now)
            if not (role == "label" and self.dead and self.dead[-1] == replace(letter, role="event")):
                self._bury(letter)
            return None

    def _ahead(self, cls: Any, role: str, record: Record, place: tuple[str, int]) -> bool:
        """Return whether a record is dated too far ahead of its received time; then it is buried."""
        spec = cls.__stream__
        if record.time(spec.time) <= self.now + spec.ahead_ms:
            return False
        self._bury(DeadLetter(*place, role, "ahead", f"$.{cls.model_fields[spec.time].alias or spec.time}", self.now))
        return True

    def _bury(self, letter: DeadLetter) -> None:
        self.dead.append(letter)
        self.counters[f"dead_{letter.reason}"] += 1

    # tables and other streams

    def _table(self, cls: Any, topic: str, value: Any, offset: int) -> None:
        names = cls.__stream__.key
        record = self._decode(cls, "table", value, names, (topic, offset))
        if record is not None:
            self.counters["table"] += 1
            self.tables.put(cls, tuple(x for x in record.values(names) if x is not None), record)

    def _other(self, cls: Any, topic: str, value: Any, offset: int) -> None:
        """Take a record of another stream of events: it only feeds windows."""
        spec = cls.__stream__
        record = self._decode(cls, "other", value, present(spec), (topic, offset))
        if record is None or self._ahead(cls, "other", record, (topic, offset)):
            return
        self.counters["other"] += 1
        if spec.id is not None:
            name, seen = record.name(spec.id), self.seen[cls]
            if name in seen and self.now <= seen[name] + spec.lateness_ms:
                self.counters["other_duplicate"] += 1
                return
            seen[name] = self.now
        at = record.time(spec.time)
        if self._late(cls, at):
            self.counters["other_late"] += 1
            return
        scope = RowScope(self.tables, record)
        for w in self.windows.values():
            if w.aggregate.source is cls:
                w.add(scope, at, self.arrival)

    def _late(self, cls: Any, at: int) -> bool:
        """Return whether a time is older than the stream's newest - lateness; if not, it may be the newest."""
        newest = self.newest.get(cls, at)
        if at < newest - cls.__stream__.lateness_ms:
            return True
        self.newest[cls] = max(newest, at)
        return False

    # events

    def _event(self, topic: str, value: Any, offset: int) -> None:
        """Take an event; of its own topic's label: `on=` answers others before it, an id's comes after it.

        A duplicate changes nothing: its record's label is not heard. One that is refused does not keep it from being
        heard, but where it is dated too far ahead, its id is taken and the label is one by `on=`.
        """
        spec, place = self.spec, (topic, offset)
        self.counters["events"] += 1
        record = self._decode(self.event, "event", value, present(spec), place)
        label = self._decode_label(topic, value, offset)
        named = spec.id is not None and record is not None
        taken = named and record is not None and self.join.find(record.name(spec.id), self.now) is not None
        by_id = label is not None and self.label_spec.on is None
        if not by_id and not taken:
            self._arrived(label)
        ahead = record is not None and self._ahead(self.event, "event", record, place)
        if taken and not ahead:
            self.counters["duplicate"] += 1
            return
        if record is not None and not ahead:
            self._answer(record, f"{topic}/0/{offset}")
        if by_id:
            self._arrived(label)

    def _answer(self, record: Record, place: str) -> None:
        spec, p = self.spec, self.pipeline
        at = record.time(spec.time)
        late = self._late(self.event, at)
        as_of = self.newest[self.event] - spec.lateness_ms if late else at
        if late:
            self.counters["late"] += 1
        else:
            scope = RowScope(self.tables, record)
            for w in self.windows.values():
                if issubclass(self.event, w.aggregate.source):
                    w.add(scope, at, self.arrival)
        eyes = EventScope(self.tables, record, self._read(record, as_of))
        features = {name: serve(e, evaluate(e, eyes)) for name, e in self.served.items()}
        asked = p.when is None or bool(evaluate(p.when, eyes))
        name = record.name(spec.id) if spec.id is not None else place
        keys = [record.name(field) for field in spec.key]
        row = Row(
            id=name,
            key=None if not keys else keys[0] if len(keys) == 1 else keys,
            at=at,
            received=self.now,
            late=late,
            features={name: x for name, x in features.items() if x is not None},
            asked=asked,
            place=place,
            carry=tuple(serve(e, evaluate(e, eyes)) for e in p.carry),
            slices=tuple(serve(e, evaluate(e, eyes)) for e in p.slices),
        )
        self.predictions.append(row)
        self.counters["predicted" if asked else "not_asked"] += 1
        if asked:
            self.order.append(("predict", name))
        last = len(self.predictions) - 1
        waiting = Waiting(
            name, record, self.now, self.arrival, last, asked, open=self.label is not None, tables=self.tables.copy()
        )
        self.join.taken[name] = waiting
        if asked and p.label is None:
            self._example(waiting, self.now, "none", None, 1.0)
        if self.label is not None:
            moment = self.now + self.label_spec.wait_ms
            self.join.deadlines.append(Deadline(moment, TIME_OUT, self.arrival, waiting))
            held = self.join.held.pop(name, None)
            if held is not None:
                self._joined(waiting, held.record, self.now, "label")

    def _read(self, record: Record, as_of: int) -> dict[int, Value]:
        """Read every window for an event.

        Own stream: as of the event's time (a late one's: newest - lateness); with the event under `.over` (but for lag
        and since_last), without it under `.before`. Label-fed: as of its received time. Another stream: as of its
        time, but never earlier than that stream's newest - lateness.
        """
        scope = RowScope(self.tables, record)
        found: dict[int, Value] = {}
        for name, w in self.windows.items():
            source, moment, before = w.aggregate.source, as_of, self.arrival + 1
            if issubclass(source, Label):
                moment = self.now
            elif not issubclass(self.event, source):
                moment = max(as_of, self.newest.get(source, as_of) - source.__stream__.lateness_ms)
            elif w.before or w.aggregate.kind in ("lag", "since_last"):
                before = self.arrival
            found[name] = w.window.read(w.key(scope), moment, before)
        return found

    # labels

    def _decode_label(self, topic: str, value: Any, offset: int) -> LabelRecord | None:
        spec = self.label_spec
        if spec is None or topic != spec.topic:
            return None
        by = (self.spec.id,) if spec.on is None else spec.on
        keys = tuple(k for k in self.spec.key if k in self.label.model_fields)
        record = self._decode(self.label, "label", value, (*by, *keys), (topic, offset))
        return None if record is None else LabelRecord(record, self.now, self.arrival, topic, offset)

    def _arrived(self, label: LabelRecord | None) -> None:
        """Take a label record, if there is one: at once, or when its delay has passed."""
        if label is None:
            return
        self.counters["labels"] += 1
        delay = self.label_spec.delay_ms
        if delay:
            self.join.deadlines.append(Deadline(self.now + delay, DELAYED, label.arrival, label))
        else:
            self._hear(label, self.now)

    def _hear(self, label: LabelRecord, known: int) -> None:
        """Join a label that is known now, hold it, or count it."""
        on = self.label_spec.on
        if on is not None:
            answered = self.join.open_with(on, label.record.values(on), label.arrival)
            if not answered:
                self.counters["idle"] += 1
            for event in answered:
                self._joined(event, label.record, known, "label")
            return
        name = label.record.name(self.spec.id)
        found = self.join.find(name, known)
        if found is not None and found.open:
            self._joined(found, label.record, known, "label")
        elif found is not None or name in self.join.held:
            self.counters["again"] += 1
        else:
            self.counters["held"] += 1
            self.join.held[name] = label
            self.join.deadlines.append(Deadline(known + self.label_spec.wait_ms, EXPIRY, label.arrival, label))

    def _fire(self, deadline: Deadline) -> None:
        what = deadline.what
        if isinstance(what, Waiting):
            if what.open:
                self._silence(what, deadline.moment)
        elif deadline.rank == DELAYED:
            self._hear(what, deadline.moment)
        else:
            name = what.record.name(self.spec.id)
            if self.join.held.get(name) is what:
                del self.join.held[name]
                self.counters["unmatched"] += 1
                self._bury(DeadLetter(what.topic, what.offset, "label", "unmatched", "$", what.received))

    def _silence(self, event: Waiting, moment: int) -> None:
        silence = self.label_spec.silence
        if silence is None:
            event.open = False
            self.counters["dropped"] += 1
        else:
            self._joined(event, silent(self.label, silence, event.event), moment, "silence")

    def _joined(self, event: Waiting, label: Record, known: int, fate: str) -> None:
        """Close an event with its outcome: the example, then the label-fed windows."""
        event.open = False
        self.counters["joined" if fate == "label" else "silence"] += 1
        scope = OutcomeScope(self.tables, event.tables, event.event, label)
        p = self.pipeline
        if event.asked and p.label is not None:
            target = serve(p.label, evaluate(p.label, scope))
            weight = 1.0 if p.weight is None else evaluate(p.weight, scope)
            if target is None:
                self.counters["no_target"] += 1
            else:
                self._example(event, known, fate, target, None if weight is None else float(weight))
        self.arrival += 1
        for w in self.windows.values():
            if issubclass(w.aggregate.source, Label):
                w.add(scope, known, self.arrival)

    def _example(self, event: Waiting, known: int, fate: str, target: Served | None, weight: float | None) -> None:
        row = self.predictions[event.row]
        self.examples.append(
            Example(
                id=event.id,
                known=known,
                fate=fate,
                target=target,
                weight=weight,
                features=row.features,
                received=event.received,
                row=event.row,
                after=len(self.predictions),
                learned=weight is not None,
            )
        )
        self.counters["examples"] += 1
        if weight is not None:
            self.order.append(("learn", event.id))


def present(spec: Any) -> tuple[str, ...]:
    """Return the fields of an event that must not be null: its id and key."""
    return (*((spec.id,) if spec.id is not None else ()), *spec.key)
