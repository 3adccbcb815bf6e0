"""What the class keywords of a declaration come to: frozen, comparable, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_ml.errors import Place


@dataclass(frozen=True, slots=True)
class EventSpec:
    """An event stream.

    `key=()` means no key; `id=None` that an event's id is its place in the log.
    """

    topic: str
    id: str | None
    key: tuple[str, ...]
    time: str
    lateness_ms: int
    ahead_ms: int
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """A label stream of an event stream.

    `on=None` matches by the event's id, `on=()` answers all events that wait.
    """

    of: type[Any]
    topic: str
    wait_ms: int
    on: tuple[str, ...] | None
    time: str | None
    delay_ms: int
    silence: Mapping[str, Any] | None = field(hash=False)
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A slowly changing table: the newest arrival of a key wins."""

    topic: str
    key: tuple[str, ...]
    time: str | None
    place: Place | None = field(default=None, compare=False)


Spec = EventSpec | LabelSpec | TableSpec


def spec_of(cls: type[Any]) -> Spec | None:
    """Return the spec of a declared class, None for any other class."""
    spec = vars(cls).get("__stream__")
    return spec if isinstance(spec, Spec) else None
