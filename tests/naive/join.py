"""Events that wait, labels that come early, late, twice or never: lists and dicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .decode import Record
from .scopes import Tables
from .windows import Value

#: Order of deadlines that are due at the same moment.
DELAYED, TIME_OUT, EXPIRY = 0, 1, 2


@dataclass
class Waiting:
    """An event that was accepted, while its id counts as taken.

    Parameters
    ----------
    id
        As written out; a place in the log where the event has none.
    row
        Index into the predictions.
    open
        Whether its label may still join.
    tables
        The look-up tables as they were when it came.
    """

    id: Any
    event: Record
    received: int
    arrival: int
    row: int
    asked: bool
    open: bool
    tables: Tables


@dataclass(frozen=True)
class LabelRecord:
    """A label as it came."""

    record: Record
    received: int
    arrival: int
    topic: str
    offset: int


@dataclass(frozen=True, order=True)
class Deadline:
    """What happens when time passes a moment.

    A delayed label is known at its moment: it fires before a record received then or later. A time-out and an expiry
    leave their moment to a record that is received exactly then: they fire before a later one.
    """

    moment: int
    rank: int
    arrival: int
    what: Waiting | LabelRecord = field(compare=False)


@dataclass
class Join:
    """The events within the horizon, held labels, and deadlines.

    Parameters
    ----------
    horizon
        For how long an id is taken, ms: the label's wait, or the lateness where there is no label.
    """

    horizon: int
    taken: dict[Any, Waiting] = field(default_factory=dict)
    held: dict[Any, LabelRecord] = field(default_factory=dict)
    deadlines: list[Deadline] = field(default_factory=list)

    def find(self, name: Any, now: int) -> Waiting | None:
        """Return the event of an id, unless its horizon has passed."""
        found = self.taken.get(name)
        return found if found is not None and now <= found.received + self.horizon else None

    def open_with(self, names: tuple[str, ...], values: tuple[Value, ...], before: int) -> list[Waiting]:
        """Return the events that wait, came before arrival number `before` and have these values, oldest first."""
        found = [
            event
            for event in self.taken.values()
            if event.open and event.arrival < before and event.event.values(names) == values
        ]
        return sorted(found, key=lambda event: event.arrival)

    def due(self, now: int) -> Deadline | None:
        """Take out and return the first deadline that a record received `now` passes."""
        passed = [d for d in self.deadlines if d.moment < now or (d.moment == now and d.rank == DELAYED)]
        first = min(passed, default=None)
        if first is not None:
            self.deadlines.remove(first)
        return first
