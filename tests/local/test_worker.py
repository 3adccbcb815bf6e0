"""The worker on real files: turns, ticks, snapshots, stops of every kind; the pipeline is `orders.py`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from threading import Thread
from typing import Any

import apsw
import pytest

from stream_ml.client import connect
from stream_ml.client.database import Access, open_database
from stream_ml.config.settings import Settings
from stream_ml.engines.local.recovery import position_of
from stream_ml.engines.local.worker import End, Worker
from stream_ml.engines.saved import save_state
from stream_ml.errors import BusyError, CorruptError, UsageError
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.session import Session

FILE = Path(__file__).with_name("orders.py")
VIEWS = ("predictions", "examples", "dead_letters", "alarms", "metrics")
SETTINGS = Settings()


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load(FILE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


def order(n: int) -> dict[str, Any]:
    at = f"2025-03-01T{n // 3_600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z"
    return {"order": f"o{n}", "customer": f"c{n % 7}", "price": 10.0 + n % 13, "at": at}


def answer(n: int) -> dict[str, Any]:
    return {"order": f"o{n}", "customer": f"c{n % 7}", "returned": n % 3 == 0}


def produce(path: Path, first: int, end: int) -> None:
    """Append orders, each tenth followed by the answers to the ten before it."""
    with connect(f"sqlite:///{path}") as client:
        for start in range(first, end, 10):
            client.produce("orders", [order(n) for n in range(start, min(end, start + 10))])
            client.produce("returns", [answer(n) for n in range(start, min(end, start + 10)) if n % 5])


def run(pipeline: Pipeline, path: Path, settings: Settings = SETTINGS, **options: Any) -> dict[str, Any]:
    with Worker(pipeline, path, settings, **options) as worker:
        assert worker.run(until_end=True) is End.READ
        return worker.status()


def written(path: Path, view: str) -> list[tuple[Any, ...]]:
    """Read what a view holds, without what depends on clocks and places."""
    connection = open_database(path, Access.READ)
    found = []
    for (text,) in connection.execute(f"SELECT json FROM {view} ORDER BY row").fetchall():
        record = json.loads(str(text))
        for name in ("received", "known", "prediction_id", "offset"):
            record.pop(name, None)
        if view in {"metrics", "alarms"}:
            record.pop("at")
        found.append(tuple(record.items()))
    connection.close()
    return found


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {view: written(path, view) for view in VIEWS}


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = open_database(path, Access.READ)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.fixture(scope="module")
def reference(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that never stopped: 600 orders in one turn."""
    path = tmp_path_factory.mktemp("reference") / "orders.db"
    produce(path, 0, 600)
    run(pipeline, path)
    return path


def copy_of(reference: Path, path: Path) -> Path:
    """Copy the records of the log, not what was made of them."""
    shutil.copy(reference, path)
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM log WHERE topic LIKE 'orders.%'")
    for table in ("journal", "segments", "manifest", "pipelines"):
        connection.execute(f"DELETE FROM {table}")
    connection.close()
    return path


def test_each_record_is_answered_once(reference: Path, path: Path, pipeline: Pipeline) -> None:
    copy_of(reference, path)
    begun = time.perf_counter()
    status = run(pipeline, path)
    assert sum(status["stages_s"].values()) < time.perf_counter() - begun
    assert status["stats"]["events"] == status["stats"]["predicted"] == 600
    assert len(written(path, "predictions")) == 600
    assert status["stages_s"].keys() == {"decode", "features", "model", "outputs", "journal"}
    again = run(pipeline, path)
    for name in set(status["stats"]) - {"state_bytes"}:
        assert again["stats"][name] == status["stats"][name], name
    assert everything(path) == everything(reference)


def test_how_turns_are_cut_is_invisible(reference: Path, path: Path, pipeline: Pipeline) -> None:
    copy_of(reference, path)
    run(pipeline, path, Settings(batch=7))
    assert everything(path) == everything(reference)


def test_a_stop_after_each_few_turns_is_invisible(reference: Path, path: Path, pipeline: Pipeline) -> None:
    copy_of(reference, path)
    stops = 0
    for batch in range(31, 50):
        left = [batch % 4]

        def watch(_session: Session, _turn: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] <= 0:
                worker.stop()

        with Worker(pipeline, path, Settings(batch=batch, snapshot_seconds=0.001), watcher=watch) as worker:
            stops += worker.run(until_end=True) is End.STOPPED
    assert stops > 10
    run(pipeline, path)
    assert everything(path) == everything(reference)


class _Killed(BaseException):
    """Ends a worker in the middle of what it does, as kill -9 would."""


