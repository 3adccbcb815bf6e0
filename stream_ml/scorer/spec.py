"""What the scorer is made from: streams, features, what is saved with an event, what its outcome is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream_ml.features.spec import OUTCOMES, FeatureSpec


@dataclass(frozen=True, slots=True)
class Field:
    """A value in a register with a name and a kind ("float", "int", "bool", "text", "category", "time")."""

    name: str
    register: int
    kind: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that is read: its class, topic and the fields that are needed of it.

    Parameters
    ----------
    number
        Stream number (features.spec): OWN, OUTCOMES for the label, others.
    role
        "event", "label", "other" or "table".
    columns
        (field, register, text) of each needed field.
    present
        Fields that must not be null.
    id, time
        Fields, None where there are none.
    """

    number: int
    role: str
    model: type[Any]
    topic: str
    columns: tuple[tuple[str, int, bool], ...]
    present: tuple[str, ...]
    id: str | None
    time: str | None
    lateness_ms: int = 0
    ahead_ms: int = 0


@dataclass(frozen=True, slots=True)
class Join:
    """How labels meet events.

    Parameters
    ----------
    on
        Fields matched, None for the event's id.
    silence
        Label columns that silence stands for, in the order of the label stream's columns; None where there is none.
    same_topic
        Whether one record is an event and a label.
    budget
        How many bytes of events may wait.
    """

    wait_ms: int
    delay_ms: int
    on: tuple[str, ...] | None
    silence: tuple[float | str | None, ...] | None
    same_topic: bool
    budget: int


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """Everything the scorer needs.

    Parameters
    ----------
    served, slices, carry, keys
        Features as served, slice columns, carried columns, the event's key.
    target, weight, when
        Registers at outcome rows (target, weight) and event rows (when); -1 for none.
    saved
        Registers saved with each event once features are computed: features, slices, keys.
    width
        Columns of a slot: kept registers, saved registers, then the scorer's own.
    first_saved
        Column of the first saved register.
    slot_texts
        Columns of a slot that hold symbol codes.
    """

    streams: tuple[Stream, ...]
    features: FeatureSpec
    join: Join | None
    served: tuple[Field, ...]
    slices: tuple[Field, ...]
    carry: tuple[Field, ...]
    keys: tuple[Field, ...]
    id: Field | None
    target: Field | None
    weight: int
    when: int
    saved: tuple[int, ...]
    first_saved: int
    slot_texts: tuple[int, ...]

    @property
    def label_texts(self) -> tuple[int, ...]:
        """The columns of a waiting label's values that hold symbol codes."""
        columns = next((stream.columns for stream in self.streams if stream.number == OUTCOMES), ())
        return tuple(j for j, (_, _, text) in enumerate(columns) if text)
