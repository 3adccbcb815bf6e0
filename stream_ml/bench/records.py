"""Records for a measurement: made up from a pipeline's declarations, or those of files under fresh ids and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from stream_ml.bench.copies import topic_of
from stream_ml.bench.load import Load, labelled
from stream_ml.bench.pools import Moment, constants, pool
from stream_ml.client.files import record_batches
from stream_ml.errors import UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import EventSpec, LabelSpec
from stream_ml.plan.bundle import compile_plan
from stream_ml.scorer.spec import Stream

#: A record of another stream for so many events.
STRANGERS = 10
TABLE_ROWS = 1_000
_MOST = 500_000  # records of a file that are repeated
_WORD = 2**64 - 1

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Made:
    """Records of one topic: keys and values [n], None where a record has no key."""

    topic: str
    keys: list[bytes | None]
    values: list[bytes]


def event_id(n: int, *, whole: bool) -> str | int:
    """Return the id of the event number `n`.

    Examples
    --------
    >>> event_id(12, whole=False), event_id(12, whole=True)
    ('b000000012', 12)
    """
    return n if whole else f"b{n:09d}"


class Records:
    """Makes event n and its label, as a function of n and the load's seed.

    Parameters
    ----------
    pipeline
        The copy.
    load
        What is to be sent.

    Raises
    ------
    UsageError
        A field accepts nothing that can be made up, or a file has no record.
    """

    def __init__(self, pipeline: Pipeline, load: Load) -> None:
        self._load = load
        streams = compile_plan(pipeline).scorer.streams
        self._event = streams[0].model
        self._spec: EventSpec = self._event.__stream__
        self._label = next((one.model for one in streams if one.role == "label"), None)
        self._label_spec: LabelSpec | None = None if self._label is None else self._label.__stream__
        self._others = [one for one in streams[1:] if one.role == "other"]
        self._tables = [one for one in streams if one.role == "table"]
        self.one_topic = self._label_spec is not None and self._label_spec.topic == self._spec.topic
        on = () if self._label_spec is None or self._label_spec.on is None else self._label_spec.on
        ids = () if self._spec.id is None else (self._spec.id,)
        self._shared = tuple(dict.fromkeys((*ids, *self._spec.key, *on)))
        self.whole = self._spec.id is not None and self._event.model_fields[self._spec.id].annotation is int
        self._known = constants(pipeline)
        self._pools: dict[tuple[Any, str], Sequence[Any]] = {}
        self._given = self._read(load.data, streams)
        self._answers = self._by_shared()
        self.topic, self.label_topic = self._spec.topic, None if self._label_spec is None else self._label_spec.topic

    # --- what is asked for --------------------------------------------------------------------------------------------

    def events(self, numbers: Ints, at_ms: Ints) -> Made:
        """Return events by number, each at its time in epoch ms."""
        rows = [self._event_row(n, at) for n, at in zip(numbers.tolist(), at_ms.tolist(), strict=True)]
        if self.one_topic:
            for n, row in zip(numbers.tolist(), rows, strict=True):
                row.update({name: value for name, value in self._label_row(n, 0).items() if name not in row})
        keys = [self._key(self._shared_of(n)) for n in numbers.tolist()]
        return Made(self._spec.topic, keys, [orjson.dumps(row) for row in rows])

    def labels(self, numbers: Ints, at_ms: Ints) -> Made:
        """Return the label records of events by number, each at its time in epoch ms."""
        rows = [self._label_row(n, at) for n, at in zip(numbers.tolist(), at_ms.tolist(), strict=True)]
        keys = [self._key(self._shared_of(n)) for n in numbers.tolist()]
        return Made(self.label_topic or "", keys, [orjson.dumps(row) for row in rows])

    def labelled(self) -> Ints:
        """Return the numbers of the load's events that get a label record of their own."""
        if self._label is None or self.one_topic:
            return np.zeros(0, np.int64)
        load = self._load
        numbers = np.arange(load.first, load.first + load.events)[labelled(load)]
        if self._answers:
            numbers = numbers[[self._source(n) in self._answers for n in numbers.tolist()]]
        return np.asarray(numbers, np.int64)

    def tables(self, at_ms: int) -> list[Made]:
        """Return rows of each table."""
        return [self._of_stream(stream, np.arange(TABLE_ROWS), np.full(TABLE_ROWS, at_ms)) for stream in self._tables]

    def others(self, numbers: Ints, at_ms: Ints) -> list[Made]:
        """Return records of the other streams: one of each for every tenth event."""
        few = numbers % STRANGERS == 0
        return [self._of_stream(stream, numbers[few], at_ms[few]) for stream in self._others]

    def check(self) -> None:
        """Refuse made-up records that the pipeline would refuse.

        Raises
        ------
        UsageError
            With what pydantic says, and the cure.
        """
        numbers, now = np.arange(20), np.full(20, 1_700_000_000_000)
        made = [(self._event, self.events(numbers, now))]
        if self._label is not None and not self.one_topic:
            made.append((self._label, self.labels(numbers, now)))
        made += [(stream.model, self._of_stream(stream, numbers, now)) for stream in (*self._others, *self._tables)]
        for cls, one in made:
            for value in one.values:
                try:
                    cls.model_validate_json(value)
                except ValidationError as error:
                    first = error.errors()[0]
                    cause = f"A made-up {cls.__name__} is refused: {'.'.join(map(str, first['loc']))}: {first['msg']}"
                    raise UsageError(cause, f"Give records to repeat: --data {one.topic}=FILE") from None

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _event_row(self, n: int, at: int) -> dict[str, Any]:
        row = self._row(self._event, n, at)
        if self._spec.id is not None:
            row[self._alias(self._event, self._spec.id)] = event_id(n, whole=self.whole)
        return row

    def _label_row(self, n: int, at: int) -> dict[str, Any]:
        label = self._label
        if label is None:
            return {}
        given = self._answers.get(self._source(n)) if self._answers else None
        row = dict(given) if given is not None else self._row(label, n, at)
        shared = self._shared_of(n)
        row.update({self._alias(label, name): shared[name] for name in self._shared if name in label.model_fields})
        return row

    def _shared_of(self, n: int) -> dict[str, Any]:
        """Return what the event number `n` and its label have in common."""
        given = self._given.get(self._spec.topic)
        found: dict[str, Any] = {}
        for name in self._shared:
            if name == self._spec.id:
                found[name] = event_id(n, whole=self.whole)
            elif given:
                found[name] = given[n % len(given)].get(self._alias(self._event, name))
            else:
                found[name] = self._value(self._event, name, n)
        return found

    def _key(self, shared: dict[str, Any]) -> bytes | None:
        parts = [shared.get(name) for name in self._spec.key]
        return None if not parts or None in parts else "|".join(map(str, parts)).encode()

    def _row(self, cls: Any, n: int, at: int) -> dict[str, Any]:
        given = self._given.get(cls.__stream__.topic)
        if given:
            row = dict(given[n % len(given)])
            if cls.__stream__.time is not None:
                row[self._alias(cls, cls.__stream__.time)] = at
            return row
        found = {name: self._value(cls, name, n) for name in cls.model_fields}
        return {self._alias(cls, name): at if value is Moment else value for name, value in found.items()}

    def _of_stream(self, stream: Stream, numbers: Ints, at_ms: Ints) -> Made:
        rows = [self._row(stream.model, n, at) for n, at in zip(numbers.tolist(), at_ms.tolist(), strict=True)]
        if stream.id is not None:
            whole = stream.model.model_fields[stream.id].annotation is int
            for n, row in zip(numbers.tolist(), rows, strict=True):
                row[self._alias(stream.model, stream.id)] = event_id(n, whole=whole)
        if stream.role == "table" and len(stream.model.__stream__.key) == 1:
            for n, row in zip(numbers.tolist(), rows, strict=True):  # every key once, then those of the events
                (name,) = stream.model.__stream__.key
                values = self._pool(stream.model, name)
                row[self._alias(stream.model, name)] = values[n % len(values)]
        by = stream.model.__stream__.key
        keys = [self._text([row.get(self._alias(stream.model, name)) for name in by]) for row in rows]
        return Made(stream.topic, keys, [orjson.dumps(row) for row in rows])

    @staticmethod
    def _text(parts: list[Any]) -> bytes | None:
        return None if not parts or None in parts else "|".join(map(str, parts)).encode()

    def _value(self, cls: Any, name: str, n: int) -> Any:
        values = self._pool(cls, name)
        salt = self._load.seed + sum(name.encode())
        return values[int(_mix(n, salt) % len(values))]

    def _pool(self, cls: Any, name: str) -> Sequence[Any]:
        found = self._pools.get((cls, name))
        if found is None:
            is_key = name in getattr(cls.__stream__, "key", ()) or name in self._shared
            keys = self._load.keys if is_key else 0
            found = self._pools[cls, name] = pool(cls, name, self._known, self._load.seed, keys)
        return found

    def _alias(self, model: Any, name: str) -> str:
        return str(model.model_fields[name].alias or name)

    # --- files --------------------------------------------------------------------------------------------------------

    def _read(self, data: dict[str, str], streams: Sequence[Stream]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        known = {one.topic for one in streams}
        for topic, file in data.items():
            name = topic_of(self._load.name, topic)
            if name not in known:
                cause = f"The pipeline reads no topic {topic}"
                own = sorted(one.removeprefix(f"{self._load.name}-") for one in known)
                raise UsageError(cause, f"It reads {', '.join(own)}")
            rows = [orjson.loads(line) for batch in record_batches(Path(file)) for line in batch if line][:_MOST]
            if not rows:
                cause = f"{file} has no record"
                raise UsageError(cause, "Give NDJSON, CSV or Parquet with records")
            found[name] = rows
        return found

    def _source(self, n: int) -> tuple[Any, ...]:
        """Return by what the label of the event number `n` is found in its file."""
        given = self._given[self._spec.topic]
        row = given[n % len(given)]
        return tuple(row.get(self._alias(self._event, name)) for name in self._joined())

    def _joined(self) -> tuple[str, ...]:
        on = None if self._label_spec is None else self._label_spec.on
        return on if on is not None else (() if self._spec.id is None else (self._spec.id,))

    def _by_shared(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Return the label records of a file by what joins them to events; empty where labels are made up."""
        if self._label is None or self._label_spec is None or self.one_topic:
            return {}
        rows = self._given.get(self._label_spec.topic)
        if not rows or self._spec.topic not in self._given:
            return {}
        return {tuple(row.get(self._alias(self._label, name)) for name in self._joined()): row for row in rows}


def _mix(n: int, salt: int) -> int:
    """Return well spread bits of a number (the end of splitmix64), so that what event n holds needs no memory."""
    z = (n + salt * 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)
