"""Which record kills the worker: after a death, turns are cut smaller until a single record is known to do it.

In the normal way nothing is written. A worker that takes over from one that died writes down what it is about to feed
before each turn, until it is past the place of the death. A death in a turn that was written down makes the next
worker cut that turn smaller; at `DEATHS` deaths of one record fed alone, the record is skipped.

A deadline may kill as a record does, by what its outcome teaches, and no record is to blame for it. So before a record
is fed alone, deadlines that its time passes are let pass in ticks of their own, and these are cut smaller in the same
manner, down to one millisecond.

Where an attempt is kept is the engine's affair; what follows from it is decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEATHS: Final = 3
#: More records than a turn ever has, and more milliseconds.
ALL: Final = 1 << 62
_ALONE: Final = 100  # a turn of so many is cut to single ones at once


class Kind(StrEnum):
    """What a turn is made of."""

    RECORDS = "records"
    DEADLINES = "deadlines"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A turn as it was written down before it was begun.

    Parameters
    ----------
    place
        What is fed again if the turn comes to nothing: as the engine names it.
    size
        Records of it, or milliseconds whose deadlines pass.
    deaths
        How many workers died in it before; counted where its size is 1.
    begun
        False where nobody has died in it since.
    """

    place: tuple[str, int]
    kind: Kind
    size: int
    deaths: int
    begun: bool


class Attempts:
    """What is known of deaths at the place where a worker begins, and how large its turns may be.

    Order of calls: after recovery, so that deaths in recovery itself are never counted, `suspect` or `go_on` where the
    last worker died; while `careful`, `deadlines` to see what comes next, `write` before each turn and `fed` after one
    of records; `over` at the end.

    Attributes
    ----------
    records, left
        Of one turn at most; how many more are suspected.
    span_ms, until_ms
        Milliseconds whose deadlines pass in one tick at most; the moment up to which deadlines are suspected.
    """

    def __init__(self) -> None:
        self._last: Attempt | None = None
        self.careful = False
        self.records, self.left = ALL, 0
        self.span_ms, self.until_ms = ALL, 0

    @property
    def told(self) -> str:
        """What a person should know at the start, empty if it is nothing."""
        if not self.careful:
            return ""
        if self._last is None or not self._last.deaths:
            how = "writes its turns down" if self.records >= ALL else "goes on in smaller turns"
            return f"the last worker died: it {how} until it is past that place"
        times = "once" if self._last.deaths == 1 else f"{self._last.deaths} times"
        if self._last.kind is Kind.RECORDS:
            then = "it is skipped" if self._last.deaths >= DEATHS else f"after {DEATHS} it is skipped"
            return f"the next record has killed the worker {times}: {then}"
        then = "they are not taught" if self._last.deaths >= DEATHS else f"after {DEATHS} they are not taught"
        return f"the outcomes of the next deadline have killed the worker {times}: {then}"

    def suspect(self, left: int, records: int, until_ms: int) -> None:
        """Suspect the next records, so many in a turn, and deadlines until a moment: nothing was written down."""
        self.careful = True
        self.left, self.records, self.until_ms = left, records, until_ms

    def go_on(self, last: Attempt, due: int | None) -> None:
        """Suspect the turn that the last worker wrote down, and count its death.

        Parameters
        ----------
        due
            When the next deadline is due, epoch ms.
        """
        self.careful = True
        deaths = last.deaths + (last.begun and last.size == 1)
        self._last = Attempt(last.place, last.kind, last.size, deaths, begun=False)
        if last.kind is Kind.RECORDS:
            self.left, self.records = last.size, smaller(last.size)
        else:
            self.records = 1
            self.span_ms, self.until_ms = smaller(last.size), (due or 0) - 1 + last.size

    def deadlines(self, due: int | None, received: int | None) -> tuple[int, int] | None:
        """Tell which deadlines are to pass now, in a tick of their own.

        A record's deadlines pass before it where it is fed alone, so that it is not blamed for them.

        Parameters
        ----------
        due
            When the next one is due, epoch ms.
        received
            Of the next record, None where there is none.

        Returns
        -------
        tuple of int or None
            The moment until which, and how many milliseconds that are; None where it is the record's turn.
        """
        suspects = received is not None and self.left > 0
        until = self.until_ms if received is None else received if suspects else min(self.until_ms, received)
        if due is None or due > until or (suspects and self.records > 1):
            return None
        moment = min(until, due - 1 + self.span_ms)
        return moment, moment - due + 1

    def write(self, place: tuple[str, int], kind: Kind, size: int) -> Attempt:
        """Return what is to be written down of a turn before it is begun."""
        last, deaths = self._last, 0
        if last is not None and (last.place, last.kind, last.size) == (place, kind, size):
            deaths = last.deaths
        self._last = Attempt(place, kind, size, deaths, begun=True)
        return self._last

    def fed(self, records: int) -> None:
        """Suspect what was fed no longer."""
        self.left -= records

    def over(self) -> None:
        """Go on in the normal way."""
        self.careful = False


def kills(attempt: Attempt) -> bool:
    """Tell whether a turn is known to kill, so that it is to be skipped."""
    return attempt.deaths >= DEATHS


def smaller(size: int) -> int:
    """Give the size of turns that together make one of this size."""
    return math.isqrt(size) if size > _ALONE else 1
