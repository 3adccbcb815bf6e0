"""What a pipeline reads and how its label is joined: the streams of its classes, and what silence stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stream_ml.features.spec import OTHERS, OUTCOMES, OWN
from stream_ml.language.specs import EventSpec, spec_of
from stream_ml.scorer.spec import Join, Stream

#: The columns that are read of a class: (field, register, whether it is text).
Columns = Callable[[type[Any]], tuple[tuple[str, int, bool], ...]]


def streams_of(
    event: type[Any],
    label: type[Any] | None,
    others: Sequence[type[Any]],
    tables: Sequence[type[Any]],
    columns: Columns,
) -> tuple[Stream, ...]:
    """Return the streams of a pipeline: its events, its labels, other events, tables."""
    own: EventSpec = spec_of(event)  # type: ignore[assignment]
    ids = (own.id,) if own.id else ()
    found = [
        Stream(
            OWN, "event", event, own.topic, columns(event), (*ids, *own.key), own.id, own.time, own.lateness_ms,
            own.ahead_ms,
        )
    ]  # fmt: skip
    if label is not None:
        answer: Any = spec_of(label)
        by = ids if answer.on is None else answer.on
        keys = tuple(name for name in own.key if name in label.model_fields)
        present = tuple(dict.fromkeys((*by, *keys)))
        found.append(Stream(OUTCOMES, "label", label, answer.topic, columns(label), present, None, None))
    for i, cls in enumerate(others):
        other: EventSpec = spec_of(cls)  # type: ignore[assignment]
        present = (*((other.id,) if other.id else ()), *other.key)
        found.append(
            Stream(
                OTHERS + i, "other", cls, other.topic, columns(cls), present, other.id, other.time, other.lateness_ms,
                other.ahead_ms,
            )
        )  # fmt: skip
    for i, cls in enumerate(tables, len(others)):
        table: Any = spec_of(cls)
        found.append(Stream(OTHERS + i, "table", cls, table.topic, columns(cls), table.key, None, None))
    return tuple(found)


def join_of(event: type[Any], label: type[Any] | None, columns: Columns, pending_bytes: int) -> Join | None:
    """Return how labels find their events, None where there is no label."""
    if label is None:
        return None
    declared: Any = spec_of(label)
    silence = None
    if declared.silence is not None:
        silence = tuple(_silent(label, name, declared.silence) for name, _, _ in columns(label))
    of: Any = spec_of(event)
    return Join(declared.wait_ms, declared.delay_ms, declared.on, silence, declared.topic == of.topic, pending_bytes)


def _silent(label: type[Any], name: str, silence: Any) -> float | str | None:
    """Return what a label column is when silence stands for the label."""
    field = label.model_fields[name]
    if name in silence:
        value = silence[name]
    else:
        value = None if field.is_required() else field.get_default(call_default_factory=True)
    value = getattr(value, "value", value)
    return value if value is None or isinstance(value, str) else float(value)