def test_a_death_between_any_two_steps_of_a_snapshot_is_invisible(
    reference: Path, path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_of(reference, path)
    deaths = 0
    for death in range(14):
        steps = [death % 5 + 1]

        def step(worker: Worker, steps: list[int] = steps) -> None:
            original = type(worker.snapshots).step

            def dying(snapshots: Any) -> None:
                original(snapshots)
                steps[0] -= 1
                if steps[0] == 0:
                    raise _Killed

            monkeypatch.setattr(type(worker.snapshots), "step", dying)

        with monkeypatch.context():
            worker = Worker(pipeline, path, Settings(batch=40, snapshot_seconds=0.0005))
            before = type(worker.snapshots).step
            step(worker)
            try:
                worker.run(until_end=True)
            except _Killed:
                deaths += 1
            finally:
                monkeypatch.setattr(type(worker.snapshots), "step", before)
                worker.close()
    assert deaths > 8
    run(pipeline, path)
    assert everything(path) == everything(reference)


def test_outputs_while_producing(reference: Path, path: Path, pipeline: Pipeline) -> None:
    """Rows of outputs lie between rows that are still to be read."""
    produce(path, 0, 10)
    with Worker(pipeline, path, Settings(batch=13)) as worker:
        thread = Thread(target=produce, args=(path, 10, 600))
        thread.start()
        while thread.is_alive():
            worker.run(until_end=True)
        thread.join()
        worker.run(until_end=True)
    assert everything(path) == everything(reference)


def changed(folder: Path, old: str, new: str) -> Pipeline:
    """Load the pipeline with one change."""
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    other = folder / "changed.py"
    other.write_text(text.replace(old, new), encoding="utf-8")
    return load(other)


def test_silence_speaks_when_nothing_arrives(path: Path, tmp_path: Path) -> None:
    pipeline = changed(tmp_path, '"1h", silence', '"2s", silence')
    with connect(f"sqlite:///{path}") as client:
        client.produce("orders", [order(1)])
    fates = []

    def watch(session: Session, _turn: object) -> None:
        if session.stats["silence"]:
            fates.append(session.stats["silence"])
            worker.stop()

    with Worker(pipeline, path, Settings(), watcher=watch) as worker:
        assert worker.run() is End.STOPPED
    assert fates == [1]
    ((fate, known, received),) = rows(path, "SELECT fate, known, received FROM examples")
    assert fate == "silence"
    assert known - received == 2_000
    ((made,),) = rows(path, "SELECT written FROM examples")
    assert 0 < made - known < 5_000
    run(pipeline, path)
    assert len(rows(path, "SELECT 1 FROM examples")) == 1


def test_a_lone_event_is_answered_while_following(path: Path, pipeline: Pipeline) -> None:
    produce(path, 0, 20)
    worker = Worker(pipeline, path, Settings())
    thread = Thread(target=worker.run)
    thread.start()
    with connect(f"sqlite:///{path}") as client:
        predictions = client.consume("orders.predictions", follow=True, timeout=30)
        for n in range(20):
            assert next(predictions)["id"] == f"o{n}"
        for n in range(1_000, 1_010):
            client.produce("orders", [order(n)])
            assert next(predictions)["id"] == f"o{n}"
        worker.stop()
        thread.join()
    worker.close()


def test_status_and_snapshot_are_there_after_a_clean_stop(reference: Path) -> None:
    ((status,),) = rows(reference, "SELECT status FROM pipelines")
    assert json.loads(status)["stats"]["events"] == 600
    ((entry, last),) = rows(reference, "SELECT m.entry, (SELECT max(number) FROM journal) FROM manifest m")
    assert entry == last


def stopped_twice(reference: Path, path: Path, pipeline: Pipeline) -> None:
    """Make a file with two generations and a journal after each."""
    copy_of(reference, path)
    for turns in (3, 3):
        left = [turns]

        def watch(_session: Session, _turn: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                worker.stop()

        with Worker(pipeline, path, Settings(batch=50), watcher=watch) as worker:
            worker.run()
    assert len(rows(path, "SELECT 1 FROM manifest")) == 2


def change(path: Path, statement: str) -> None:
    connection = open_database(path, Access.WRITE)
    connection.execute(statement)
    assert connection.changes() > 0
    connection.close()


FLIP = "X'00' || substr(data, 2)"
NEWEST = "number = (SELECT max(number) FROM segments)"


@pytest.mark.parametrize(
    "damage",
    [
        f"UPDATE segments SET data = CAST({FLIP} AS BLOB) WHERE {NEWEST}",
        f"UPDATE manifest SET data = CAST({FLIP} AS BLOB) WHERE generation = 2",
        f"DELETE FROM segments WHERE {NEWEST}",
        f"UPDATE segments SET data = substr(data, 1, length(data) / 2) WHERE {NEWEST}",
    ],
)
def test_a_damaged_snapshot_gives_way_to_the_one_before(
    reference: Path, path: Path, pipeline: Pipeline, damage: str
) -> None:
    stopped_twice(reference, path, pipeline)
    change(path, damage)
    with Worker(pipeline, path, Settings()) as worker:
        assert "from the snapshot of entry 3 and 3 journal entries (snapshot 2 is damaged)" in worker.recovered.told
        worker.run(until_end=True)
    assert everything(path) == everything(reference)
    with Worker(pipeline, path, Settings()) as worker:
        assert "damaged" not in worker.recovered.told


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM journal", "has a snapshot of 'orders' without its journal"),
        ("DELETE FROM journal WHERE number = (SELECT max(number) FROM journal)", "that is newer than its journal"),
        ("DELETE FROM manifest", "has a journal of 'orders' from entry 4 on without its snapshot"),
        ("DELETE FROM journal WHERE number = 5", "The journal of 'orders' in .* has holes"),
        ("DELETE FROM segments", "Segment 1 of 'orders' is missing"),
    ],
)
def test_a_journal_without_its_snapshot_and_the_reverse_are_refused(
    reference: Path, path: Path, pipeline: Pipeline, damage: str, message: str
) -> None:
    stopped_twice(reference, path, pipeline)
    change(path, damage)
    with pytest.raises(CorruptError, match=message):
        Worker(pipeline, path, Settings())


