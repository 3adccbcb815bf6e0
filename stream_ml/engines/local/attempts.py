"""Which record kills the worker: after a death, turns are cut smaller until a single record is known to do it.

In the normal way nothing is written. A worker that starts after another one died writes down what it is about to feed
before each turn, until it is past the place of the death. A death in a turn that was written down makes the next
worker cut that turn smaller; at `DEATHS` deaths of one record fed alone, the record is skipped.

A deadline may kill as a record does, by what its outcome teaches, and no record is to blame for it. So before a record
is fed alone, deadlines that its time passes are let pass in ticks of their own, and these are cut smaller in the same
manner, down to one millisecond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stream_ml.client.database import failures, transaction
from stream_ml.engines.local.store import Store

DEATHS: Final = 3
_ALONE: Final = 100  # a turn of so many is cut to single ones at once
_ALL: Final = 1 << 62


class Kind(StrEnum):
    """What a turn is made of."""

    RECORDS = "records"
    DEADLINES = "deadlines"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A turn as it was written down before it was begun.

    Parameters
    ----------
    entry
        Number of the journal entry that it would make: its place.
    size
        Records of it, or milliseconds whose deadlines pass.
    deaths
        How many workers died in it before; counted where its size is 1.
    begun
        False where the last death in it is counted already.
    """

    entry: int
    kind: Kind
    size: int
    deaths: int
    begun: bool


class Attempts:
    """What is known of deaths at the place where a worker begins.

    Order of calls: `begin` once, after recovery; while `careful`, `write` before each turn; `over` at the end.

    Parameters
    ----------
    store
        The file.
    died
        Whether the last worker died.
    """

    def __init__(self, store: Store, *, died: bool) -> None:
        self._store = store
        self._died = died
        self._last: Attempt | None = None
        self.careful = False
        self.records, self.end = _ALL, 0
        self.span_ms, self.until_ms = _ALL, 0

    def begin(self, entry: int) -> Attempt | None:
        """Look at what the last worker wrote down of the entry that is to be made now; None if it is nothing.

        A death is counted here, after recovery, so that deaths in recovery itself never are.
        """
        last = self._read()
        if not self._died:
            if last is not None:
                self._forget()
            return None
        self.careful = True
        if last is None or last.entry != entry:
            return None
        deaths = last.deaths + (last.begun and last.size == 1)
        self._last = Attempt(entry, last.kind, last.size, deaths, begun=False)
        self._keep(self._last)
        return self._last

    @property
    def told(self) -> str:
        """What a person should know at the start, empty if it is nothing."""
        if not self.careful:
            return ""
        if self._last is None or self._last.size > 1:
            return "the last worker died: it goes on in smaller turns until it is past that place"
        times = "once" if self._last.deaths == 1 else f"{self._last.deaths} times"
        if self._last.kind is Kind.RECORDS:
            then = "it is skipped" if self._last.deaths >= DEATHS else f"after {DEATHS} it is skipped"
            return f"the next record has killed the worker {times}: {then}"
        then = "they are not taught" if self._last.deaths >= DEATHS else f"after {DEATHS} they are not taught"
        return f"the outcomes of the next deadline have killed the worker {times}: {then}"

    def suspect_all(self, records: int, end: int, until_ms: int) -> None:
        """Suspect so many records before row `end`, and deadlines until a moment: nothing was written down."""
        self.records, self.end = _smaller(records), end
        self.until_ms = until_ms

    def suspect_records(self, size: int, end: int) -> None:
        """Suspect the records of the turn that was begun, which end before row `end`."""
        self.records, self.end = _smaller(size), end

    def suspect_deadlines(self, size: int, due: int) -> None:
        """Suspect the deadlines of the tick that was begun, the first of which is due at a moment."""
        self.records = 1
        self.span_ms, self.until_ms = _smaller(size), due - 1 + size

    def write(self, entry: int, kind: Kind, size: int) -> bool:
        """Write down a turn before it is begun; true if it is known to kill, so that it is to be skipped."""
        last, deaths = self._last, 0
        if last is not None and (last.entry, last.kind, last.size) == (entry, kind, size):
            deaths = last.deaths
        self._last = Attempt(entry, kind, size, deaths, begun=True)
        self._keep(self._last)
        return deaths >= DEATHS

    def over(self) -> None:
        """Go on in the normal way."""
        self.careful = False
        self._forget()

    def _read(self) -> Attempt | None:
        with failures(self._store.path):
            row = self._store.connection.execute(
                "SELECT entry, kind, size, deaths, begun FROM attempts WHERE pipeline = ?", (self._store.pipeline,)
            ).get
        return None if row is None else Attempt(row[0], Kind(row[1]), row[2], row[3], bool(row[4]))

    def _keep(self, one: Attempt) -> None:
        with failures(self._store.path), transaction(self._store.connection):
            self._store.connection.execute(
                "INSERT OR REPLACE INTO attempts (pipeline, entry, kind, size, deaths, begun)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (self._store.pipeline, one.entry, one.kind.value, one.size, one.deaths, one.begun),
            )

    def _forget(self) -> None:
        with failures(self._store.path), transaction(self._store.connection):
            self._store.connection.execute("DELETE FROM attempts WHERE pipeline = ?", (self._store.pipeline,))


def _smaller(size: int) -> int:
    """Give the size of turns that together make one of this size."""
    return math.isqrt(size) if size > _ALONE else 1
