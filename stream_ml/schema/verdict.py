"""pydantic's verdict on one record, and how it is told: a reason, a path, one line."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from stream_ml.errors import Reason
from stream_ml.kernels.stamps import DAY_MS, FIRST_MS, LAST_MS
from stream_ml.schema.fields import EXACT, Field, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

EPOCH = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
MILLISECOND = timedelta(milliseconds=1)
SHOWN = 40
BEYOND = "{} is beyond ±2^53, where integers are not exact"


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that was refused.

    Parameters
    ----------
    index
        Its place in the batch.
    reason
        Why, as a code.
    path
        Where in the record: ``$.amount``, or ``$`` for all of it.
    message
        One line for a person.
    """

    index: int
    reason: Reason
    path: str
    message: str


class _Refused(Exception):
    """Carries the verdict out of the checks."""

    def __init__(self, reason: Reason, path: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.path, self.message = reason, path, message


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks pydantic about one record at a time.

    Parameters
    ----------
    model
        The class.
    fields
        Its fields as read.
    keys
        Fields that must not be null.
    limit
        Most bytes that a record may have.
    """

    model: type[BaseModel]
    fields: dict[str, Field]
    keys: Sequence[str]
    limit: int

    def judge(self, index: int, value: bytes) -> dict[str, Any] | Bad:
        """Return the record's values as columns hold them (float, epoch ms for times, str, None), or the refusal."""
        try:
            return self._values(value)
        except _Refused as refused:
            return Bad(index, refused.reason, refused.path, refused.message)

    def _values(self, value: bytes) -> dict[str, Any]:
        if not value or value.isspace():
            raise _Refused(Reason.EMPTY, "$", "the record is empty")
        if len(value) > self.limit:
            raise _Refused(Reason.SIZE, "$", f"{len(value):,} bytes; at most {self.limit:,} are read")
        try:
            record = self.model.__pydantic_validator__.validate_json(value)
        except ValidationError as error:
            raise self._verdict(value, error) from None
        except Exception as error:  # a validator of the user's, which may raise anything
            said = _short(str(error))
            raise _Refused(Reason.CONSTRAINT, "$", f"a validator raised {type(error).__name__}: {said}") from error
        found = {name: self._column(field, getattr(record, name, None)) for name, field in self.fields.items()}
        if any(type(one) is float and abs(one) >= EXACT for one in found.values()):
            self._exact(value)
        for name in self.keys:
            if found[name] is None:
                path = f"$.{self.fields[name].alias or name}"
                raise _Refused(Reason.NULL_KEY, path, "a key must not be null")
        return found

    def _column(self, field: Field, value: Any) -> Any:
        """Return a value as its column holds it."""
        kind = type(value)
        if value is None or field.kind is Kind.OTHER or (kind is str and field.kind is Kind.TEXT):
            return value
        if kind is float and field.kind is Kind.FLOAT and math.isfinite(value):
            return value
        if isinstance(value, Enum):
            return self._column(field, value.value)
        path = f"$.{field.alias or field.name}"
        if field.kind is Kind.TEXT:
            return str(value)
        if field.kind is Kind.TIME and isinstance(value, datetime):
            ms = epoch_ms(value)
            if not FIRST_MS <= ms <= LAST_MS:
                raise _Refused(Reason.TIME, path, f"{value.isoformat()} lies outside the years 1 to 9999 in UTC")
            return ms
        if field.kind is Kind.TIME or not isinstance(value, (int, float)):
            message = f"the class made {_short(repr(value))} of it, which is no {field.kind.value}"
            raise _Refused(Reason.TYPE, path, message)
        if isinstance(value, int) and abs(value) > EXACT:
            raise _Refused(Reason.NUMBER, path, BEYOND.format(_short(str(value))))
        if not math.isfinite(value):
            raise _Refused(Reason.NUMBER, path, f"{value} is not a finite number")
        return float(value)

    def _exact(self, value: bytes) -> None:
        """Refuse integers beyond ±2^53 that were read into a float."""
        raw = json.loads(value)
        for field in self.fields.values():
            given = raw.get(field.alias)
            if field.kind is Kind.FLOAT and type(given) is int and abs(given) > EXACT:
                raise _Refused(Reason.NUMBER, f"$.{field.alias}", BEYOND.format(_short(str(given))))

    def _verdict(self, value: bytes, error: ValidationError) -> _Refused:
        found = error.errors(include_url=False, include_context=True)
        first = found[0]
        kind = first["type"]
        if kind == "json_invalid":
            return _Refused(Reason.JSON, "$", _json_message(value, str(first["ctx"]["error"])))
        if kind in ("model_type", "model_attributes_type") and not first["loc"]:
            return _Refused(Reason.JSON, "$", f"expected an object, got {_told(first['input'])}")
        path = _path(first["loc"], value)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        null_keys = {f"$.{self.fields[name].alias or name}" for name in self.keys}
        if first["input"] is None and path in null_keys and kind != "missing":
            return _Refused(Reason.NULL_KEY, path, "a key must not be null" + more)
        reason = _reason(kind, first["input"])
        return _Refused(reason, path, _message(reason, kind, first) + more)


def epoch_ms(moment: datetime) -> float:
    """Return a time as epoch milliseconds, parts of one floored; without a zone it is UTC.

    Examples
    --------
    >>> epoch_ms(datetime(1970, 1, 1, 0, 0, 1, 1999, tzinfo=UTC))
    1001.0
    """
    day_ms = (moment.hour * 3600 + moment.minute * 60 + moment.second) * 1000 + moment.microsecond // 1000
    offset = moment.utcoffset()
    offset_ms = 0 if offset is None else offset // MILLISECOND
    return float((moment.toordinal() - EPOCH) * DAY_MS + day_ms - offset_ms)


_KINDS = {"float": "a number", "int": "an integer", "bool": "true or false", "string": "text", "datetime": "a time"}
_CONSTRAINTS = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be ≥ {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be ≤ {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
}
_OTHER_CONSTRAINTS = {"value_error", "assertion_error", "extra_forbidden", "too_short", "too_long", "timezone_aware"}


def _beyond(value: object) -> bool:
    """Return whether a value is a number that no declared field may hold."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return type(value) is int and abs(value) > EXACT


def _reason(kind: str, given: object) -> Reason:
    if kind == "missing":
        return Reason.MISSING
    if kind == "finite_number" or _beyond(given):
        return Reason.NUMBER
    if kind in _CONSTRAINTS or kind in _OTHER_CONSTRAINTS:
        return Reason.CONSTRAINT
    if kind.startswith(("datetime_", "timezone_", "date_", "time_")) and not kind.endswith("_type"):
        return Reason.TIME
    return Reason.TYPE


def _message(reason: Reason, kind: str, first: Any) -> str:
    """Say it in one line; pydantic's own words for what is not ours."""
    given, context = first["input"], first.get("ctx", {})
    if reason is Reason.MISSING:
        return "the field is missing"
    if reason is Reason.NUMBER:
        return BEYOND.format(_short(str(given))) if type(given) is int else f"{_told(given)} is not a finite number"
    if kind in _CONSTRAINTS:
        bounds = {key: int(one) if isinstance(one, float) and one.is_integer() else one for key, one in context.items()}
        return f"{_CONSTRAINTS[kind].format_map(bounds)}, got {_told(given)}"
    if reason is Reason.TIME:
        why = str(context.get("error", "out of range"))
        return f"{_told(given)} is not a time: {why}"
    expected = _KINDS.get(kind.split("_", maxsplit=1)[0])
    if expected is not None:
        return f"expected {expected}, got {_told(given)}"
    return _short(str(first["msg"]), 160)


def _told(value: object) -> str:
    """Return a value as JSON, short."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, (str, int, float, bool)) or value is None:
        return _short(json.dumps(value, ensure_ascii=False))
    return _short(repr(value))


def _short(text: str, size: int = SHOWN) -> str:
    line = " ".join(text.split())
    return line if len(line) <= size else line[: size - 1] + "…"


def _path(place: tuple[int | str, ...], value: bytes) -> str:
    """Return pydantic's location as a path; what pydantic adds to name a branch of a union is not in the record."""
    path, here = "$", json.loads(value)
    for part in place:
        if isinstance(part, int) and isinstance(here, list):
            path, here = f"{path}[{part}]", here[part] if part < len(here) else None
        elif isinstance(part, str) and isinstance(here, dict):
            path, here = f"{path}.{part}", here.get(part)
        else:
            break
    return path


def _json_message(value: bytes, said: str) -> str:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start}"
    return f"not valid JSON: {said}"