def test_a_log_that_no_longer_holds_what_was_fed_is_refused(reference: Path, path: Path, pipeline: Pipeline) -> None:
    copy_of(reference, path)

    def die(_session: Session, _turn: object) -> None:
        raise _Killed

    with pytest.raises(_Killed), Worker(pipeline, path, Settings(batch=50), watcher=die) as worker:
        worker.run(until_end=True)
    change(path, "UPDATE log SET value = X'7B7D' WHERE row = 20")
    with pytest.raises(CorruptError, match=r"log no longer holds what was fed: records 1 to \d+ differ"):
        Worker(pipeline, path, Settings())


def test_a_second_worker_is_refused_and_harms_nothing(path: Path, pipeline: Pipeline) -> None:
    with Worker(pipeline, path, Settings()) as worker:
        with pytest.raises(BusyError, match=r"Another worker .* runs pipeline 'orders'"):
            Worker(pipeline, path, Settings())
        produce(path, 0, 10)
        worker.run(until_end=True)
    assert len(written(path, "predictions")) == 10


def test_changed_declarations_are_refused(reference: Path, path: Path, tmp_path: Path) -> None:
    shutil.copy(reference, path)
    with pytest.raises(UsageError, match="the declarations of 'orders' differ"):
        Worker(changed(tmp_path, '"1h", "1d"', '"2h", "1d"'), path, Settings())


def test_a_run_starts_from_a_saved_state(reference: Path, path: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    first = copy_of(reference, tmp_path / "first.db")
    change(first, "DELETE FROM log WHERE row > 300")
    connection = open_database(first, Access.READ)
    ((again,),) = connection.execute("SELECT min(row) FROM log WHERE received = (SELECT max(received) FROM log)")
    connection.close()
    with Worker(pipeline, first, Settings()) as worker:
        worker.run(until_end=True)
        worker.session._snapshots = type(worker.session._snapshots)()
        save_state(worker.session, tmp_path / "state")
    made = len(written(first, "predictions"))
    copy_of(reference, path)
    change(path, "UPDATE log SET received = received + 60000 WHERE row > 300")
    with Worker(pipeline, path, Settings(), start_from=tmp_path / "state") as worker:
        assert position_of(worker.session) in {again, 301}  # what came in the last millisecond is counted as duplicates
    with Worker(pipeline, path, Settings()) as worker:
        worker.run(until_end=True)
        stats = worker.status()["stats"]
        assert stats["events"] == stats["predicted"] == 600
    assert written(path, "predictions") == written(reference, "predictions")[made:]
    with pytest.raises(UsageError, match="has already run on"):
        Worker(pipeline, path, Settings(), start_from=tmp_path / "state")
    with pytest.raises(UsageError, match="holds no saved state"):
        Worker(pipeline, tmp_path / "new.db", Settings(), start_from=tmp_path)


def test_two_pipelines_on_one_file(path: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    produce(path, 0, 50)
    run(pipeline, path)
    run(changed(tmp_path, '"orders",\n', '"second",\n'), path)
    counts = rows(path, "SELECT pipeline, count(*) FROM predictions GROUP BY 1 ORDER BY 1")
    assert counts == [("orders", 50), ("second", 50)]
