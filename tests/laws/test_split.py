"""How records are cut into turns and batches is invisible (law 2), and so is what else a process has seen (law 1)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_ml.schema.symbols import Symbols
from stream_ml.testing import Driver
from tests.laws.stories import (
    LAW,
    LAWS,
    USERS,
    assert_same_outputs,
    capacity,
    cut,
    differences,
    log_of,
    pipeline,
    randomly,
    sent,
    singly,
    state,
    told,
    whole,
)
from tests.streams import streams


def assert_same(a: Driver, b: Driver) -> None:
    assert_same_outputs(a, b)
    assert differences(state(a, turns=False), state(b, turns=False)) == []


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", LAW)
def test_cuts_are_invisible(name: str, seed: int) -> None:
    log = log_of(name, seed)
    a = told(pipeline(name), whole(log))
    b = told(pipeline(name), singly(log) if seed % 2 else randomly(log, seed))
    assert_same(a, b)


@pytest.mark.parametrize("name", USERS)
def test_cuts_are_invisible_to_users(name: str) -> None:
    log = log_of(name, 6, 200)
    a = told(pipeline(name), whole(log))
    b = told(pipeline(name), randomly(log, 6, 0.1))
    assert_same(a, b)


@pytest.mark.parametrize("rows", [8, 64])
@pytest.mark.parametrize("name", [*LAW, "cards", "flights", "bids"])
def test_the_size_of_batches_is_invisible(name: str, rows: int) -> None:
    log = log_of(name, 4)
    a = told(pipeline(name), whole(log))
    with capacity(rows):
        b = told(pipeline(name), whole(log))
    assert_same(a, b)


@pytest.mark.parametrize("name", LAW)
@given(data=st.data())
@LAWS
def test_any_cut_is_invisible(name: str, data: st.DataObject) -> None:
    log = sent(data.draw(streams(pipeline(name), 30)))
    a = told(pipeline(name), whole(log))
    b = told(pipeline(name), cut(log, lambda: data.draw(st.booleans())))
    assert_same(a, b)


@pytest.mark.parametrize("name", [*LAW, *USERS])
def test_forgetting_symbols_is_invisible(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols that nothing holds are forgotten after every turn, and their codes given to other texts."""
    log = log_of(name, 8)
    a = told(pipeline(name), randomly(log, 8))
    monkeypatch.setattr(Symbols, "due", lambda _: True)
    b = told(pipeline(name), randomly(log, 8))
    assert_same(a, b)


@pytest.mark.parametrize("name", ["silent", "watched", "cards"])
def test_no_clock_is_read_and_nothing_is_left_to_chance(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(name, 9)
    a = told(pipeline(name), whole(log))

    def forbidden(*_: object) -> NoReturn:
        message = "the core asked for the time or for a random number"
        raise AssertionError(message)

    asked: list[tuple[object, Callable[..., object]]] = [
        (time, time.time), (time, time.time_ns), (time, time.monotonic), (time, time.perf_counter),
        (random, random.random), (random, random.randint),
    ]  # fmt: skip
    b = Driver(pipeline(name))
    with monkeypatch.context() as patch:
        for module, function in asked:
            patch.setattr(module, function.__name__, forbidden)
        for step in whole(log):
            b.send_all(step.records)
            if step.tick is not None:
                b.tick(step.tick)
    assert_same(a, b)
