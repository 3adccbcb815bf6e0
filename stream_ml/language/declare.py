"""Event, Label and Table: pydantic models that say where their records come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pydantic import BaseModel, ConfigDict

from stream_ml.language.agree import check_types
from stream_ml.language.expr import Column
from stream_ml.language.keywords import check_names
from stream_ml.language.places import (
    UnknownAttribute,
    asked_by_pydantic,
    attribute_place,
    here,
    joined,
    keyword_place,
    nearest,
    refuse,
    shown,
)
from stream_ml.language.spans import parse_ms
from stream_ml.language.specs import EventSpec, LabelSpec, TableSpec, spec_of

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_EVENT = {
    "topic": 'Say where its records come from: topic="payments"',
    "key": 'Say whose events they are: key="card", a tuple of fields, or key=None for nobody\'s',
    "time": 'Name the field that dates an event: time="at"',
    "lateness": 'Say how long to wait for events out of order: lateness="30s" ("0s" where they come in order)',
}
_LABEL = {
    "of": "Say what events it answers: of=Payment",
    "topic": 'Say where its records come from: topic="chargebacks"',
    "wait": 'Say how long an event waits for its label: wait="7d"',
}
_TABLE = {
    "topic": 'Say where its rows come from: topic="merchants"',
    "key": 'Say what a row is found by: key="merchant", or a tuple of fields',
}
_KEYWORDS = {
    "Event": (*_EVENT, "id", "ahead"),
    "Label": (*_LABEL, "on", "time", "delay", "silence"),
    "Table": (*_TABLE, "time"),
}

if TYPE_CHECKING:

    class _Model(BaseModel): ...

else:

    class _Meta(type(BaseModel)):
        """Gives a class its fields as columns: `Payment.amount`."""

        def __getattr__(cls, name):
            if name.startswith("_") or asked_by_pydantic(1):
                return super().__getattr__(name)
            fields = cls.__pydantic_fields__
            if name in fields and spec_of(cls) is not None:
                return Column(cls, name)
            near = nearest(name, fields)
            cure = f"Did you mean {cls.__name__}.{near}?" if near else f"It has {joined(fields)}"
            cause = f"{cls.__name__} has no column {name!r}"
            raise UnknownAttribute(cause, cure)

    class _Model(BaseModel, metaclass=_Meta):
        model_config = ConfigDict(extra="ignore", protected_namespaces=(), allow_inf_nan=False)


def check_fields(cls: type[BaseModel], names: Iterable[str]) -> None:
    """Refuse fields that hide a method of pydantic's, so that they could not be columns."""
    for name in names:
        if hasattr(BaseModel, name):
            refuse(
                f"{cls.__name__}.{name} hides a method that every pydantic model has",
                f'Name it {name}_ and keep its name in the data: {name}_: ... = Field(alias="{name}")',
                attribute_place(here(), name),
            )


class _Reader:
    """Reads the class keywords of one declaration, refusing with the line of the keyword."""

    def __init__(self, cls: type[BaseModel], base: str, given: Mapping[str, Any], needed: Mapping[str, str]) -> None:
        self.cls, self.name, self.given = cls, cls.__name__, given
        self.place = here()
        for word in given:
            check_names(f"{base} {self.name}", (word,), _KEYWORDS[base], keyword_place(self.place, word))
        for word, cure in needed.items():
            if word not in given:
                refuse(f"{base} {self.name} has no {word}=", cure, self.place)
        check_fields(cls, cls.model_fields)

    def refuse(self, word: str, cause: str, cure: str) -> NoReturn:
        """Refuse at the line of a keyword."""
        refuse(f"{self.name}: {cause}", cure, keyword_place(self.place, word))

    def topic(self) -> str:
        """Return the topic, which a broker can carry."""
        topic = self.given["topic"]
        if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
            self.refuse("topic", f"topic={topic!r} is no topic", "Use letters, digits, dot, _ and -")
        return topic

    def field(self, word: str, cls: type[BaseModel] | None = None) -> str | None:
        """Return a keyword that names one field, or None."""
        name = self.given.get(word)
        if name is not None:
            self._known(word, name, cls or self.cls)
        return name

    def fields(self, word: str, cls: type[BaseModel] | None = None) -> tuple[str, ...]:
        """Return a keyword that names a field or several."""
        value = self.given[word]
        names = value if isinstance(value, tuple) else (value,)
        for name in names:
            self._known(word, name, cls or self.cls)
        if len(set(names)) < len(names):
            self.refuse(word, f"{word}={value!r} names a field twice", "Name each once")
        return names

    def _known(self, word: str, name: object, cls: type[BaseModel]) -> None:
        if isinstance(name, str) and name in cls.model_fields:
            return
        near = nearest(name, cls.model_fields)
        cure = f"Did you mean {near!r}?" if near else f"Its fields are {joined(cls.model_fields)}"
        self.refuse(word, f"{word}={name!r} is no field of {cls.__name__}", cure)

    def span(self, word: str, default: str) -> int:
        """Return a span of time in milliseconds."""
        return parse_ms(self.given.get(word, default), f"{self.name}: {word}=", keyword_place(self.place, word))


