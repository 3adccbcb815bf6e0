"""Kill -9 at random moments while a producer appends: the file at the end equals that of a run that never stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event

import apsw
import pytest

from stream_ml.client.database import Access, open_database
from stream_ml.config.settings import Settings
from stream_ml.engines.local.worker import Worker
from stream_ml.language.loader import load
from tests.local.processes import ROOT

FILE = Path(__file__).with_name("orders.py")
VIEWS = ("predictions", "examples", "dead_letters", "alarms", "metrics")


def outputs(path: Path) -> dict[str, list[str]]:
    connection = open_database(path, Access.READ)
    found = {
        view: [str(text) for (text,) in connection.execute(f"SELECT json FROM {view} ORDER BY row").fetchall()]
        for view in VIEWS
    }
    connection.close()
    return found


@pytest.mark.kills
@pytest.mark.parametrize("seed", [11])
def test_fifty_kills_change_nothing(tmp_path: Path, seed: int) -> None:
    file = tmp_path / "orders_killed.py"
    file.write_text(FILE.read_text(encoding="utf-8").replace('wait="1h"', 'wait="300ms"'), encoding="utf-8")
    path = tmp_path / "killed.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.local.kill_driver", str(file), str(path), "50", str(seed)],
        cwd=ROOT, capture_output=True, check=False, timeout=300, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] == 50
    assert told["progressed"] > 10
    Event().wait(0.4)  # the last events' silence
    pipeline = load(file)
    with Worker(pipeline, path, Settings()) as worker:
        worker.run(until_end=True)
        stats = worker.session.stats
        quality = worker.session.quality()
    other = tmp_path / "never_stopped.db"
    shutil.copy(path, other)
    connection = apsw.Connection(str(other))
    connection.execute("DELETE FROM log WHERE topic LIKE 'orders.%'")
    for table in ("journal", "segments", "manifest", "pipelines"):
        connection.execute(f"DELETE FROM {table}")
    connection.close()
    with Worker(pipeline, other, Settings()) as worker:
        worker.run(until_end=True)
        assert worker.session.quality() == quality
        ours = worker.session.stats
    for name in ("entry", "now", "state_bytes", "keys"):
        stats.pop(name)
        ours.pop(name)
    assert stats == ours
    assert outputs(path) == outputs(other)
    assert stats["silence"] > 50
    assert stats["events"] == stats["predicted"] + stats["not_asked"] + stats["duplicate"]
