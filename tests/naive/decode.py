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
#: pydantic's error type -> reason; what begins otherwise is a matter of type
CONSTRAINTS = (
    "greater_than",
    "less_than",
    "multiple_of",
    "string_too",
    "string_pattern",
    "literal_error",
    "enum",
    "value_error",
    "assertion_error",
    "too_",
)
TIMES = ("datetime_", "timezone_", "date_", "time_")


class Dead(Exception):
    """A record that is refused: why, and where in it."""

    def __init__(self, reason: str, path: str = "$") -> None:
        super().__init__(reason)
        self.reason, self.path = reason, path


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


def decode(cls: type[BaseModel], value: dict[str, Any] | bytes, present: tuple[str, ...]) -> Record:
    """Return the record as its class, or raise why not.

    pydantic's first error, in its JSON mode, decides; what it lets pass is refused where a declared field holds a whole
    number beyond 2^53 or one of `present` is null.
    """
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    reason = "empty"
    if not text.strip():
        raise Dead(reason)
    try:
        model = cls.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = [str(part) for part in first["loc"][:1]]
        raise Dead(reason_of(cls, first, present), ".".join(["$", *field])) from None
    raw = {name: getattr(model, name) for name in cls.model_fields}
    given = json.loads(text)
    aliases = {name: field.alias or name for name, field in cls.model_fields.items()}
    reason = "number"
    for name, alias in aliases.items():
        if not (countable(raw[name]) and countable(given.get(alias))):
            raise Dead(reason, f"$.{alias}")
    reason = "null_key"
    for name in present:
        if raw[name] is None:
            raise Dead(reason, f"$.{aliases[name]}")
    return Record(cls, raw)


def reason_of(cls: type[BaseModel], error: Any, present: tuple[str, ...]) -> str:
    """Return the reason code for one of pydantic's errors."""
    kind, at, given = error["type"], error["loc"], error["input"]
    if kind == "json_invalid" or not at:
        return "json"
    if kind == "missing":
        return "missing"
    if given is None and at[0] in {cls.model_fields[name].alias or name for name in present}:
        return "null_key"
    if kind == "finite_number" or not countable(given):
        return "number"
    if kind.startswith(CONSTRAINTS):
        return "constraint"
    return "time" if kind.startswith(TIMES) and not kind.endswith("_type") else "type"


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
