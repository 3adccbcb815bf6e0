"""What owners of a task leave for the next one, and whom it counts as dead."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_ml.engines.attempts import Attempt, Kind, kills
from stream_ml.engines.kafka.careful import Careful, Owners
from stream_ml.engines.kafka.notes import RELEASED, SERVING, Left, read_left, write_attempt
from stream_ml.engines.kafka.recovery import Recovered
from stream_ml.errors import CorruptError, FormatError
from stream_ml.sessions.journal import DEADLINES

PLACE = "orders/0", 7


class Session:
    """As much of a session as is asked for here."""

    number = 3

    def __init__(self, at: int) -> None:
        self.positions = {"orders/0": at}

    def again(self, entry: Any, runs: Any) -> None:
        raise NotImplementedError


async def never(*_: Any, **__: Any) -> None:
    raise AssertionError


def begun(left: Left, at: int = 7, *, due: int | None = None, mine: bool = False, died: bool = True) -> Careful:
    careful = Careful(lambda: due, never)
    careful.begin(Session(at), left, {}, 100, mine=mine, died=died)
    return careful


def left(size: int = 1, deaths: int = 0, *, cleared: bool = False, kind: Kind = Kind.RECORDS) -> Left:
    place = PLACE if kind is Kind.RECORDS else (DEADLINES, 500)
    return Left(Attempt(place, kind, size, deaths, not cleared), "9/1")


@pytest.mark.parametrize("kind", Kind)
def test_notes_are_read_as_they_were_written(kind: Kind) -> None:
    attempt = Attempt(PLACE, kind, 250, 2, begun=True)
    assert read_left(write_attempt(attempt, "9/1"), (SERVING, b"9/0")) == Left(attempt, "9/1", served="9/0")
    assert read_left(None, (RELEASED, b"9/0")) == Left(released=True)
    assert read_left(None, None) == Left()


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(FormatError):
        read_left(msgspec.msgpack.encode([2, "something else"]), None)
    for raw in (b"", b"\xc1", msgspec.msgpack.encode(7), msgspec.msgpack.encode([1, 2])):
        with pytest.raises(CorruptError):
            read_left(raw, None)


def test_who_died() -> None:
    owners = Owners()
    owners.add("9/4")

    def died(wrote: str, left: Left, journal: int = 3) -> bool:
        return owners.died(Recovered(Session(0), None, -1, 0, journal, "", 0.0, left, wrote))

    assert died("9/6", Left())
    assert died("9/6", Left(served="9/7")), "somebody serves the task since it was let go"
    assert not died("9/6", Left(released=True))
    assert not died("9/4", Left()), "this process wrote last, and lives"
    assert not died("9/3", Left(served="9/4")), "it served, and had not written yet"
    assert not died("", Left(), -1), "nobody was there before"


def test_a_task_that_was_let_go_suspects_nothing() -> None:
    assert not begun(Left(), died=False).on
    assert begun(Left()).limit(4_000) == 4_000
    assert begun(left(250), at=8, died=False).told == "", "that turn was stored"


def test_turns_are_cut_where_one_came_to_nothing() -> None:
    assert [begun(left(size)).limit(4_000) for size in (4_000, 250, 100, 1)] == [63, 15, 1, 1]
    assert begun(left(250), died=False).limit(4_000) == 15, "whoever let go of it had not fed it either"
    assert begun(left(250, kind=Kind.DEADLINES), due=500).limit(4_000) == 1
    assert begun(left(250, kind=Kind.DEADLINES), due=501, died=False).told == "", "that deadline passed"


def test_only_deaths_of_a_record_alone_are_counted() -> None:
    told = "the next record has killed the worker"
    assert begun(left(1, 2)).told == f"{told} 3 times: it is skipped"
    assert begun(left(1, 2, cleared=True)).told == f"{told} 2 times: after 3 it is skipped"
    assert begun(left(1, 2), mine=True).told == f"{told} 2 times: after 3 it is skipped"
    assert told not in begun(left(1, 0, cleared=True)).told
    assert told not in begun(left(100, 0)).told
    assert kills(Attempt(PLACE, Kind.RECORDS, 1, 3, begun=True))
