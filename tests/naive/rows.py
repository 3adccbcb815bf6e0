"""What the twin answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream_ml.language.kinds import Kind, kind

from .windows import Value

Served = float | int | bool | str


@dataclass(frozen=True)
class Row:
    """An event and its answer, also where `when=` did not ask for one.

    Parameters
    ----------
    id
        As written out; "topic/0/offset" where the event has none.
    key
        None, the key's value, or a list of values.
    features
        As served: missing ones are absent.
    carry, slices
        Values in the order declared; None is missing.
    """

    id: Any
    key: Any
    at: int
    received: int
    late: bool
    features: dict[str, Served]
    asked: bool
    place: str
    carry: tuple[Served | None, ...]
    slices: tuple[Served | None, ...]


@dataclass(frozen=True)
class Example:
    """What the learner is given.

    Parameters
    ----------
    row
        Index of its event in `predictions`.
    after
        How many predictions had been made when it was written.
    learned
        Whether the model sees it: its weight is not missing.
    """

    id: Any
    known: int
    fate: str
    target: Served | None
    weight: float | None
    features: dict[str, Served]
    received: int
    row: int
    after: int
    learned: bool


@dataclass(frozen=True)
class DeadLetter:
    """A record that was refused: which, as what (event, label, table, other), why, where in it, and the moment."""

    topic: str
    offset: int
    role: str
    reason: str
    path: str
    received: int


def serve(expr: Any, x: Value) -> Served | None:
    """Return a value as the model sees it: the Python type is fixed by the expression's kind."""
    if x is None:
        return None
    what = kind(expr)
    if isinstance(x, str):
        return x
    if what is Kind.INT:
        return int(x)
    if what is Kind.BOOL:
        return bool(x)
    return str(int(x)) if what is Kind.CATEGORY else x
