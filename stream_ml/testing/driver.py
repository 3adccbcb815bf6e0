"""A pipeline driven by hand: records in, predictions out, time as data; no engine, no file, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from stream_ml.errors import UsageError
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.spans import parse_ms
from stream_ml.language.specs import spec_of
from stream_ml.sessions.session import Run, Session
from stream_ml.testing.canonical import records
from stream_ml.testing.memory import Memory, Row

KINDS = ("predictions", "examples", "dead", "alarms", "metrics")
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: A topic, a declared class, or an instance of one.
Target = str | type[BaseModel] | BaseModel
#: A record: a dict as it would stand in JSON, an instance of the declared class, or the raw bytes.
Record = dict[str, Any] | BaseModel | bytes
#: A moment: epoch ms, ISO 8601 text or a datetime (without a zone it is UTC).
Moment = int | str | datetime


class Driver:
    """Runs a pipeline on the core, without an engine, for tests.

    Order of calls: :meth:`send` and :meth:`advance` in any order; :meth:`predictions` and the others return what was
    written since they were last asked. :meth:`stop_and_recover` at any time changes nothing.

    Parameters
    ----------
    pipeline
        A pipeline, or the path of the file that makes one.
    features
        Whether each prediction holds its feature values.
    start
        The driver's time before the first record; needed only where the first record is a label without a time of its
        own.

    Raises
    ------
    DeclarationError
        When the file has a mistake.

    Examples
    --------
    >>> from stream_ml.testing.example import Payment, pipeline
    >>> driver = Driver(pipeline)
    >>> payment = {"payment": "p1", "card": "c1", "amount": 9.5, "at": "2025-03-01T10:00:00Z"}
    >>> driver.send(Payment, payment)
    >>> driver.send(Payment, {**payment, "payment": "p2", "at": "2025-03-01T10:59:00Z"})
    >>> [(one["id"], one["features"]["n_1h"], one["score"]) for one in driver.predictions()]
    [('p1', 1, 0.5), ('p2', 2, 0.5)]
    >>> driver.send("chargebacks", {"payment": "p1", "card": "c1", "fraud": True})
    >>> [(one["id"], one["target"], one["fate"]) for one in driver.examples()]
    [('p1', True, 'label')]
    >>> driver.advance("8d")
    >>> [(one["id"], one["target"], one["fate"]) for one in driver.examples()]
    [('p2', False, 'silence')]
    """

    def __init__(self, pipeline: Pipeline | str | Path, *, features: bool = True, start: Moment | None = None) -> None:
        self.pipeline = pipeline if isinstance(pipeline, Pipeline) else load(pipeline)
        self.memory = Memory()
        self._features = features
        self.session = Session(self.pipeline, features=features)
        self._begun = start is not None
        self._now = 0 if start is None else _moment(start)
        self._written: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        self._read = dict.fromkeys(KINDS, 0)
        self._streams = {stream.topic: stream for stream in reversed(self.session.plan.scorer.streams)}

    # --- in -----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The driver's time, epoch ms: the newest received time, or where :meth:`advance` has moved it."""
        return max(self._now, self.session.scorer.now)

    def send(self, to: Target, record: Record | None = None, *, received: Moment | None = None) -> None:
        """Feed one record.

        Parameters
        ----------
        to
            A topic, a declared class, or an instance of one, which is then the record.
        record
            A dict, an instance, or bytes as they are.
        received
            When the log received it; the record's own time where it has one, never less than the driver's time.

        Raises
        ------
        UsageError
            When the pipeline does not read the topic, or no time is known.

        Examples
        --------
        >>> from stream_ml.testing.example import Payment, pipeline
        >>> driver = Driver(pipeline)
        >>> driver.send(Payment, b"{")
        >>> [(one["reason"], one["path"]) for one in driver.dead()]
        [('json', '$')]
        """
        self.send_all([(to, record, received)])

    def send_all(self, records: Iterable[tuple[Target, Record | None, Moment | None]]) -> None:
        """Feed several records, (to, record, received) as :meth:`send` takes them, in one turn.

        How records are cut into turns is invisible; one turn is faster.
        """
        rows: list[Row] = []
        now = self.now
        for to, record, received in records:
            row = self._row(to, record, received, now)
            now = max(now, row.received)
            rows.append(row)
        if rows:
            self._feed([self.memory.append(rows, cap=now)])

    def advance(self, span: str) -> None:
        """Let time pass, such as `"1h"`: deadlines fire.

        A deadline fires once time is past it: a label that comes exactly `wait` after its event still joins.
        """
        self.tick(self.now + parse_ms(span, "advance()"))

    def tick(self, moment: Moment) -> None:
        """Let time reach a moment: everything received before it has been fed."""
        self._begun = True
        self._now = max(self.now, _moment(moment))
        self._feed([], self._now)

    def _feed(self, runs: list[Run], tick: int | None = None) -> None:
        turn = self.session.feed(runs, tick)
        self.memory.keep(turn)
        for out in turn.out:
            self._written[out.topic.rpartition(".")[2]].extend(out.values)

    def _row(self, to: Any, record: Record | None, received: Moment | None, now: int) -> Row:
        if isinstance(to, BaseModel):
            to, record = type(to), to
        topic = to if isinstance(to, str) else getattr(spec_of(to), "topic", to.__name__)
        stream = self._streams.get(topic)
        if stream is None:
            cause = f"{self.pipeline.name!r} does not read the topic {topic!r}"
            raise UsageError(cause, f"It reads {', '.join(map(repr, self.session.topics))}")
        if record is None:
            cause = f"no record was given for {topic!r}"
            raise UsageError(cause, "Give a dict, an instance or bytes")
        value = _encoded(record)
        if received is not None:
            self._begun = True
            return Row(topic, _moment(received), value)
        own = _own_time(value, stream.model, stream.time)
        if own is not None:
            self._begun = True
        elif not self._begun and stream.role == "label":
            cause = f"when {topic!r} received this label is not known"
            raise UsageError(cause, 'Send an event first, give received=, or start the driver with start="2025-01-01"')
        return Row(topic, max(now, own or 0), value)

    # --- out ----------------------------------------------------------------------------------------------------------

    def predictions(self) -> list[dict[str, Any]]:
        """Return the predictions made since the last call."""
        return self._fresh("predictions")

    def examples(self) -> list[dict[str, Any]]:
        """Return the examples written since the last call."""
        return self._fresh("examples")

    def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters written since the last call."""
        return self._fresh("dead")

    def alarms(self) -> list[dict[str, Any]]:
        """Return the alarms raised since the last call."""
        return self._fresh("alarms")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the metrics written since the last call, every `Monitor(every=)` examples."""
        return self._fresh("metrics")

    @property
    def all_predictions(self) -> list[dict[str, Any]]:
        """Every prediction so far."""
        return self._decoded("predictions", 0)

    @property
    def all_examples(self) -> list[dict[str, Any]]:
        """Every example so far."""
        return self._decoded("examples", 0)

    @property
    def all_dead(self) -> list[dict[str, Any]]:
        """Every dead letter so far."""
        return self._decoded("dead", 0)

    @property
    def all_alarms(self) -> list[dict[str, Any]]:
        """Every alarm so far."""
        return self._decoded("alarms", 0)

    @property
    def all_metrics(self) -> list[dict[str, Any]]:
        """Every metric written so far."""
        return self._decoded("metrics", 0)

    def quality(self) -> list[dict[str, Any]]:
        """Return every metric as it stands now."""
        return self.session.quality()

    @property
    def stats(self) -> dict[str, Any]:
        """Counters: what came in and what became of it."""
        return self.session.stats

    def written(self, kind: str) -> list[bytes]:
        """Return the records of one kind ("predictions", "examples", "dead", "alarms", "metrics") as bytes."""
        return list(self._written[kind])

    def _fresh(self, kind: str) -> list[dict[str, Any]]:
        found = self._decoded(kind, self._read[kind])
        self._read[kind] = len(self._written[kind])
        return found

    def _decoded(self, kind: str, first: int) -> list[dict[str, Any]]:
        return [msgspec.json.decode(value) for value in self._written[kind][first:]]

    # --- stop and go on -----------------------------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write down what changed since the last snapshot, as an engine does now and then."""
        self.memory.snapshot(self.session)

    def stop_and_recover(self, *, crash: bool = False) -> None:
        """Stop, and go on from what is stored.

        Parameters
        ----------
        crash
            False: the state is written down first. True: it is made again from the last snapshot, if there was one, and
            the journal.

        Raises
        ------
        CorruptError
            When what is stored does not pass its checksums.

        Examples
        --------
        >>> from stream_ml.testing.example import Payment, pipeline
        >>> driver = Driver(pipeline)
        >>> driver.send(
        ...     Payment, {"payment": "p1", "card": "c1", "amount": 1.0, "at": "2025-03-01T10:00:00Z"}
        ... )
        >>> before = driver.state()
        >>> driver.stop_and_recover(crash=True)
        >>> driver.state() == before
        True
        """
        if not crash:
            self.snapshot()
        self.session = self.memory.recover(self.pipeline, features=self._features)

    def state(self) -> dict[str, Any]:
        """Return all state as plain records: equal states are equal, wherever they lie in memory."""
        return records(self.session)


def _moment(value: Moment) -> int:
    if isinstance(value, int):
        return value
    found = _TIME.validate_python(value)
    return ((found if found.tzinfo is not None else found.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def _encoded(record: Record) -> bytes:
    if isinstance(record, bytes):
        return record
    if isinstance(record, BaseModel):
        return record.model_dump_json(by_alias=True).encode()
    return to_json(record, inf_nan_mode="constants")


def _own_time(value: bytes, model: type[BaseModel], name: str | None) -> int | None:
    """Return the record's own time, None where it has none that can be read."""
    if name is None:
        return None
    try:
        record = msgspec.json.decode(value)
        return _moment(_TIME.validate_python(record[model.model_fields[name].alias or name]))
    except (msgspec.DecodeError, ValidationError, TypeError, KeyError, OverflowError):
        return None
