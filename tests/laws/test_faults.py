"""What is stored and no longer true is refused, with what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stream_ml.errors import CorruptError, UsageError
from stream_ml.language.loader import load
from stream_ml.sessions.session import Session
from stream_ml.testing import Driver
from stream_ml.testing.memory import Memory
from tests.laws.stories import TESTS, differences, feed, log_of, pipeline, randomly, state

NAME = "silent"
BACKUP = "An older snapshot is tried; if none passes, restore the file from a backup"
RESTORE = "Restore the source, or start anew with an empty state"


def stopped(name: str = NAME, *, snapshot: bool = True) -> Driver:
    """Return a driver with a snapshot of its middle and journal entries behind it."""
    driver = Driver(pipeline(name))
    steps = randomly(log_of(name, 21, 120), 21)
    for number, step in enumerate(steps):
        feed(driver, step)
        if snapshot and number in {len(steps) // 3, len(steps) // 2}:
            driver.snapshot()
    return driver


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def later_value(memory: Memory) -> None:
    memory.rows[-1] = replace(memory.rows[-1], value=memory.rows[-1].value + b" ")


def later_time(memory: Memory) -> None:
    memory.rows[-1] = replace(memory.rows[-1], received=memory.rows[-1].received + 1)


def shorter(memory: Memory) -> None:
    del memory.rows[-1]


def one_gone(memory: Memory) -> None:
    del memory.rows[-2]


@pytest.mark.parametrize("spoil", [later_value, later_time, shorter, one_gone])
def test_a_source_that_no_longer_holds_what_was_fed_is_refused(spoil: Callable[[Memory], None]) -> None:
    driver = stopped()
    spoil(driver.memory)
    with pytest.raises(CorruptError, match=r"log no longer holds what was fed: records \d+ to \d+ differ") as caught:
        driver.stop_and_recover(crash=True)
    assert caught.value.cure == RESTORE


def test_what_the_snapshot_holds_is_not_asked_of_the_source_again() -> None:
    driver = stopped()
    driver.snapshot()
    live = state(driver)
    driver.memory.rows[0] = replace(driver.memory.rows[0], value=b"{}")
    driver.stop_and_recover(crash=True)
    assert differences(live, state(driver)) == []


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_blob_is_refused(share: float) -> None:
    driver = stopped()
    blobs = driver.memory.blobs
    for number, blob in enumerate(blobs):
        driver.memory.blobs = [*blobs[:number], flipped(blob, int(share * len(blob))), *blobs[number + 1 :]]
        with pytest.raises(CorruptError) as caught:
            driver.stop_and_recover(crash=True)
        assert str(caught.value) == f"segment {number + 1} of the snapshot is not the one that was written. {BACKUP}"


def test_a_missing_blob_is_refused() -> None:
    driver = stopped()
    n = len(driver.memory.blobs)
    driver.memory.blobs.pop()
    with pytest.raises(CorruptError) as caught:
        driver.stop_and_recover(crash=True)
    assert str(caught.value) == f"the snapshot needs {n} segments, and {n - 1} are there. {BACKUP}"


@pytest.mark.parametrize("at", [0, 5, -1])
def test_a_damaged_manifest_is_refused(at: int) -> None:
    driver = stopped()
    assert driver.memory.manifest is not None
    driver.memory.manifest = flipped(driver.memory.manifest, at % len(driver.memory.manifest))
    with pytest.raises(CorruptError) as caught:
        driver.stop_and_recover(crash=True)
    assert str(caught.value) == f"a manifest does not pass its checksum. {BACKUP}"


@pytest.mark.parametrize("entry", [b"", b"short", None])
def test_a_damaged_journal_entry_is_refused(entry: bytes | None) -> None:
    driver = stopped()
    driver.memory.entries[-1] = flipped(driver.memory.entries[-1], 3) if entry is None else entry
    with pytest.raises(CorruptError) as caught:
        driver.stop_and_recover(crash=True)
    cure = "Restore the file from a backup, or start anew with another file"
    assert str(caught.value) == f"a journal entry does not pass its checksum. {cure}"


def test_a_gap_in_the_journal_is_refused() -> None:
    driver = stopped()
    n = len(driver.memory.entries)
    del driver.memory.entries[-2]
    with pytest.raises(CorruptError) as caught:
        driver.stop_and_recover(crash=True)
    missing = f"journal entry {n - 1} is missing: the next one is {n}"
    assert str(caught.value) == f"{missing}. Restore the file from a backup"


def test_a_changed_pipeline_is_refused(tmp_path: Path) -> None:
    source = (TESTS / "pipelines_law" / f"{NAME}.py").read_text()
    changed = tmp_path / f"{NAME}.py"
    changed.write_text(source.replace('over("1m", by=Payment.card)\n    risk', 'over("2m", by=Payment.card)\n    risk'))
    memory = stopped().memory
    assert memory.manifest is not None
    with pytest.raises(UsageError) as caught:
        Session.restore(load(changed), memory.manifest, memory.blobs)
    assert caught.value.cause == f"the declarations of {NAME!r} differ from those that made this state"


def test_the_same_declarations_elsewhere_are_not_a_changed_pipeline(tmp_path: Path) -> None:
    """Where the file lies, comments and blank lines change no answer."""
    source = (TESTS / "pipelines_law" / f"{NAME}.py").read_text()
    other = tmp_path / "other.py"
    other.write_text("# moved\n\n" + source)
    memory = stopped().memory
    assert memory.manifest is not None
    Session.restore(load(other), memory.manifest, memory.blobs)


def test_another_answer_in_recovery_is_counted_not_refused() -> None:
    """What was served stands in the outputs: a difference there is reported."""
    driver = stopped(snapshot=False)
    features = Session.recover(
        driver.pipeline, None, (), driver.memory.entries,
        lambda fed: driver.memory.run(fed.first, fed.end, fed.cap), features=False,
    )  # fmt: skip
    assert features.differences > 0
    assert features.number == driver.session.number
