"""Power loss: whatever part of the writes reached the disk, the file holds a prefix of the run, never a hole.

While a worker runs, its file and write-ahead log are copied after each commit and the checkpoint that may follow it.
From two neighbours comes what a disk may hold when the power went in between: the log torn at a random byte of the
next commit's frames; sectors of it written here and there; pages of a checkpoint written here and there. The log is
synced before a checkpoint writes its pages, so of a log that pages were taken from nothing is missing. The
shared-memory index (-shm) is lost each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stream_ml.client import connect
from stream_ml.client.database import PAGE_BYTES, Access, open_database
from stream_ml.config.settings import Settings
from stream_ml.engines.local import store as store_module
from stream_ml.engines.local.worker import End, Worker
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.testing.canonical import records
from tests.laws.stories import differences
from tests.local.never_stopped import Story, assert_same, keep_journal, kept_entries, never_stopped, written
from tests.local.test_worker import FILE, answer, order

ORDERS = 240
SETTINGS = Settings(batch=16, snapshot_seconds=1e-6)  # a snapshot at every chance: most commits belong to one
WAL_BYTES = 20 * PAGE_BYTES  # many checkpoints, and a log that begins anew several times
SECTOR = 512


@dataclass(frozen=True)
class Disk:
    """What the disk holds: the database and its write-ahead log."""

    database: bytes
    wal: bytes

    def lay(self, path: Path) -> None:
        path.write_bytes(self.database)
        Path(f"{path}-wal").write_bytes(self.wal)
        Path(f"{path}-shm").unlink(missing_ok=True)


@dataclass(frozen=True)
class Whole:
    """The run that lost nothing: the disk after each commit, and what its journal tells."""

    pipeline: Pipeline
    disks: tuple[Disk, ...]
    story: Story
    inputs: list[Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    path = tmp_path_factory.mktemp("power") / "orders.db"
    keep_journal(path)
    with connect(f"sqlite:///{path}") as client:
        for start in range(0, ORDERS, 10):
            client.produce("orders", [order(n) for n in range(start, start + 10)])
            client.produce("returns", [answer(n) for n in range(start, start + 10) if n % 5])
        client.produce("orders", [b"no json"])
    pipeline, disks = load(FILE), list[Disk]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "WAL_BYTES", WAL_BYTES)
        with Worker(pipeline, path, SETTINGS) as worker:
            copier = _Copier(worker, path, disks)
            assert worker.run(until_end=True) is End.READ
            copier.copy()
    story = never_stopped(pipeline, path)
    assert_same(written(path, pipeline.name), story.out)
    return Whole(pipeline, tuple(disks), story, inputs(path))


class _Copier:
    """Copies the disk before the first statement after each commit, and before and after each checkpoint."""

    def __init__(self, worker: Worker, path: Path, disks: list[Disk]) -> None:
        self._path, self._disks = path, disks
        self._before = ""
        worker.store.connection.exec_trace = self._statement
        self._after_commit = worker.store.after_commit
        worker.store.after_commit = self._checkpoint  # type: ignore[method-assign]

    def copy(self) -> None:
        disk = Disk(self._path.read_bytes(), Path(f"{self._path}-wal").read_bytes())
        if not self._disks or disk != self._disks[-1]:
            self._disks.append(disk)

    def _statement(self, _cursor: Any, statement: str, _bindings: Any) -> bool:
        if self._before == "COMMIT":
            self.copy()
        self._before = statement
        return True

    def _checkpoint(self) -> None:
        self.copy()
        self._after_commit()
        self.copy()


# --- what may be on the disk when the power goes between two copies ---------------------------------------------------


def nothing_lost(_before: Disk, after: Disk, _chance: random.Random) -> Disk:
    return after


def torn(before: Disk, after: Disk, chance: random.Random) -> Disk:
    """The next commit's frames up to a random byte, and behind it what the log held before, or the file's end."""
    at = chance.randrange(_first_difference(before.wal, after.wal), len(after.wal) + 1)
    rest = before.wal[at:] if chance.random() < 0.5 else b""
    return Disk(before.database, after.wal[:at] + rest)


def scattered(before: Disk, after: Disk, chance: random.Random) -> Disk:
    """Some sectors of the next commit's frames, in no order; zeros or the older bytes where none was written."""
    wal, share = bytearray(after.wal), chance.random()
    for start in range(_first_difference(before.wal, after.wal) // SECTOR * SECTOR, len(wal), SECTOR):
        if chance.random() < share:
            end = min(start + SECTOR, len(wal))
            wal[start:end] = before.wal[start:end].ljust(end - start, b"\0")
    return Disk(before.database, bytes(wal))


def half_checkpointed(before: Disk, after: Disk, chance: random.Random) -> Disk:
    """The whole log, and some of the pages that a checkpoint copied from it; the log is dropped only afterwards."""
    pages = bytearray(after.database)
    for start in range(0, len(before.database), PAGE_BYTES):
        if chance.random() < 0.5:
            pages[start : start + PAGE_BYTES] = before.database[start : start + PAGE_BYTES]
    return Disk(bytes(pages), before.wal)


Loss = Callable[[Disk, Disk, random.Random], Disk]
IN_A_COMMIT: tuple[Loss, ...] = (nothing_lost, torn, torn, scattered)
IN_A_CHECKPOINT: tuple[Loss, ...] = (nothing_lost, half_checkpointed)


def _first_difference(before: bytes, after: bytes) -> int:
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if before[:middle] == after[:middle] else (low, middle - 1)
    return low


def states(whole: Whole, seed: int) -> Iterator[tuple[str, Disk]]:
    """Yield every loss of every pair of neighbours."""
    chance = random.Random(seed)
    for at, (before, after) in enumerate(zip(whole.disks, whole.disks[1:], strict=False)):
        for loss in IN_A_COMMIT if before.database == after.database else IN_A_CHECKPOINT:
            yield f"{loss.__name__} {at}", loss(before, after, chance)


# --- tests ------------------------------------------------------------------------------------------------------------


def test_the_copies_are_worth_it(whole: Whole) -> None:
    """Checkpoints, logs that begin anew, snapshots: each happened many times."""
    pairs = list(zip(whole.disks, whole.disks[1:], strict=False))
    assert len(whole.disks) > 50
    assert sum(before.database != after.database for before, after in pairs) > 5
    assert sum(before.wal[:32] != after.wal[:32] for before, after in pairs) > 3
    assert whole.story.turns > 20


def test_a_prefix_and_never_a_hole(whole: Whole, tmp_path: Path) -> None:
    lost: set[int] = set()
    for what, disk in states(whole, 1):
        path = tmp_path / "lost.db"
        disk.lay(path)
        lost.add(whole.story.turns - assert_prefix(whole, path, what))
    assert len(lost) > whole.story.turns / 2  # the power went in nearly every turn


@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_recovery_goes_on_to_the_same_outputs(
    whole: Whole, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    found = list(states(whole, seed))
    everything = request.node.get_closest_marker("slow") is not None
    some = found if everything else random.Random(seed).sample(found, 24)
    for what, disk in some:
        path = tmp_path / "lost.db"
        disk.lay(path)
        assert_prefix(whole, path, what)
        disk.lay(path)
        with Worker(whole.pipeline, path, SETTINGS) as worker:
            worker.run(until_end=True)
            session = worker.session
        assert session.differences == 0, what
        assert inputs(path) == whole.inputs, what
        assert_same(written(path, whole.pipeline.name), whole.story.out)
        ours, theirs = records(session), records(whole.story.session)
        for state in (ours, theirs):
            del state["positions"]  # how far it has looked, past its own outputs
        assert differences(ours, theirs) == [], what


def test_the_check_sees_a_hole(whole: Whole, tmp_path: Path) -> None:
    path = tmp_path / "hole.db"
    whole.disks[-1].lay(path)
    connection = open_database(path, Access.WRITE)
    connection.execute("DELETE FROM log WHERE row = (SELECT max(row) - 7 FROM log)")
    connection.close()
    with pytest.raises(AssertionError):
        assert_prefix(whole, path, "hole")


def assert_prefix(whole: Whole, path: Path, what: str) -> int:
    """Require that a file is sound and holds the outputs of the first turns, whole; give how many turns."""
    connection = open_database(path, Access.WRITE)
    assert connection.execute("PRAGMA integrity_check").get == "ok", what
    turns = len(kept_entries(connection))
    connection.close()
    ours = written(path, whole.pipeline.name)
    assert {topic: len(values) for topic, values in ours.items()} == whole.story.after[turns], what
    for topic, values in ours.items():
        assert values == whole.story.out[topic][: len(values)], f"{what}: {topic}"
    assert inputs(path) == whole.inputs, what
    return turns


def inputs(path: Path) -> list[Any]:
    """Read what producers appended; all of it was there before the worker began."""
    connection = open_database(path, Access.READ)
    rows = connection.execute(
        "SELECT row, topic, received, value FROM log WHERE topic IN ('orders', 'returns') ORDER BY row"
    ).fetchall()
    connection.close()
    return list(rows)
