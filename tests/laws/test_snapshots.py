"""A snapshot is of the moment at which it was begun, whatever turns do while it is packed (laws 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_ml.errors import UsageError
from stream_ml.features import machine
from stream_ml.kernels.keys import CHANGED, DUE
from stream_ml.schema.symbols import Symbols
from stream_ml.sessions import parts
from stream_ml.sessions.codec import Seal, restore
from stream_ml.sessions.session import Session, read_manifest
from stream_ml.testing import Driver
from stream_ml.testing.canonical import records
from tests.laws.stories import (
    LAW,
    LAWS,
    USERS,
    Step,
    assert_same_outputs,
    capacity,
    cut,
    differences,
    feed,
    log_of,
    pipeline,
    randomly,
    sent,
    state,
    told,
)
from tests.streams import streams

Below = Callable[[int], int]
#: Bytes of rows in a blob: a row or a few each, some, all at once.
SLICES = (1, 300, 5_000, 1 << 20)


class Gathering:
    """A snapshot under way, and the state at the moment of its beginning."""

    def __init__(self, driver: Driver, slice_bytes: int) -> None:
        self.driver = driver
        self.before = state(driver)
        self.blobs = driver.session.unsealed(slice_bytes)
        self.packed: list[Seal] = []
        self.taken: list[bytes] = []

    def take(self, n: int) -> bool:
        """Pack up to `n` blobs, sealed turns later than packed; return whether the snapshot is complete, and kept."""
        self.seal()
        self.packed = list(islice(self.blobs, n))
        if len(self.packed) == n:
            return False
        self.seal()
        self.keep()
        return True

    def seal(self) -> None:
        self.taken += [seal() for seal in self.packed]

    def keep(self) -> None:
        *fresh, manifest = self.taken
        memory = self.driver.memory
        memory.manifest = manifest
        memory.blobs = [*memory.blobs, *fresh][-len(read_manifest(manifest).checks) :]

    def wrong(self) -> list[str]:
        """List where what the snapshot holds differs from the state at its beginning."""
        memory = self.driver.memory
        assert memory.manifest is not None
        session = Session.restore(self.driver.pipeline, memory.manifest, memory.blobs, features=True)
        return differences(self.before, records(session))


@contextmanager
def hurried(rows: int) -> Iterator[None]:
    """Let all that goes on in the background go on in every turn: symbols are swept, keys forgotten, rings widened."""
    with pytest.MonkeyPatch.context() as patch, capacity(rows):
        patch.setattr(Symbols, "due", lambda _: True)
        patch.setattr(machine, "SWEEP", 40)
        patch.setattr(parts, "_WINDOW", 7)
        yield


def assert_snapshots_are_of_their_beginning(name: str, steps: Iterable[Step], below: Below) -> int:
    """Keep snapshots all along, crash now and then; returns how many were complete."""
    steps = list(steps)
    complete, gathering = 0, None
    with hurried(8 << below(3)):
        never = told(pipeline(name), steps)
        driver = Driver(pipeline(name))
        for step in steps:
            feed(driver, step)
            if gathering is None:
                gathering = Gathering(driver, SLICES[below(len(SLICES))]) if below(3) else None
            elif gathering.take(below(4)):
                complete += 1
                assert gathering.wrong() == []
                gathering = None
            if below(12) == 11:
                live, gathering = state(driver), None
                driver.stop_and_recover(crash=True)
                assert differences(live, state(driver)) == []
                assert driver.session.differences == 0
    assert_same_outputs(never, driver)
    assert differences(state(never), state(driver)) == []
    return complete


@pytest.mark.parametrize("name", [*LAW, *(name for name in USERS if name != "pump")])
def test_a_snapshot_is_of_its_beginning(name: str) -> None:
    steps = randomly(log_of(name, 21), 21)
    assert assert_snapshots_are_of_their_beginning(name, steps, Random(name).randrange) > 0


@pytest.mark.parametrize("name", LAW)
@given(data=st.data())
@LAWS
def test_any_snapshot_is_of_its_beginning(name: str, data: st.DataObject) -> None:
    log = sent(data.draw(streams(pipeline(name), 40)))
    steps = cut(log, lambda: data.draw(st.booleans()))
    assert_snapshots_are_of_their_beginning(name, steps, lambda n: data.draw(st.integers(0, n - 1)))


@pytest.mark.parametrize("name", ["silent", "watched"])
def test_what_changes_meanwhile_is_in_the_next_snapshot(name: str) -> None:
    driver = Driver(pipeline(name))
    steps = iter(randomly(log_of(name, 22), 22))
    for _ in range(3):
        for step in [*zip(range(12), steps, strict=False)]:
            feed(driver, step[1])
        gathering = Gathering(driver, 200)
        while not gathering.take(1):
            feed(driver, next(steps))
        assert gathering.wrong() == []


@pytest.mark.parametrize("name", ["silent", "answered", "exact"])
def test_a_blob_holds_a_slice(name: str) -> None:
    driver = Driver(pipeline(name))
    for step in randomly(log_of(name, 24, 600), 24):
        feed(driver, step)
    whole = sum(map(held, list(driver.session.segment())[:-1]))
    driver.stop_and_recover(crash=True)
    sizes = [held(blob) for blob in list(driver.session.segment(4_000))[:-1]]
    assert max(sizes) < 12_000
    assert len(sizes) > whole / 16_000


def held(blob: bytes) -> int:
    """Return the bytes of rows in a blob."""
    part = restore(blob, "a blob")
    rows = part["part"] in {"space", "table", "ring"}
    return sum(one.nbytes for one in part.values() if isinstance(one, np.ndarray)) if rows else 0


def test_a_snapshot_begins_when_the_one_before_is_complete() -> None:
    driver = Driver(pipeline("tiles"))
    feed(driver, randomly(log_of("tiles", 23), 23)[0])
    blobs = driver.session.segment()
    with pytest.raises(UsageError, match="a snapshot is under way"):
        driver.session.segment()
    assert read_manifest(list(blobs)[-1]).entry == 1
    assert read_manifest(list(driver.session.segment())[-1]).entry == 1


# --- a row that changes while it is due, and that nobody copies -------------------------------------------------------


def forget_keys(session: Session) -> None:
    for space in session.scorer.features.spaces:
        space._copy = None


def forget_tables(session: Session) -> None:
    for table in session.scorer.features.tables:
        table._copy = None


def forget_events(session: Session) -> None:
    session.scorer.store.copy = None


def drop_due_keys(session: Session) -> None:
    """Let keys be forgotten though they are due, as if the clock hand did not look."""
    for space in session.scorer.features.spaces:
        _forgets_due(space)


def _forgets_due(space: Any) -> None:
    forget = space.forget

    def forgets(steps: int, marks: Any) -> None:
        rows = int(space._counts[0])
        due = space._marks[:rows] & DUE
        space._marks[:rows] &= CHANGED
        forget(steps, marks)
        space._marks[:rows] |= due * space._used[:rows]

    space.forget = forgets


@pytest.mark.parametrize(
    ("name", "plant", "where"),
    [
        ("tiles", forget_keys, ".keys"),
        ("exact", forget_keys, ".keys"),
        ("points", forget_keys, ".keys"),
        ("answered", forget_tables, ".tables"),
        ("answered", forget_events, ".ring"),
        ("silent", forget_events, ".ring"),
        ("delayed", forget_events, ".ring"),
        ("tiles", drop_due_keys, ".keys"),
    ],
)
def test_a_row_that_is_not_copied_is_found(name: str, plant: Callable[[Session], None], where: str) -> None:
    found: list[str] = []
    with hurried(16):
        for seed in range(5):
            driver = Driver(pipeline(name))
            steps = randomly(log_of(name, seed), seed, 0.1)
            for step in steps[: len(steps) // 2]:
                feed(driver, step)
            gathering = Gathering(driver, 1)
            plant(driver.session)
            for step in steps[len(steps) // 2 :]:
                feed(driver, step)
            while not gathering.take(1):
                pass
            found += gathering.wrong()
    assert found
    assert all(one.startswith(where) for one in found)
