"""Records for any pipeline, made from its declarations: few keys, few ids, so that everything collides.

Events out of order, late, ahead, twice, with equal times and missing values; labels before their event, twice, never,
contradictory, long before; ticks; nulls in keys; a clock that goes back. `seeded` makes a stream from a number,
`streams` is a hypothesis strategy that shrinks towards one plain event after another.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from stream_ml.language.pipeline import Pipeline
from tests.declared import Declared, candidates

#: Topic of a tick: its time is a moment before which everything has been read.
TICK = ""
#: The night when Paris goes over to summer time.
START = 1_743_294_600_000

T = TypeVar("T")
#: (topic, timestamp of the log in epoch ms, record)
Logged = tuple[str, int, dict[str, Any]]


class Chooser(Protocol):
    """Where choices come from."""

    def below(self, n: int) -> int:
        """Return a whole number from 0, the plainest, to n - 1."""


@dataclass
class Seeded:
    """Choices from a seed."""

    source: random.Random

    def below(self, n: int) -> int:
        return self.source.randrange(n)


@dataclass
class Drawn:
    """Choices that hypothesis makes and shrinks."""

    draw: DrawFn

    def below(self, n: int) -> int:
        return self.draw(st.integers(0, n - 1))


def seeded(pipeline: Pipeline, seed: int, size: int, *, bad: bool = True) -> list[Logged]:
    """Return a stream of `size` records and ticks, a function of the seed.

    Parameters
    ----------
    bad
        Whether one in thirty is a record that must be refused.
    """
    return _Maker(Declared(pipeline), Seeded(random.Random(seed)), bad=bad).make(size)


def streams(pipeline: Pipeline, max_size: int = 40, *, bad: bool = True) -> SearchStrategy[list[Logged]]:
    """Return a strategy of streams of up to `max_size` records and ticks."""
    declared = Declared(pipeline)

    @st.composite
    def made(draw: DrawFn) -> list[Logged]:
        return _Maker(declared, Drawn(draw), bad=bad).make(draw(st.integers(1, max_size)))

    return made()


def merged(log: Sequence[Logged]) -> Iterator[tuple[str, int, dict[str, Any], int]]:
    """Yield (topic, received, record, offset): received never goes back, and offsets count the records from 0."""
    now, offset = -(1 << 62), 0
    for topic, stamp, value in log:
        now = max(now, stamp)
        yield topic, now, value, offset
        offset += topic != TICK


def encode(value: dict[str, Any]) -> bytes:
    """Return a record as its bytes in a log; NaN and infinities are written as json writes them."""
    return json.dumps(value, ensure_ascii=False).encode()


def iso(moment: int) -> str:
    """Return epoch ms as text with milliseconds and zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).isoformat(timespec="milliseconds")


