"""A pipeline is drained, and a changed one goes on from there with a fresh state."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from stream_ml.client import connect
from stream_ml.client.log import Log, now_ms
from stream_ml.config.settings import Settings
from stream_ml.engines.local.reader import Reader
from stream_ml.engines.local.worker import End, Until, Worker
from stream_ml.engines.replay.engine import replay
from stream_ml.errors import UsageError
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.session import Session
from stream_ml.testing.canonical import records
from tests.laws.stories import differences
from tests.local.never_stopped import opened
from tests.local.never_stopped import written as bytes_written
from tests.local.test_poison import log_end
from tests.local.test_worker import answer, changed, order, rows, written

FILE = Path(__file__).with_name("orders.py")


def with_wait(folder: Path, wait: str) -> Pipeline:
    """Give the pipeline with another wait."""
    file = folder / "waits.py"
    file.write_text(FILE.read_text(encoding="utf-8").replace('wait="1h"', f'wait="{wait}"'), encoding="utf-8")
    return load(file)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


def produce(path: Path, first: int, end: int, labels: int) -> None:
    """Append orders and the answers to the first few of them."""
    with connect(f"sqlite:///{path}") as client:
        client.produce("orders", [order(n) for n in range(first, end)])
        client.produce("returns", [answer(n) for n in range(first, first + labels)])


def drained(pipeline: Pipeline, path: Path, until: Until = Until.DRAINED) -> Session:
    with Worker(pipeline, path, Settings()) as worker:
        assert worker.run(until=until) is End.DRAINED
        return worker.session


def journal(path: Path) -> tuple[int, int, int]:
    with opened(path) as connection:
        found: tuple[int, int, int] = connection.execute("SELECT min(number), max(number), count(*) FROM journal").get
        return found


def ids(path: Path) -> list[str]:
    return [json.loads(text)["id"] for (text,) in rows(path, "SELECT json FROM predictions ORDER BY row")]


def test_a_changed_pipeline_begins_where_the_old_one_was_drained(path: Path, tmp_path: Path) -> None:
    old, new = with_wait(tmp_path, "300ms"), changed(tmp_path, '"1h", "1d"', '"2h", "1d"')
    produce(path, 0, 50, 30)
    with Worker(old, path, Settings()) as worker:
        worker.run(until_end=True)
    produce(path, 50, 60, 5)
    with pytest.raises(UsageError, match=r"run OLD\.py --drain"):
        Worker(new, path, Settings())
    session = drained(old, path)
    assert (session.unresolved, session.stats["joined"], session.stats["silence"]) == (0, 35, 25)
    examples = len(written(path, "examples"))
    assert examples == 60
    begin = log_end(path)
    produce(path, 60, 80, 20)
    with Worker(new, path, Settings()) as worker:
        assert "where the pipeline was drained" in worker.told
        assert worker.run(until_end=True) is End.READ
        stats = worker.session.stats
        assert (stats["events"], stats["joined"], stats["pending"]) == (20, 20, 0)
        assert stats["version"] == [worker.session.plan.learner.lineage, 20]
    assert ids(path) == [f"o{n}" for n in range(80)]
    assert len(written(path, "examples")) == 80
    alone = Session(new)  # a session that was never told of the old one answers the same
    with opened(path) as connection:
        reader = Reader(Log(connection), alone.topics, 1)
        run = replace(reader.again(begin, log_end(path)), cap=now_ms())
    everything = bytes_written(path, "orders")
    for out in alone.feed([run]).out:
        assert out.values == everything[out.topic][-len(out.values) :], out.topic
    with Worker(new, path, Settings()) as worker:
        assert "where" not in worker.told
        assert worker.session.differences == 0


def test_before_its_first_snapshot_the_changed_one_recovers_from_the_drained_entry(path: Path, tmp_path: Path) -> None:
    old, new = with_wait(tmp_path, "300ms"), changed(tmp_path, '"1h", "1d"', '"2h", "1d"')
    produce(path, 0, 20, 20)
    drained(old, path)
    last = journal(path)[1]
    produce(path, 20, 40, 20)
    with Worker(new, path, Settings()) as worker:
        while (run := worker.reader.next(7)) is not None:
            worker._feed(run)
        state = records(worker.session)
    assert journal(path) == (last, last + 6, 7)
    assert rows(path, "SELECT count(*) FROM manifest") == rows(path, "SELECT count(*) FROM segments") == [(0,)]
    with Worker(new, path, Settings()) as worker:
        assert worker.session.differences == 0
        assert differences(records(worker.session), state) == []
        assert worker.run(until_end=True) is End.READ
        assert worker.session.stats["events"] == 20
    assert ids(path) == [f"o{n}" for n in range(40)]


def test_draining_waits_for_labels_and_answers_what_comes(path: Path, tmp_path: Path) -> None:
    old = with_wait(tmp_path, "1h")
    produce(path, 0, 10, 4)
    worker = Worker(old, path, Settings())
    waits: list[int] = []
    reached = Event()

    def waiting(session: Session) -> None:
        waits.append(session.unresolved)
        assert session.last_deadline is not None
        reached.set()

    ended: list[End] = []
    with worker:

        def body() -> None:
            assert reached.wait(30)
            produce(path, 10, 12, 2)
            with connect(f"sqlite:///{path}") as client:
                client.produce("returns", [answer(n) for n in range(4, 10)])

        thread = Thread(target=body)
        thread.start()
        ended.append(worker.run(until=Until.DRAINED, waiting=waiting))
        thread.join()
        assert worker.session.stats["examples"] == 12
    assert (waits, ended) == ([6], [End.DRAINED])


def test_what_waits_can_be_given_up(path: Path, tmp_path: Path) -> None:
    old, new = with_wait(tmp_path, "1h"), changed(tmp_path, '"1h", "1d"', '"2h", "1d"')
    produce(path, 0, 10, 4)
    with connect(f"sqlite:///{path}") as client:
        client.produce("returns", [answer(99)])  # for an event that has not come
    assert drained(old, path, Until.GIVEN_UP).unresolved == 7
    (alarm,) = [json.loads(text) for (text,) in rows(path, "SELECT json FROM alarms")]
    assert (alarm["what"], alarm["detector"], alarm["to"]) == ("pending", "drain", 7)
    before = journal(path)
    drained(old, path, Until.GIVEN_UP)
    assert journal(path) == before  # once is enough
    with Worker(old, path, Settings()) as worker:  # the old one may still go on as if nothing had been
        assert worker.session.unresolved == 7
    with Worker(new, path, Settings()) as worker:
        assert worker.session.unresolved == 0


def test_the_old_one_goes_on_and_the_changed_one_is_refused_again(path: Path, tmp_path: Path) -> None:
    old, new = with_wait(tmp_path, "1h"), changed(tmp_path, '"1h", "1d"', '"2h", "1d"')
    produce(path, 0, 10, 10)
    drained(old, path)
    produce(path, 10, 20, 10)
    with Worker(old, path, Settings()) as worker:
        worker.run(until_end=True)
        assert worker.session.stats["events"] == 20
        assert not worker.session.drained
    with pytest.raises(UsageError, match="declarations of 'orders' differ"):
        Worker(new, path, Settings())


def test_the_changed_one_may_start_from_history(path: Path, tmp_path: Path) -> None:
    old, new = with_wait(tmp_path, "1h"), changed(tmp_path, '"1h", "1d"', '"2h", "1d"')
    produce(path, 0, 30, 30)
    drained(old, path)
    history(path, tmp_path, new, 30, tmp_path / "state")
    history(path, tmp_path, new, 10, tmp_path / "short")
    produce(path, 30, 40, 10)
    with pytest.raises(UsageError, match="ends before row"):
        Worker(new, path, Settings(), start_from=tmp_path / "short")
    with Worker(new, path, Settings(), start_from=tmp_path / "state") as worker:
        worker.run(until_end=True)
        stats = worker.session.stats
        assert (stats["events"], stats["joined"], stats["version"][1]) == (40, 40, 40)
    assert ids(path) == [f"o{n}" for n in range(40)]
    with Worker(new, path, Settings()) as worker:
        assert worker.session.differences == 0


def history(path: Path, folder: Path, pipeline: Pipeline, events: int, state: Path) -> None:
    """Replay the first events of the log and their labels, and keep the state."""
    files = {}
    for topic in ("orders", "returns"):
        found = rows(path, f"SELECT CAST(value AS TEXT), received FROM log WHERE topic = '{topic}' ORDER BY row")
        files[topic] = folder / f"{state.name}-{topic}.ndjson"
        early = 0 if events == 30 else 60_000  # a history that ends before the log does
        lines = [json.dumps({**json.loads(text), "received": at - early}) for text, at in found[:events]]
        files[topic].write_text("".join(line + "\n" for line in lines))
    replay(pipeline, files, save=state)


def test_a_pipeline_without_a_label_is_drained_at_the_end(path: Path, tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")
    begin, end = text.index("class Return"), text.index("class OrderFeatures")
    text = text[:begin] + text[end:]
    text = text.replace('    returned = fn.mean(Return.returned).over("1d", by=Order.customer)\n', "")
    text = text.replace("    label=Return.returned,\n", "")
    text = text[: text.index("    model=")] + "    model=None,\n)\n"
    file = tmp_path / "features.py"
    file.write_text(text, encoding="utf-8")
    produce(path, 0, 10, 0)
    assert drained(load(file), path).stats["events"] == 10
