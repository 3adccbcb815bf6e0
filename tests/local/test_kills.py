"""Kill -9 at random moments while a producer appends: the file at the end equals that of a run that never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from stream_ml.client.database import Access, open_database
from stream_ml.config.settings import Settings
from stream_ml.engines.local.worker import Worker
from stream_ml.language.loader import load
from stream_ml.testing.canonical import records
from tests.laws.stories import differences
from tests.local.never_stopped import assert_same, never_stopped, written
from tests.local.processes import ROOT

FILE = Path(__file__).with_name("orders.py")


def orders_with_short_silence(folder: Path) -> Path:
    """Write the pipeline with silence after 300 ms, so that deadlines pass while workers live and die."""
    file = folder / "orders_killed.py"
    file.write_text(FILE.read_text(encoding="utf-8").replace('wait="1h"', 'wait="300ms"'), encoding="utf-8")
    return file


@pytest.mark.kills
@pytest.mark.parametrize(
    ("how", "kills", "seed"),
    [
        ("fork", 50, 11),
        ("command", 8, 12),
        pytest.param("command", 50, int(os.environ.get("STREAM_ML_SEED", "13")), marks=pytest.mark.slow),
    ],
)
def test_kills_change_nothing(tmp_path: Path, how: str, kills: int, seed: int) -> None:
    file = orders_with_short_silence(tmp_path)
    path = tmp_path / "killed.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.local.kill_driver", how, str(file), str(path), str(kills), str(seed)],
        cwd=ROOT, capture_output=True, check=False, timeout=900, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] == kills  # none had ended by itself
    assert told["running"] > kills / 2  # and most had carried out turns in that life
    Event().wait(0.4)  # the last events' silence
    pipeline = load(file)
    with Worker(pipeline, path, Settings()) as worker:
        worker.run(until_end=True)
        session = worker.session
    assert session.number > told["at"][-1]
    assert session.differences == 0  # recovery fed the journal again and came to the same outputs
    story = never_stopped(pipeline, path)
    assert_same(written(path, pipeline.name), story.out)
    assert differences(records(session), records(story.session)) == []
    assert session.quality() == story.session.quality()
    stats = session.stats
    assert (story.turns, stats["pending"]) == (session.number, 0)
    assert min(story.ticks, stats["silence"], stats["dead"]["json"], stats["duplicate"], stats["late"]) > 0
    assert ids(written(path, pipeline.name)[f"{pipeline.name}.predictions"]) == produced(path)


def ids(predictions: list[bytes]) -> list[str]:
    return [json.loads(value)["id"] for value in predictions]


def produced(path: Path) -> list[str]:
    """Read the id of every order in the log, each once, in order."""
    connection = open_database(path, Access.READ)
    values = connection.execute("SELECT value FROM log WHERE topic = 'orders' ORDER BY row").fetchall()
    connection.close()
    orders = [json.loads(bytes(value)) for (value,) in values if bytes(value) != b"no json"]  # type: ignore[arg-type]
    return list(dict.fromkeys(order["order"] for order in orders))
