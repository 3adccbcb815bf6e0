"""Stop anywhere, recover, go on: equal to never having stopped (law 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_ml.kernels import operations
from stream_ml.kernels.waiting import R_DIRTY
from stream_ml.sessions.session import Session
from stream_ml.testing import Driver
from stream_ml.testing.canonical import records
from tests.laws.stories import (
    LAW,
    LAWS,
    USERS,
    Step,
    assert_same_outputs,
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

#: What may happen after a turn.
NOTHING, SNAPSHOT, STOP, CRASH, SNAPSHOT_CRASH, CRASH_TWICE, OLDER = range(7)


def restored(driver: Driver) -> Session:
    """Return a session made from the newest snapshot alone."""
    memory = driver.memory
    assert memory.manifest is not None
    return Session.restore(driver.pipeline, memory.manifest, memory.blobs, features=True)


def assert_snapshot_holds_everything(driver: Driver) -> None:
    assert differences(state(driver), records(restored(driver))) == []


def happen(driver: Driver, what: int) -> None:
    """Let something happen between two turns; at every snapshot restored state is compared with live state."""
    live = state(driver)
    if what == OLDER and driver.memory.manifest is not None:
        before = driver.memory.manifest, driver.memory.blobs
        driver.snapshot()
        driver.memory.manifest, driver.memory.blobs = before
        driver.stop_and_recover(crash=True)
    elif what in {SNAPSHOT, SNAPSHOT_CRASH}:
        driver.snapshot()
        assert_snapshot_holds_everything(driver)
    if what == STOP:
        driver.stop_and_recover()
    if what in {CRASH, SNAPSHOT_CRASH, CRASH_TWICE}:
        driver.stop_and_recover(crash=True)
    if what == CRASH_TWICE:
        driver.stop_and_recover(crash=True)
    assert differences(live, state(driver)) == []
    assert driver.session.differences == 0


def assert_stops_are_invisible(name: str, steps: Iterable[Step], what: Callable[[], int]) -> None:
    steps = list(steps)
    never = told(pipeline(name), steps)
    driver = Driver(pipeline(name))
    for step in steps:
        feed(driver, step)
        happening = what()
        if happening != NOTHING:
            happen(driver, happening)
    assert_same_outputs(never, driver)
    assert differences(state(never), state(driver)) == []


@pytest.mark.parametrize("name", [*LAW, *(name for name in USERS if name != "pump")])
def test_stops_are_invisible(name: str) -> None:
    random = Random(name)
    log = log_of(name, 7, 150)
    choices = [NOTHING] * 30 + [SNAPSHOT, SNAPSHOT, STOP, CRASH, SNAPSHOT_CRASH, CRASH_TWICE, OLDER]
    assert_stops_are_invisible(name, randomly(log, 7), lambda: random.choice(choices))


@pytest.mark.slow
def test_stops_are_invisible_to_a_forest() -> None:
    random = Random(1)
    history = randomly(log_of("pump", 7, 60), 7)
    assert_stops_are_invisible("pump", history, lambda: random.choice([NOTHING, STOP, CRASH]))


@pytest.mark.parametrize("name", LAW)
@given(data=st.data())
@LAWS
def test_any_stop_is_invisible(name: str, data: st.DataObject) -> None:
    log = sent(data.draw(streams(pipeline(name), 25)))
    happenings = st.sampled_from([NOTHING] * 12 + list(range(1, OLDER + 1)))
    steps = cut(log, lambda: data.draw(st.booleans()))
    assert_stops_are_invisible(name, steps, lambda: data.draw(happenings))


@pytest.mark.slow
@pytest.mark.parametrize("name", LAW)
def test_a_stop_at_every_turn(name: str) -> None:
    assert_stops_are_invisible(name, randomly(log_of(name, 11, 120), 11), iter_of([STOP, SNAPSHOT_CRASH, CRASH]))


def iter_of(choices: list[int]) -> Callable[[], int]:
    turns = iter(range(1 << 30))
    return lambda: choices[next(turns) % len(choices)]


@pytest.mark.parametrize("name", LAW)
def test_a_stop_within_recovery(name: str) -> None:
    """What a recovery had done when it was stopped is thrown away; the next one begins from the same store."""
    steps = randomly(log_of(name, 12), 12)
    driver = Driver(pipeline(name))
    for number, step in enumerate(steps):
        feed(driver, step)
        if number == len(steps) // 2:
            driver.snapshot()
    live, memory = state(driver), driver.memory
    for share in (3, 2):
        stored = memory.entries[: len(memory.entries) - len(memory.entries) // (2 * share)]
        Session.recover(
            driver.pipeline, memory.manifest, memory.blobs, stored,
            lambda fed: memory.run(fed.first, fed.end, fed.cap), features=True,
        )  # fmt: skip
    driver.stop_and_recover(crash=True)
    assert differences(live, state(driver)) == []


@pytest.mark.parametrize("name", ["silent", "watched", "tiles"])
def test_turns_go_on_while_a_snapshot_is_packed(name: str) -> None:
    """What was gathered stays what it was; what changes meanwhile is in the next snapshot."""
    driver = Driver(pipeline(name))
    steps = randomly(log_of(name, 13), 13, 0.1)
    for step in steps[:10]:
        feed(driver, step)
    before = state(driver)
    blobs = driver.session.segment()
    for step in steps[10:]:
        feed(driver, step)
    *first, manifest = blobs
    session = Session.restore(driver.pipeline, manifest, first, features=True)
    assert differences(before, records(session)) == []
    *more, manifest = driver.session.segment()
    session = Session.restore(driver.pipeline, manifest, [*first, *more], features=True)
    assert differences(state(driver), records(session)) == []


@pytest.mark.slow
def test_a_new_base_is_written_when_the_changes_outgrow_the_old_one() -> None:
    driver = Driver(pipeline("silent"))
    fresh = []
    for step in randomly(log_of("silent", 14), 14):
        feed(driver, step)
        driver.snapshot()
        fresh.append(len(driver.memory.blobs))
        assert_snapshot_holds_everything(driver)
    assert any(later < earlier for earlier, later in pairwise(fresh))


# --- a change that nobody marked --------------------------------------------------------------------------------------


def unmark_a_key(driver: Driver) -> None:
    """Clean the mark of one changed row of a key space, as a kernel would leave it that forgot to mark."""
    for space in driver.session.scorer.features.spaces:
        changed = space.changed()
        if changed.size:
            space._marks[changed[0]] = 0
            return
    pytest.fail("no key changed")


def unmark_a_table_row(driver: Driver) -> None:
    for table in driver.session.scorer.features.tables:
        changed = table.changed()
        if changed.size:
            table._marks[changed[0]] = 0
            return
    pytest.fail("no row of a table changed")


def unmark_an_event(driver: Driver) -> None:
    store = driver.session.scorer.store
    seqs = range(int(store.scalars[operations.TAIL]), int(store.scalars[operations.HEAD]))
    row = max(seq & (store.ring.shape[0] - 1) for seq in seqs)
    assert store.ring[row, R_DIRTY] == 1
    store.ring[row, R_DIRTY] = 0


@pytest.mark.parametrize(
    ("name", "plant", "where"),
    [
        ("tiles", unmark_a_key, ".keys"),
        ("exact", unmark_a_key, ".keys"),
        ("points", unmark_a_key, ".keys"),
        ("answered", unmark_a_table_row, ".tables"),
        ("silent", unmark_an_event, ".ring"),
        ("delayed", unmark_an_event, ".ring"),
    ],
)
def test_a_change_that_is_not_marked_is_found(name: str, plant: Callable[[Driver], None], where: str) -> None:
    driver = Driver(pipeline(name))
    steps = randomly(log_of(name, 3), 3)
    for step in steps[:-60]:
        feed(driver, step)
    driver.snapshot()
    for step in steps[-60:]:
        feed(driver, step)
    plant(driver)
    driver.snapshot()
    found = differences(state(driver), records(restored(driver)))
    assert found
    assert all(one.startswith(where) for one in found)
