"""From a record to plain values: pydantic's verdict, and what the engine refuses besides."""

from __future__ import annotations

import json
import math
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, ValidationError

from .expr import epoch_ms, plain
from .windows import Value

WHOLE = 1 << 53
#: pydantic's error type begins with -> reason
REASONS = (
    ("missing", "missing"),
    ("json", "json"),
    ("datetime", "time"),
    ("date", "time"),
    ("timezone", "time"),
    ("finite", "number"),
    ("greater", "constraint"),
    ("less", "constraint"),
    ("multiple", "constraint"),
    ("string_too", "constraint"),
    ("string_pattern", "constraint"),
    ("value_error", "constraint"),
    ("assertion_error", "constraint"),
)


class Dead(Exception):
    """A record that is refused, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Record:
    """A decoded record: raw values as the user's class holds them, and values of the language."""

    def __init__(self, cls: type[BaseModel], raw: dict[str, Any]) -> None:
        self.cls = cls
        self.raw = raw

    def value(self, name: str) -> Value:
        return plain(self.raw.get(name))

    def time(self, name: str) -> int:
        t = self.raw[name]
        if not isinstance(t, datetime):
            message = f"{self.cls.__name__}.{name} is no time"
            raise TypeError(message)
        return epoch_ms(t)

    def name(self, field: str) -> Any:
        """Return an id as it is written out: text, or a whole number."""
        x = self.raw[field]
        return x.value if isinstance(x, Enum) else x

    def values(self, names: tuple[str, ...]) -> tuple[Value, ...]:
        return tuple(self.value(name) for name in names)


def parse(value: dict[str, Any] | bytes) -> dict[str, Any]:
    """Return the object in a record; bytes that hold none are refused."""
    if isinstance(value, dict):
        return value
    if not value.strip():
        reason = "empty"
        raise Dead(reason)
    try:
        found = json.loads(value)
    except ValueError:
        reason = "json"
        raise Dead(reason) from None
    if not isinstance(found, dict):
        reason = "type"
        raise Dead(reason)
    return found


def decode(cls: type[BaseModel], value: dict[str, Any] | bytes, present: tuple[str, ...]) -> Record:
    """Return the record as its class, or raise why not.

    Refused in this order: a null in a field that must be present; a number that is not finite or a whole number beyond
    2^53 in any declared field; what pydantic refuses (in its JSON mode, the first error counts).
    """
    given = parse(value)
    named = {name: field.alias or name for name, field in cls.model_fields.items()}
    if any(named[name] in given and given[named[name]] is None for name in present):
        reason = "null_key"
        raise Dead(reason)
    if any(not countable(given[alias]) for alias in named.values() if alias in given):
        reason = "number"
        raise Dead(reason)
    try:
        model = cls.model_validate_json(json.dumps(given))
    except ValidationError as error:
        kind = error.errors()[0]["type"]
        raise Dead(next((reason for start, reason in REASONS if kind.startswith(start)), "type")) from None
    raw = {name: getattr(model, name) for name in named}
    if any(raw[name] is None for name in present):
        reason = "null_key"
        raise Dead(reason)
    if not all(countable(x) for x in raw.values()):
        reason = "number"
        raise Dead(reason)
    return Record(cls, raw)


def countable(x: Any) -> bool:
    """Return whether x is anything but NaN, an infinity, or a whole number beyond 2^53."""
    if isinstance(x, float):
        return math.isfinite(x)
    return not isinstance(x, int) or abs(x) <= WHOLE


def silent(cls: type[BaseModel], silence: dict[str, Any], event: Record) -> Record:
    """Return the label record that silence stands for.

    What `silence` says; else the field's default; else, for a field that the event has too (its id, key, on), the
    event's value; else missing.
    """
    raw: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        if name in silence:
            raw[name] = silence[name]
        elif not field.is_required():
            raw[name] = field.get_default(call_default_factory=True)
        else:
            raw[name] = event.raw.get(name)
    return Record(cls, raw)