class Event(_Model):
    """What happens, one record each: a pydantic model whose fields are the columns.

    Class keywords
    --------------
    topic
        Where its records come from.
    key
        The field or fields that say whose event it is; None for nobody's.
    time
        The datetime field that dates it.
    lateness
        How long events out of order are waited for, as `"30s"`.
    id
        The field that names an event; without it its place in the log does, and labels need `on=`.
    ahead
        How far in the future of its arrival its time may lie, default `"1h"`.

    Examples
    --------
    >>> from datetime import datetime
    >>> from stream_ml import Event
    >>> class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="30s"):
    ...     payment: str
    ...     card: str
    ...     amount: float
    ...     at: datetime
    >>> Payment.amount > 500
    Payment.amount > 500
    """

    __stream__: ClassVar[EventSpec]

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            topic: str,
            key: str | tuple[str, ...] | None,
            time: str,
            lateness: str,
            id: str | None = None,
            ahead: str = "1h",
        ) -> None: ...

    else:

        def __init_subclass__(cls, **given):
            """Take the keywords; they are read when the fields are known."""
            check_fields(cls, vars(cls).get("__annotations__", ()))

        @classmethod
        def __pydantic_init_subclass__(cls, **given):
            """Read the keywords."""
            reader = _Reader(cls, "Event", given, _EVENT)
            cls.__stream__ = EventSpec(
                topic=reader.topic(),
                id=reader.field("id"),
                key=() if given["key"] is None else reader.fields("key"),
                time=reader.fields("time")[0],
                lateness_ms=reader.span("lateness", "0s"),
                ahead_ms=reader.span("ahead", "1h"),
                place=reader.place,
            )
            check_types(cls)


class Table(_Model):
    """Rows that change slowly and are looked up by their key: `fn.lookup(Merchant.risk, Payment.shop)`.

    Class keywords
    --------------
    topic
        Where its rows come from.
    key
        The field or fields a row is found by; the newest arrival wins.
    time
        The datetime field that dates a row in history; without it the table is constant from the start.
    """

    __stream__: ClassVar[TableSpec]

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, topic: str, key: str | tuple[str, ...], time: str | None = None) -> None: ...

    else:

        def __init_subclass__(cls, **given):
            """Take the keywords; they are read when the fields are known."""
            check_fields(cls, vars(cls).get("__annotations__", ()))

        @classmethod
        def __pydantic_init_subclass__(cls, **given):
            """Read the keywords."""
            reader = _Reader(cls, "Table", given, _TABLE)
            if given["key"] in (None, ()):
                reader.refuse("key", "a table needs a key", _TABLE["key"])
            cls.__stream__ = TableSpec(reader.topic(), reader.fields("key"), reader.field("time"), reader.place)
            check_types(cls)


class Label(_Model):
    """The truth about an event, known later.

    Class keywords
    --------------
    of
        The Event class it answers.
    topic
        Where its records come from; may be the event's own.
    wait
        How long an event waits for its label, as `"7d"`.
    on
        By default a label is matched by the event's id. `on="order"` answers all waiting events with that value
        that came before it; `on=()` all that wait.
    time
        The datetime field that dates it in history; live, its received time counts.
    delay
        It is known that long after its record came.
    silence
        The record that silence stands for, as `{"fraud": False}`; without it unanswered events give no example.
    """

    __stream__: ClassVar[LabelSpec]

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            of: type[Event],
            topic: str,
            wait: str,
            on: str | tuple[str, ...] | None = None,
            time: str | None = None,
            delay: str = "0s",
            silence: Mapping[str, object] | None = None,
        ) -> None: ...

    else:

        def __init_subclass__(cls, **given):
            """Take the keywords; they are read when the fields are known."""
            check_fields(cls, vars(cls).get("__annotations__", ()))

        @classmethod
        def __pydantic_init_subclass__(cls, **given):
            """Read the keywords."""
            reader = _Reader(cls, "Label", given, _LABEL)
            of = given["of"]
            if not (isinstance(of, type) and issubclass(of, Event) and isinstance(spec_of(of), EventSpec)):
                reader.refuse("of", f"of={shown(of)} is no Event class", "Name the Event class it answers")
            cls.__stream__ = LabelSpec(
                of=of,
                topic=reader.topic(),
                wait_ms=reader.span("wait", "0s"),
                on=_match(reader, of),
                time=reader.field("time"),
                delay_ms=reader.span("delay", "0s"),
                silence=_silence(reader),
                place=reader.place,
            )
            check_types(cls)


def _match(reader: _Reader, of: type[Event]) -> tuple[str, ...] | None:
    """Return what a label is matched on, having checked that label and event both have it."""
    event = of.__stream__
    on: tuple[str, ...] | None = None
    if reader.given.get("on") is not None:
        on = reader.fields("on", of)
        reader.fields("on")
    elif event.id is None:
        reader.refuse(
            "of", f"{of.__name__} has no id=", "Give it one, or match on=: a field, or on=() for all that wait"
        )
    needed = dict.fromkeys(event.key, "key")
    if on is None and event.id is not None:
        needed[event.id] = "id"
    for name, part in needed.items():
        if name not in reader.cls.model_fields:
            kind = of.model_fields[name].annotation
            refuse(
                f"{reader.name} has no field {name!r}, the {part} of {of.__name__}",
                f"Add `{name}: {getattr(kind, '__name__', kind)}`: it says whose label it is",
                reader.place,
            )
    return on


def _silence(reader: _Reader) -> Mapping[str, Any] | None:
    """Return the record of silence, its fields checked by the class itself."""
    given = reader.given.get("silence")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        reader.refuse("silence", f"silence={shown(given)} is no record", 'Write it as silence={"fraud": False}')
    for name in given:
        reader._known("silence", name, reader.cls)  # noqa: SLF001
    return MappingProxyType(dict(given))
