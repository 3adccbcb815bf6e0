"""Journal, segments and manifests: one transaction a turn, what is kept and what is dropped, one worker a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_ml.config.settings import Durable
from stream_ml.engines.local.lock import WorkerLock, holder, lock_path
from stream_ml.engines.local.store import Commit, Generation, Output, Store
from stream_ml.errors import BusyError, CorruptError
from tests.local.processes import python


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "s.db", "fraud", Durable.FULL, 1_000)
    yield made
    made.close()


def turn(number: int, *values: bytes) -> Commit:
    return Commit([Output("fraud.predictions", values)] if values else [], number, b"entry %d" % number)


def generation(number: int, entry: int, first_segment: int) -> Generation:
    return Generation(number, entry, first_segment, 0, b"manifest")


def test_a_turn_is_outputs_and_entry(store: Store) -> None:
    assert store.commit(turn(1, b'{"id":"a"}', b'{"id":"b"}')) == range(1, 3)
    assert store.commit(turn(2)) is None
    assert store.commit(turn(3, b"{}")) == range(3, 4)
    assert store.journal_span() == range(1, 4)
    assert list(store.entries(1)) == [b"entry 2", b"entry 3"]


def test_a_turn_that_fails_leaves_nothing(store: Store) -> None:
    store.commit(turn(1, b'{"id":"a"}'))
    with pytest.raises(Exception, match="UNIQUE"):
        store.commit(turn(1, b'{"id":"b"}'))
    assert store.connection.execute("SELECT id FROM predictions").fetchall() == [("a",)]
    assert store.commit(turn(2, b'{"id":"c"}')) == range(2, 3)


def test_outputs_are_rows_that_sql_reads(store: Store) -> None:
    store.commit(
        Commit(
            [
                Output("fraud.predictions", [b'{"prediction_id":"p/0/1","id":"a","score":0.25,"version":["x",3]}']),
                Output("fraud.examples", [b'{"id":"a","fate":"label","target":true,"features":{"n":1}}']),
                Output("fraud.dead", [b'{"topic":"p","offset":7,"reason":"json","path":"$","message":"m","size":3}']),
                Output("fraud.alarms", [b'{"what":"drift","from":0.1,"to":0.4}']),
                Output("fraud.metrics", [b'{"name":"auc","window":"all","value":0.75,"n":1000}']),
            ],
            1,
            b"",
        )
    )
    query = store.connection.execute
    assert query("SELECT pipeline, id, score, version FROM predictions").get == ("fraud", "a", 0.25, '["x",3]')
    assert query("SELECT fate, target, features ->> '$.n' FROM examples").get == ("label", 1, 1)
    assert query('SELECT source, "offset", reason, path, message, size FROM dead_letters').get == (
        "p", 7, "json", "$", "m", 3,
    )  # fmt: skip
    assert query('SELECT what, "from", "to" FROM alarms').get == ("drift", 0.1, 0.4)
    assert query('SELECT name, "window", value, n FROM metrics').get == ("auc", "all", 0.75, 1000)


def test_tidy_keeps_two_generations_and_never_drops_the_last_entry(store: Store) -> None:
    for number in range(1, 1_301):
        store.commit(turn(number))
    for number in range(1, 7):
        store.keep_segments(number, [bytes(1_000)])
    store.publish(generation(1, 100, 1))
    list(store.tidy())
    assert store.journal_span() == range(101, 1_301)
    store.publish(generation(2, 1_200, 3))
    list(store.tidy())
    assert store.journal_span() == range(101, 1_301)
    assert store.segment(1) == bytes(1_000)
    store.publish(generation(3, 1_300, 5))
    assert sum(1 for _ in store.tidy()) > 4
    assert [kept.number for kept in store.generations()] == [3, 2]
    assert store.journal_span() == range(1_201, 1_301)
    with pytest.raises(CorruptError, match="Segment 2 of 'fraud' is missing"):
        store.segment(2)
    assert store.last_segment() == 6
    store.publish(generation(4, 1_300, 6))
    list(store.tidy())
    assert store.journal_span() == range(1_300, 1_301)


def test_a_hole_in_the_journal_is_refused(store: Store) -> None:
    for number in (1, 2, 4):
        store.commit(turn(number))
    with pytest.raises(CorruptError, match="has holes"):
        store.journal_span()


def test_pipelines_of_one_file_do_not_meet(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "s.db", "churn", Durable.FULL, 1_000)
    store.commit(turn(1))
    assert not other.journal_span()
    other.commit(turn(1))
    other.keep_segments(1, [b"other"])
    assert store.last_segment() == 0
    other.close()


def test_a_second_worker_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    script = """
import sys
from pathlib import Path
from stream_ml.engines.local.lock import WorkerLock
lock = WorkerLock(Path(sys.argv[1]), "fraud")
print("held", flush=True)
sys.stdin.readline()
"""
    other = python(script, str(path))
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert holder(path, "fraud") == other.pid
    with pytest.raises(BusyError) as refused:
        WorkerLock(path, "fraud")
    assert str(refused.value) == (
        f"Another worker (process {other.pid}) runs pipeline 'fraud' on {path}. "
        "Stop it first: one worker a pipeline and file"
    )
    WorkerLock(path, "churn").close()
    other.kill()
    other.communicate()
    assert other.returncode == -9
    assert holder(path, "fraud") is None
    lock = WorkerLock(path, "fraud")
    with pytest.raises(BusyError):
        WorkerLock(path, "fraud")
    lock.close()
    assert lock_path(path, "fraud").exists()
