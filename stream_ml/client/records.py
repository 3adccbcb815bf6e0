"""What producers give and consumers get, whichever log it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel

from stream_ml.errors import UsageError

Start = Literal["start", "end"] | int
Value = dict[str, Any] | BaseModel | bytes | str

CHUNK = 2_000  # records that are stored, or acknowledged, together
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a log.

    Parameters
    ----------
    row
        Its place: the row number in a file, the offset in its partition on Kafka.
    topic
        Its topic.
    received
        When the log took it, epoch ms UTC.
    key
        Its key, if it has one.
    value
        Its bytes, as they were produced; none at all (a deletion on Kafka) is `b""`.
    partition
        Its partition, 0 in a file.
    """

    row: int
    topic: str
    received: int
    key: str | None
    value: bytes
    partition: int = 0

    def json(self) -> Any:
        """Parse the value; where it is no JSON, give the bytes themselves."""
        try:
            return orjson.loads(self.value)
        except orjson.JSONDecodeError:
            return self.value


class Place(NamedTuple):
    """Where on Kafka a record is."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"


def require_start(start: Start) -> None:
    """Refuse a start that is none.

    Raises
    ------
    UsageError
        If it is neither `"start"`, `"end"` nor a number.
    """
    if isinstance(start, str) and start not in {"start", "end"}:
        msg = f"start={start!r} is not known"
        raise UsageError(msg, 'Write "start", "end" or a row number')


def chunk_of(source: Iterator[Value]) -> list[Value]:
    """Take the next records that are stored together; fewer where raw records are large."""
    chunk: list[Value] = []
    size = 0
    for record in islice(source, CHUNK):
        chunk.append(record)
        size += len(record) if isinstance(record, bytes | str) else 0
        if size >= CHUNK_BYTES:
            break
    return chunk


def json_of(record: Value) -> bytes:
    """Return bytes and texts as they are, anything else as JSON; TypeError where that cannot be."""
    if isinstance(record, bytes):
        return record
    if isinstance(record, str):
        return record.encode()
    if isinstance(record, BaseModel):
        return record.model_dump_json(by_alias=True).encode()
    return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)


def encoded(record: Value) -> bytes:
    """Return a record as the bytes that a log holds.

    Raises
    ------
    UsageError
        If it cannot be written as JSON.
    """
    try:
        return json_of(record)
    except TypeError as error:
        msg = f"The record {record!r} cannot be written as JSON: {error}"
        raise UsageError(msg) from error


def field_of(record: Value, name: str) -> Any:
    """Return a field of a record, None where it has none of that name."""
    if isinstance(record, BaseModel):
        return getattr(record, name, None)
    if isinstance(record, dict):
        return record.get(name)
    try:
        parsed = orjson.loads(record)
    except orjson.JSONDecodeError:
        return None
    return parsed.get(name) if isinstance(parsed, dict) else None