@dataclass
class _Maker:
    declared: Declared
    choose: Chooser
    bad: bool = True
    now: int = START
    named: int = 0
    log: list[Logged] = field(default_factory=list)
    #: events made so far: the fields by which labels find them, as in the record
    events: list[dict[str, Any]] = field(default_factory=list)
    #: the same of events that a label spoke of and that are yet to come
    promised: list[dict[str, Any]] = field(default_factory=list)

    def make(self, size: int) -> list[Logged]:
        d = self.declared
        steps: list[Callable[[], None]] = [self._event] * 6
        if d.label is not None and not d.same_topic:
            steps += [self._label] * 4
        for cls in (*d.others, *d.tables):
            steps += [partial(self._stranger, cls)] * 2
        steps += [self._tick, self._again]
        for cls in d.tables:
            self._stranger(cls)
        while len(self.log) < size:
            self._pass_time()
            steps[self.choose.below(len(steps))]()
        return self.log

    def _one_in(self, n: int) -> bool:
        """Return True rarely, and never in the plainest stream."""
        return self.choose.below(n) == n - 1

    def _of(self, options: Sequence[T]) -> T:
        return options[self.choose.below(len(options))]

    def _pass_time(self) -> None:
        how = self.choose.below(10)
        if how < 7:
            self.now += self._of((1_000, 0, 1, 0, 250, self.declared.short // 7, self.declared.short))
        elif how < 9:
            self.now += self._of(self.declared.spans) // self._of((10, 3, 2))
        else:
            self.now += max(self._of(self.declared.spans) + self._of((0, 1, -1)), 0)

    def _put(self, topic: str, value: dict[str, Any]) -> None:
        stamp = self.now - self._of(self.declared.spans) if self._one_in(20) else self.now
        if self.bad and self._one_in(30):
            value = self._spoilt(value)
        self.log.append((topic, stamp, value))

    # records

    def _event(self) -> None:
        d = self.declared
        record = self._fields(d.event)
        if d.id is not None:
            if self.promised and self._one_in(2):
                record.update(self.promised.pop(self.choose.below(len(self.promised))))
            elif self.events and self._one_in(12):
                record.update(self._of(self.events[-6:]))
            else:
                record[d.alias(d.event, d.id)] = self._fresh(whole=d.whole_ids)
        record[d.alias(d.event, d.spec.time)] = iso(self._event_time(d.spec.lateness_ms, d.spec.ahead_ms))
        self.events.append({alias: record.get(alias) for alias in map(self._shared, d.shared)})
        if d.same_topic and not self._one_in(8):
            for name, value in self._fields(d.label).items():
                record.setdefault(name, value)
        self._put(d.spec.topic, record)

    def _label(self) -> None:
        d = self.declared
        record = self._fields(d.label)
        about: dict[str, Any]
        if self.events and not self._one_in(4):
            about = self._of(self.events[-1:-8:-1])
        else:
            fields = self._fields(d.event)
            about = {alias: fields.get(alias) for alias in map(self._shared, d.shared)}
            if d.id is not None:
                about[self._shared(d.id)] = self._fresh(whole=d.whole_ids)
                self.promised.append(about)
        for name in d.shared:
            if name in d.label.model_fields:
                record[d.alias(d.label, name)] = about[self._shared(name)]
        self._put(d.label_spec.topic, record)

    def _stranger(self, cls: Any) -> None:
        """Put a record of a table or of another stream of events."""
        spec, record = cls.__stream__, self._fields(cls)
        if cls in self.declared.others:
            record[self.declared.alias(cls, spec.time)] = iso(self._event_time(spec.lateness_ms, spec.ahead_ms))
            if spec.id is not None and not self._one_in(12):
                whole = cls.model_fields[spec.id].annotation is int
                record[self.declared.alias(cls, spec.id)] = self._fresh(whole=whole)
        self._put(spec.topic, record)

    def _again(self) -> None:
        """Put an earlier record again, as a producer does that heard no answer."""
        said = [(topic, value) for topic, _, value in self.log if topic != TICK]
        if said:
            topic, value = self._of(said[-1:-6:-1])
            self.log.append((topic, self.now, value))

    def _tick(self) -> None:
        self.log.append((TICK, self.now, {}))

    # values

    def _shared(self, name: str) -> str:
        return self.declared.alias(self.declared.event, name)

    def _fresh(self, *, whole: bool) -> int | str:
        """Return an id that no record has yet."""
        self.named += 1
        return self.named if whole else f"e{self.named}"

    def _event_time(self, lateness: int, ahead: int) -> int:
        if self._one_in(25):
            return self.now + self._of((1, lateness // 2, lateness, ahead + 1, ahead + 1, ahead // 10, ahead))
        if self._one_in(6):
            return self.now - self._of(self.declared.spans)
        return self.now - self._of((0, 0, 0, 0, 1, lateness // 3, lateness // 2, lateness, lateness + 1))

    def _fields(self, cls: Any) -> dict[str, Any]:
        """Return a record of a class by alias; its time is now, optional fields are at times null or absent."""
        record: dict[str, Any] = {}
        for name, info in cls.model_fields.items():
            options = candidates(cls, name, self.declared.texts, self.declared.numbers)
            alias = self.declared.alias(cls, name)
            if options is datetime:
                record[alias] = iso(self.now - self._of((0, 0, 1, 60_000, *self.declared.spans)))
            else:
                record[alias] = self._of(options)
            if None in self.declared.allows(cls, name) and self._one_in(4):
                record[alias] = None
            if not info.is_required() and self._one_in(6):
                del record[alias]
        return record

    def _spoilt(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return a record with one field wrong: null, gone, of another type, or no number."""
        name = self._of(list(value))
        how = self.choose.below(6)
        if how == 0:
            return {key: x for key, x in value.items() if key != name}
        return {**value, name: (None, [1], float("inf"), float("nan"), 1 << 54)[how - 1]}
