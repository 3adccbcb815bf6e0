"""`stream-ml bench` on a SQLite file: counts and structure, never times; nothing of the user's is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from stream_ml.bench.processes import cpu_of
from stream_ml.client import connect
from stream_ml.errors import Exit
from tests.cli.test_log_commands import complaint, environment, ran, said
from tests.local.processes import command, until

CARDS = str(Path(__file__).parent.parent / "pipelines" / "cards.py")


@pytest.mark.slow
def test_latency_writes_figures_and_a_picture_and_leaves_the_file_alone(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path}/mine.db") as client:
        client.produce("payments", [{"payment": "p1"}])
    size = (tmp_path / "mine.db").stat().st_size
    done = ran(
        "bench", "latency", CARDS, "--on", "sqlite:///mine.db", "--rate", "100", "--duration", "3s", "--labels", "0.5",
        "--label-after", "200ms", "--json", cwd=tmp_path,
    )  # fmt: skip
    found = json.loads(said(done))
    (step,) = found["steps"]
    assert (step["events"], step["answered"], step["answers"]) == (300, 300, 300)
    assert 100 < step["labels"] < 200
    assert step["warm_up_s"] == pytest.approx(0.6)
    assert step["latency_ms"]["n"] == 240
    percentiles = [step["latency_ms"][name] for name in ("p50", "p90", "p99", "p99_9", "max")]
    assert percentiles == sorted(percentiles)
    assert 0 < step["update_visible_ms"]["n"] + step["update_visible_ms"]["never_seen"] <= step["labels"]
    assert step["generator_delay_ms"]["n"] > 0
    assert found["command"].startswith("stream-ml bench latency")
    assert {"processor", "cores", "python", "versions", "commit"} <= set(found)
    assert json.loads((tmp_path / "bench" / "cards-sqlite-latency.json").read_text(encoding="utf-8")) == found
    assert (tmp_path / "bench" / "cards-sqlite-latency.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "mine.db").stat().st_size == size
    assert [path.name for path in tmp_path.iterdir() if "bench-" in path.name] == []


@pytest.mark.slow
def test_a_sweep_raises_the_rate(tmp_path: Path) -> None:
    done = ran(
        "bench", "latency", CARDS, "--on", "sqlite:///x.db", "--rate", "40000", "--duration", "500ms", "--sweep",
        "--labels", "0", "--json", cwd=tmp_path,
    )  # fmt: skip
    found = json.loads(said(done))
    rates = [step["rate"] for step in found["steps"]]
    assert rates == [40_000 * 1.5**n for n in range(len(rates))]
    assert found["knee"] is None or found["knee"] in rates
    assert (tmp_path / "bench" / "cards-sqlite-sweep.png").exists()


@pytest.mark.slow
def test_throughput_drains_events_and_labels(tmp_path: Path) -> None:
    line = ["bench", "throughput", CARDS, "--on", "sqlite:///x.db", "--records", "9000", "--json"]
    found = json.loads(said(ran(*line, cwd=tmp_path, env={"STREAM_ML_BATCH": "4000"})))
    assert [found[name] for name in ("events", "labels", "answered", "examples")] == [9_000] * 4
    assert found["turns"] >= 3
    assert found["cpu_us_per_event"] > 0
    assert (tmp_path / "x.db").exists()


@pytest.mark.slow
def test_cost_is_what_throughput_measured_times_the_price(tmp_path: Path) -> None:
    line = ("bench", "cost", CARDS, "--on", "sqlite:///x.db", "--records", "2000")
    found = json.loads(said(ran(*line, "--price", "3.6", "--load", "0.25", "--json", cwd=tmp_path)))
    spent, of = found["cost"], found["cpu_us_per_event"]
    assert spent["cpu_seconds_per_million"] == of > 0
    assert spent["money_per_million"] == pytest.approx(of / 0.25 / 3_600 * 3.6)
    assert "--load" in complaint(ran(*line, "--price", "1", "--load", "2", cwd=tmp_path), Exit.USER)


@pytest.mark.slow
def test_ending_it_ends_its_processes(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("bench", "latency", CARDS, "--on", "sqlite:///x.db", "--rate", "50", "--duration", "60s"),
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: len(children(process.pid)) >= 3, 60)
    own = children(process.pid)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in own), 20)


def children(parent: int) -> set[int]:
    """Return ids of the Python processes that a process has started and that live."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, of, *_ = path.read_text(encoding="ascii", errors="replace").rsplit(") ", 1)[1].split()
        except OSError:
            continue
        if int(of) == parent and state != "Z":
            found.add(int(path.parent.name))
    return found


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    line = ("bench", "latency", CARDS, "--on", "sqlite:///x.db")
    assert "3,000,000" in complaint(ran(*line, "--rate", "1e6", "--duration", "1h", cwd=tmp_path), Exit.USER)
    assert "constant, poisson, burst" in complaint(ran(*line, "--arrivals", "never", cwd=tmp_path), Exit.USER)
    assert "TOPIC=FILE" in complaint(ran(*line, "--data", "payments", cwd=tmp_path), Exit.USER)
    assert list(tmp_path.iterdir()) == []


def test_the_cpu_time_of_a_process_is_told() -> None:
    assert (cpu_of(os.getpid()) or 0) > 0
    assert cpu_of(2**22 + 1) is None
