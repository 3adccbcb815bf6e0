"""Commands that run a pipeline: what a user does first, stops, refusals, metrics."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_ml.client import connect
from stream_ml.client.database import Access, open_database
from stream_ml.errors import Exit
from tests.cli.test_log_commands import complaint, environment, ran, said
from tests.local.processes import command, until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    out = said(ran("new", "shop", cwd=folder))
    assert "stream-ml run pipeline.py --on sqlite:///shop.db --until-end" in out
    return folder / "shop"


def filled(shop: Path, path: Path) -> str:
    url = f"sqlite:///{path}"
    for topic in ("orders", "returns"):
        said(ran("produce", topic, f"{topic}.ndjson", "--on", url, cwd=shop))
    return url


def test_what_new_writes_runs_as_it_says(shop: Path, tmp_path: Path) -> None:
    told = json.loads(
        said(
            ran(
                "replay",
                "pipeline.py",
                "orders=orders.ndjson",
                "returns=returns.ndjson",
                "--out",
                "out",
                "--json",
                cwd=shop,
            )
        )
    )
    assert told["counters"]["predicted"] == 5_000
    quality = {one["name"]: one["value"] for one in told["metrics"] if one["slice"] is None and one["window"] == "all"}
    assert quality["roc_auc"] > 0.7
    url = filled(shop, tmp_path / "shop.db")
    ended = json.loads(said(ran("run", "pipeline.py", "--on", url, "--until-end", "--json", cwd=shop)))
    assert ended["end"] == "read"
    assert ended["stats"]["predicted"] == 5_000
    lines = said(ran("consume", "shop.predictions", "--on", url, cwd=shop)).splitlines()
    assert len(lines) == 5_000
    assert set(json.loads(lines[0])) == {
        "prediction_id", "id", "key", "at", "prediction", "score", "version", "price",
    }  # fmt: skip
    (status,) = json.loads(said(ran("status", "--on", url, "--json", cwd=shop)))["pipelines"]
    assert status["lag"] == 0
    assert status["snapshot_entry"] == status["entry"]


def test_what_new_writes_passes_mypy_and_ruff(shop: Path) -> None:
    for tool in (["mypy", "--strict"], ["ruff", "check", "--line-length", "120", "--isolated", "--select", "E,F,B,UP"]):
        done = subprocess.run(
            [sys.executable, "-m", *tool, "pipeline.py"], cwd=shop, capture_output=True, check=False,
            env=environment({"MYPYPATH": str(Path(__file__).resolve().parents[2])}), text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_history_and_log_give_the_same_answers(shop: Path, tmp_path: Path) -> None:
    """What `consume` exports carries the received time, so replaying it gives what live gave."""
    url = filled(shop, tmp_path / "shop.db")
    said(ran("run", "pipeline.py", "--on", url, "--until-end", cwd=shop))
    for topic in ("orders", "returns"):
        exported = ran("consume", topic, "--on", url, cwd=shop)
        (tmp_path / f"{topic}.ndjson").write_bytes(exported.stdout)
    files = [f"{topic}={tmp_path}/{topic}.ndjson" for topic in ("orders", "returns")]
    said(ran("replay", "pipeline.py", *files, "--out", str(tmp_path / "out"), cwd=shop))
    live = said(ran("consume", "shop.predictions", "--on", url, cwd=shop)).splitlines()
    past = (tmp_path / "out" / "predictions.ndjson").read_text(encoding="utf-8").splitlines()
    assert [without(line) for line in live] == [without(line) for line in past]


def without(line: str) -> dict[str, object]:
    record: dict[str, object] = json.loads(line)
    del record["prediction_id"]
    return record


@pytest.fixture
def running(shop: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, int]]:
    """A worker that follows, with its URL and the port of its metrics."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = filled(shop, tmp_path / "shop.db")
    process = subprocess.Popen(
        command("run", "pipeline.py", "--on", url, "--metrics-port", str(port)),
        cwd=shop, env=environment(), stderr=subprocess.PIPE,
    )  # fmt: skip
    with connect(url) as client:
        until(lambda: sum(1 for _ in client.records("shop.predictions")) == 5_000, 60)
    yield process, url, port
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def test_a_signal_stops_cleanly(running: tuple[subprocess.Popen[bytes], str, int], tmp_path: Path) -> None:
    process, _, _ = running
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"shop: stopped, next row" in err
    connection = open_database(tmp_path / "shop.db", Access.READ)
    entry, last = connection.execute("SELECT (SELECT max(entry) FROM manifest), (SELECT max(number) FROM journal)").get
    connection.close()
    assert entry == last


