"""Records that kill the process: found, skipped, dead letters; everything else as if they had never killed anybody."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stream_ml.client import connect
from stream_ml.client.log import Log
from stream_ml.config.settings import Settings
from stream_ml.engines.local.worker import Worker
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.journal import DEADLINES, Entry
from stream_ml.sessions.session import Session
from stream_ml.testing.canonical import records
from tests.cli.test_log_commands import ran, said
from tests.laws.stories import differences
from tests.local.never_stopped import assert_same, keep_journal, kept_entries, never_stopped, opened, written
from tests.local.processes import ROOT, command

FILE = Path(__file__).with_name("deadly.py")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the pipeline a folder of its own, where it notes whom it killed."""
    return Path(shutil.copy(FILE, tmp_path / "deadly.py"))


def order(n: int, price: float = 10.0) -> dict[str, Any]:
    return {"order": f"o{n}", "customer": f"c{n % 7}", "price": price, "at": "2025-03-01T00:00:00Z"}


def answer(n: int) -> dict[str, Any]:
    return {"order": f"o{n}", "customer": f"c{n % 7}", "returned": n % 3 == 0}


def produce(path: Path, first: int, prices: list[float], labels: list[int]) -> None:
    with connect(f"sqlite:///{path}") as client:
        client.produce("orders", [order(n, price) for n, price in enumerate(prices, first)])
        client.produce("returns", [answer(n) for n in labels])


