"""`stream-ml run` on a real broker: what a signal leaves behind, when it may come, and who does what."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

import pytest

from stream_ml.demos.broker import Broker
from stream_ml.errors import Exit
from tests.cli.test_log_commands import complaint, ran
from tests.kafka.commands import Running, asked, cards_with_topics, free_port, keyed, running, sent, serving
from tests.kafka.named import named
from tests.local.processes import until

TASK = re.compile(r"^task (\w+): (.*?)(?: of entry [\d,]+ and [\d,]+ entries fed again)?, [\d.]+ s$", re.MULTILINE)
EVERY = {"0", "1", "2", "3", "learner"}


def acquired(worker: Running) -> dict[str, str]:
    """Return how each task of a worker began, as it said last."""
    return dict(TASK.findall(worker.said))


def stopped(worker: Running, seconds: float = 5.0) -> None:
    """Send SIGTERM: a clean end within `seconds`."""
    begun = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0, worker.said
    assert time.monotonic() - begun < seconds
    assert worker.said.splitlines()[-1].endswith(": stopped")
    assert "did not end cleanly" not in worker.said


def test_a_signal_drains_and_the_partitions_move_at_once(broker: Broker, prefix: str, tmp_path: Path) -> None:
    pipeline, path = cards_with_topics(broker, prefix, tmp_path, 4)
    records = keyed(pipeline, 5, 1_500)
    run = ("run", str(path), "--on", f"kafka://{broker.address}", "--metrics-port")
    first_port, second_port = free_port(), free_port()
    sent(broker, records[:1_000])
    with running(tmp_path, *run, str(first_port)) as first:
        until(lambda: serving(first_port) == EVERY, 120)
        assert set(acquired(first).values()) == {"fresh start"}
        with running(tmp_path, *run, str(second_port)) as second:
            until(lambda: {"2", "3"} <= serving(second_port) or {"0", "1"} <= serving(second_port), 60)
            sent(broker, records[1_000:])
            until(lambda: sorted([*serving(first_port), *serving(second_port)]) == sorted(EVERY), 60)
            was = serving(second_port)
            stopped(first)
            left = time.monotonic()
            until(lambda: serving(second_port) == EVERY, 25)
            assert time.monotonic() - left < 10  # the group would wait 30 s for a member that does not leave
            taken = {how for task, how in acquired(second).items() if task not in was}
            assert taken == {"recovered from the snapshot"}
            stopped(second)
    with running(tmp_path, *run, str(first_port)) as third:
        until(lambda: serving(first_port) == EVERY, 60)
        assert acquired(third) == dict.fromkeys(EVERY, "recovered from the snapshot")
        stopped(third)


def test_a_signal_while_the_file_is_loaded(broker: Broker, prefix: str, tmp_path: Path) -> None:
    _, path = cards_with_topics(broker, prefix, tmp_path, 1)
    text = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n"
    path.write_text(text + path.read_text(encoding="utf-8"), encoding="utf-8")
    for url in (f"kafka://{broker.address}", "sqlite:///x.db"):
        done = ran("run", str(path), "--on", url, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"stopped before it began\n")


def test_a_signal_while_it_waits_for_brokers(prefix: str, tmp_path: Path) -> None:
    """Something listens and never answers."""
    _, path = named("cards", prefix, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        with running(tmp_path, "run", str(path), "--on", f"kafka://127.0.0.1:{server.getsockname()[1]}") as worker:
            connection, _ = server.accept()
            with connection:
                stopped(worker)


def test_scorers_and_the_learner_apart(broker: Broker, prefix: str, tmp_path: Path) -> None:
    pipeline, path = cards_with_topics(broker, prefix, tmp_path, 2)
    run = ("run", str(path), "--on", f"kafka://{broker.address}", "--metrics-port")
    scorer_port, learner_port = free_port(), free_port()
    with (
        running(tmp_path, *run, str(scorer_port), "--role", "scorer") as scorer,
        running(tmp_path, *run, str(learner_port), "--role", "learner") as learner,
    ):
        sent(broker, keyed(pipeline, 3, 400))
        until(lambda: serving(scorer_port) == {"0", "1"} and serving(learner_port) == {"learner"}, 120)
        assert acquired(scorer).keys() == {"0", "1"}
        assert acquired(learner).keys() == {"learner"}
        for port in (scorer_port, learner_port):
            assert asked(port, "/readyz") == (200, "ok\n")
        stopped(scorer)
        stopped(learner)


@pytest.mark.parametrize(
    ("url", "role", "line"),
    [
        ("sqlite:///x.db", "all", "--role goes with Kafka: the one worker of a SQLite file predicts and learns. "
         "Leave --role out"),
        ("kafka://{}", "teacher", "There is no role 'teacher'. Roles: scorer, learner, all"),
    ],
)  # fmt: skip
def test_a_role_that_cannot_be(broker: Broker, prefix: str, tmp_path: Path, url: str, role: str, line: str) -> None:
    _, path = cards_with_topics(broker, prefix, tmp_path, 1)
    done = ran("run", str(path), "--on", url.format(broker.address), "--role", role, cwd=tmp_path)
    assert complaint(done, Exit.USER) == line


def test_one_partition_has_no_learner_of_its_own(broker: Broker, prefix: str, tmp_path: Path) -> None:
    pipeline, path = cards_with_topics(broker, prefix, tmp_path, 1)
    done = ran("run", str(path), "--on", f"kafka://{broker.address}", "--role", "learner", cwd=tmp_path)
    assert done.returncode == Exit.USER
    line = f"stream-ml: {pipeline.name!r} has one partition: its model learns in the scorer. Run it with --role all"
    assert done.stderr.decode().splitlines()[-1] == line