def test_a_second_worker_is_one_line(running: tuple[subprocess.Popen[bytes], str, int], shop: Path) -> None:
    process, url, _ = running
    line = complaint(ran("run", "pipeline.py", "--on", url, cwd=shop), Exit.BUSY)
    assert line.startswith(f"Another worker (process {process.pid}) runs pipeline 'shop' on ")
    (status,) = json.loads(said(ran("status", "--on", url, "--json", cwd=shop)))["pipelines"]
    assert status["process"] == process.pid


def test_kill_9_leaves_no_stale_lock(running: tuple[subprocess.Popen[bytes], str, int], shop: Path) -> None:
    process, url, _ = running
    process.kill()
    process.communicate()
    assert process.returncode == -9
    said(ran("run", "pipeline.py", "--on", url, "--until-end", cwd=shop))
    assert said(ran("consume", "shop.predictions", "--on", url, cwd=shop)).count("\n") == 5_000


def test_metrics_are_served(running: tuple[subprocess.Popen[bytes], str, int]) -> None:
    _, _, port = running
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for line in (
        'stream_ml_events_total{pipeline="shop"} 5000.0',
        'stream_ml_predictions_total{pipeline="shop"} 5000.0',
        'stream_ml_labels_total{fate="joined",pipeline="shop"} 815.0',
        'stream_ml_pending{pipeline="shop"} 4185.0',
        'stream_ml_model_version{pipeline="shop"} 815.0',
        'stream_ml_lag_rows{pipeline="shop"} 0.0',
    ):
        assert line in text.splitlines(), line
    for name in ("stream_ml_turn_seconds_bucket", "stream_ml_late_total", "stream_ml_alarms_total"):
        assert name in text
    for stage in ("decode", "features", "model", "outputs", "journal"):
        assert f'stream_ml_stage_seconds_total{{pipeline="shop",stage="{stage}"}}' in text
    assert 'stream_ml_quality{name="roc_auc",pipeline="shop",slice="",window="all"}' in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("run", "none.py", "--on", "sqlite:///x.db"), "none.py is no file"),
        (("replay", "none.py", "orders=o.ndjson"), "none.py is no file"),
        (("replay", "pipeline.py", "orders"), "'orders' is not TOPIC=FILE. Write TOPIC=FILE, as payments=file"),
        (("replay", "pipeline.py", "a=b", "a=c"), "a is given twice. Write one TOPIC=FILE a topic"),
        (("replay", "pipeline.py", "orders=none.ndjson"), "none.ndjson does not exist"),
        (("demo", "nothing"), "There is no demo 'nothing'. Demos: flights"),
        (("run", "pipeline.py", "--on", "sqlite:///gone/x.db"), "There is no folder gone. Make it: mkdir -p gone"),
        (("run", "pipeline.py", "--on", "sqlite:///x.db", "--start-from", "out"), "out holds no saved state"),
    ],
)
def test_mistakes_are_one_line(shop: Path, arguments: tuple[str, ...], text: str) -> None:
    assert text in complaint(ran(*arguments, cwd=shop), Exit.USER)


def test_help_is_quick(shop: Path) -> None:
    """No command's help loads numba or river."""
    script = (
        "import sys; sys.argv = ['stream-ml', 'run', '--help']\n"
        "from stream_ml.cli.main import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numba', 'river', 'pandas', 'pyarrow', 'apsw') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=shop, capture_output=True, check=True, env={**os.environ, **environment()}
    )
    assert done.stdout.decode().splitlines()[-1] == "[]"