def supervised(file: Path, path: Path, batch: int = 4_000, *, ahead_s: int = 0) -> list[int]:
    """Run a worker, its clock so much ahead, until it ends well; gives the exit codes, the last of them 0."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.local.supervisor", str(file), str(path), str(batch), str(ahead_s)],
        cwd=ROOT, capture_output=True, check=False, timeout=300, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends: list[int] = json.loads(done.stdout)
    assert ends[-1] == 0, ends
    return ends


def deaths(file: Path) -> Counter[str]:
    told = file.with_name("deaths")
    return Counter(told.read_text().splitlines() if told.exists() else [])


def log_end(path: Path) -> int:
    with opened(path) as connection:
        return Log(connection).end()


def entries(path: Path) -> list[Entry]:
    with opened(path) as connection:
        return kept_entries(connection)


def as_if_nobody_had_died(file: Path, path: Path) -> Session:
    """Compare file and recovered state with a session that was fed the same journal and never stopped."""
    before = deaths(file)
    pipeline: Pipeline = load(file)
    story = never_stopped(pipeline, path)
    assert_same(written(path, "orders"), story.out)
    with Worker(pipeline, path, Settings()) as worker:
        session = worker.session
    assert session.differences == 0
    assert differences(records(session), records(story.session)) == []
    assert deaths(file) == before  # neither recovery nor the other session met them
    return session


@pytest.mark.kills
def test_what_kills_is_skipped_and_nothing_else(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "deadly.db"
    keep_journal(path)
    file.write_text(file.read_text().replace('wait="3s"', 'wait="1h"'))  # no deadline passes before we say so
    prices = [10.0 + n % 13 for n in range(400)]
    prices[123] = 901
    produce(path, 0, prices, [n for n in range(400) if n % 5 and n != 123])
    assert supervised(file, path) == [7, 7, 7, 7, 7, 0]  # in a large turn, in a smaller one, three times alone
    prices = [902.0, *([10.0] * 150)]
    first = log_end(path)
    produce(path, 400, prices, [*range(401, 551), 400])
    # The label is record 302: in the second turn, whose 52 records are fed one by one after the first death.
    assert supervised(file, path) == [*[-signal.SIGSEGV] * 4, 0]
    assert deaths(file) == {"predict 901": 5, "learn 902": 4}
    label = first + len(prices) + 150
    letters = [json.loads(one) for one in written(path, "orders")["orders.dead"]]
    assert [(one["topic"], one["offset"], one["reason"]) for one in letters] == [
        ("orders", 124, "poison"),
        ("returns", label, "poison"),
    ]
    assert json.loads(base64.b64decode(letters[0]["raw"])) == order(123, 901)
    assert letters[0]["message"] == "killed the process three times"
    assert letters[0]["size"] == len(base64.b64decode(letters[0]["raw"]))
    skipped = [skip for entry in entries(path) for skip in entry.skipped]
    assert [skip for skip in skipped if skip[0] != DEADLINES] == [("log", 124), ("log", label)]
    predicted = [json.loads(one)["id"] for one in written(path, "orders")["orders.predictions"]]
    assert predicted == [f"o{n}" for n in range(551) if n != 123]
    session = as_if_nobody_had_died(file, path)
    assert session.stats["dead"] == {"poison": 2}
    # the event whose label killed has none now, so silence is to be taught, and that kills too
    supervised(file, path, ahead_s=7_200)
    not_taught = [skip for entry in entries(path) for skip in entry.skipped if skip[0] == DEADLINES]
    assert len(not_taught) == 1
    stats = as_if_nobody_had_died(file, path).stats
    assert (stats["pending"], stats["dead"]) == (0, {"poison": 2})
    assert stats["learn_errors"] >= 1
    assert stats["joined"] + stats["silence"] == stats["examples"] == 550


@pytest.mark.kills
def test_a_lone_record_is_skipped_after_three_deaths_alone(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "deadly.db"
    keep_journal(path)
    produce(path, 0, [901.0], [])
    assert supervised(file, path) == [7, 7, 7, 7, 0]  # once without knowing it, three times alone
    produce(path, 1, [901.0, 10.0, 901.0], [2])
    assert supervised(file, path) == [7] * 8 + [0]
    session = as_if_nobody_had_died(file, path)
    assert session.stats["dead"] == {"poison": 3}
    assert session.stats["predicted"] == 1
    (shown,) = json.loads(said(ran("status", "--on", f"sqlite:///{path}", "--json", cwd=tmp_path)))["pipelines"]
    assert shown["dead"] == {"poison": 3}
    listed = json.loads(
        said(ran("dead-letters", "list", "--reason", "poison", "--on", f"sqlite:///{path}", "--json", cwd=tmp_path))
    )
    assert [(one["source"], one["offset"], one["reason"]) for one in listed] == [
        ("orders", row, "poison") for row in (1, listed[1]["offset"], listed[1]["offset"] + 2)
    ]


def started(file: Path, path: Path, **settings: str) -> tuple[int, str]:
    """Run `stream-ml run --until-end` as a user would; gives its exit code and what it said."""
    done = subprocess.run(
        command("run", str(file), "--on", f"sqlite:///{path}", "--until-end"),
        cwd=ROOT, capture_output=True, check=False, timeout=120, text=True, env={**os.environ, **settings},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.kills
def test_a_loop_is_ended_by_the_watchdog(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "deadly.db"
    keep_journal(path)
    produce(path, 0, [10.0, 903.0, 11.0], [0])
    told = []
    for _ in range(5):
        code, said_ = started(file, path, STREAM_ML_TURN_SECONDS="1")
        told.append(said_)
        if code == 0:
            break
        assert code == 1
        last = said_.splitlines()[-1]
        assert last.startswith("stream-ml: orders: turn ")
        assert f"takes longer than 1 s, at {file}:" in last
        assert "in die. Start again: it is tried anew" in last
    assert "(rows 1 to 4)" in told[0]
    assert "the last worker died: it goes on in smaller turns until it is past that place" in told[1]
    assert "(rows 2 to 2)" in told[1]
    assert "the next record has killed the worker once: after 3 it is skipped" in told[2]
    assert "the next record has killed the worker 3 times: it is skipped" in told[4]
    session = as_if_nobody_had_died(file, path)
    assert session.stats["dead"] == {"poison": 1}


def test_turns_of_a_slow_model_are_cut_smaller(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "deadly.db"
    keep_journal(path)
    produce(path, 0, [10.0] * 300, [])
    pipeline = load(file)
    with Worker(pipeline, path, Settings(turn_seconds=1e-4)) as worker:
        worker.run(until_end=True)
    sizes = [fed.count for entry in entries(path) for fed in entry.fed]
    assert sizes == [250, *([1] * 50)]
    produce(path, 300, [10.0] * 300, [])
    with Worker(pipeline, path, Settings(batch=100)) as worker:
        worker.run(until_end=True)
    sizes = [fed.count for entry in entries(path) for fed in entry.fed]
    assert [size for size in sizes[51:] if size] == [100, 100, 100]


def test_a_worker_that_was_stopped_is_not_one_that_died(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "deadly.db"
    produce(path, 0, [10.0], [])
    pipeline = load(file)
    for _ in range(4):
        with Worker(pipeline, path, Settings()) as worker:
            assert "died" not in worker.told
            worker.run(until_end=True)


def test_a_defect_in_a_turn_counts_as_a_death(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not the model's own exception: a record on which our code raises does not stop the stream for ever."""
    path = tmp_path / "deadly.db"
    keep_journal(path)
    produce(path, 0, [10.0, 11.0, 12.0], [])
    pipeline = load(file)
    feed = Session.feed

    def broken(self: Session, runs: Any, tick: Any = None, skipped: Any = ()) -> Any:
        at = {int(offset) for run in runs for offset in run.offsets} - {offset for _, offset in skipped}
        if 2 in at:
            raise MemoryError
        return feed(self, runs, tick, skipped)

    monkeypatch.setattr(Session, "feed", broken)
    for _ in range(4):
        with pytest.raises(MemoryError), Worker(pipeline, path, Settings()) as worker:
            worker.run(until_end=True)
    with Worker(pipeline, path, Settings()) as worker:
        assert "has killed the worker 3 times" in worker.told
        worker.run(until_end=True)
        assert worker.session.stats["dead"] == {"poison": 1}
    monkeypatch.undo()
    as_if_nobody_had_died(file, path)


@pytest.mark.kills
def test_recovery_is_never_counted(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies while it feeds its journal again has not tried the next record."""
    path = tmp_path / "deadly.db"
    produce(path, 0, [901.0], [])
    pipeline = load(file)

    def dying(*_: Any, **__: Any) -> None:
        raise MemoryError

    assert supervised_until(file, path, 2) == [7, 7]
    with monkeypatch.context() as patched:
        patched.setattr("stream_ml.engines.local.worker.open_session", dying)
        for _ in range(5):
            with pytest.raises(MemoryError):
                Worker(pipeline, path, Settings())
    worker = Worker(pipeline, path, Settings())
    assert "has killed the worker once" in worker.told
    worker.close()


def supervised_until(file: Path, path: Path, most: int) -> list[int]:
    """Start so many workers, each of which dies."""
    script = (
        "import sys, os; from pathlib import Path; import tests.local.supervisor as s; s.MOST = int(sys.argv[3]);"
        " s.main(sys.argv[1], sys.argv[2], 4000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file), str(path), str(most)],
        cwd=ROOT, capture_output=True, check=True, timeout=120, text=True,
    )  # fmt: skip
    found: list[int] = json.loads(done.stdout)
    return found
