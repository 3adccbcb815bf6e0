"""Runs a worker in child processes and kills each with -9 at a random moment; a producer appends all the while.

    python -m tests.local.kill_driver fork|command PIPELINE.py FILE.db KILLS SEED

`fork`: a parent that has everything loaded forks the workers, so that a kill costs milliseconds. `command`: each worker
is `stream-ml run`. Most are killed after the first turn that they committed, the others while they start or recover.
Prints what was killed when.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event

from stream_ml.client.database import Access, open_database
from stream_ml.config.settings import Durable, Settings
from stream_ml.engines.local.worker import Worker
from stream_ml.kernels.jit import warm
from stream_ml.language.loader import load
from tests.local.never_stopped import keep_journal
from tests.local.processes import command, until

BATCH, SNAPSHOT_S = 64, 0.002
SETTINGS = Settings(durable=Durable.NORMAL, batch=BATCH, snapshot_seconds=SNAPSHOT_S)
LIFE_S = 0.12
RUNNING = 0.8  # share of the kills that come after a turn of that worker
PATIENCE_S = 120.0  # a worker whose kernels are not in the cache compiles them first
START_S = {"fork": 0.05, "command": 1.5}
RATE = {"fork": 1_500.0, "command": 300.0}


def forked(file: str, path: Path) -> Callable[[], int]:
    """Give what starts a worker and returns its process id."""
    pipeline = load(file)
    warm()

    def start() -> int:
        child = os.fork()
        if child == 0:
            try:
                with Worker(pipeline, path, SETTINGS) as worker:
                    worker.run()
            finally:
                os._exit(1)
        return child

    return start


def commanded(file: str, path: Path) -> Callable[[], int]:
    """Give what starts `stream-ml run` and returns its process id."""
    settings = {"STREAM_ML_BATCH": str(BATCH), "STREAM_ML_SNAPSHOT_SECONDS": str(SNAPSHOT_S)}
    line = command("run", file, "--on", f"sqlite:///{path}", "--durable", "normal")

    def start() -> int:
        quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
        return os.posix_spawn(line[0], line, {**os.environ, **settings}, file_actions=quiet)

    return start


def count(path: Path, query: str) -> int:
    """Read one number."""
    connection = open_database(path, Access.READ)
    try:
        return int(connection.execute(query).get)
    finally:
        connection.close()


def entries(path: Path) -> int:
    """Read the number of the last journal entry."""
    return count(path, "SELECT coalesce(max(number), 0) FROM journal")


def beyond(path: Path, number: int) -> bool:
    """Tell whether there is a journal entry after a number."""
    return entries(path) > number


def killed(child: int, after_s: float, ready: Callable[[], bool]) -> bool:
    """Kill a process so long after it is ready; false if it had ended by itself."""
    try:
        until(ready, PATIENCE_S)
        Event().wait(after_s)
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def main(how: str, file: str, database: str, kills: int, seed: int) -> None:
    """Kill, start again, kill, and so on."""
    path = Path(database)
    keep_journal(path)
    start = (forked if how == "fork" else commanded)(file, path)
    chance = random.Random(seed)
    producer = subprocess.Popen([sys.executable, "-m", "tests.local.kill_producer", database, str(RATE[how])])
    until(lambda: count(path, "SELECT coalesce(max(row), 0) FROM log") > 50)
    done, at = 0, []
    try:
        for _ in range(kills):
            before = entries(path)
            if chance.random() < RUNNING:
                done += killed(start(), chance.uniform(0.0, LIFE_S), partial(beyond, path, before))
            else:
                done += killed(start(), chance.uniform(0.0, START_S[how]), partial(beyond, path, -1))
            at.append((before, entries(path)))
    finally:
        producer.terminate()
        producer.wait()
    running = sum(after > before for before, after in at)
    sys.stdout.write(json.dumps({"killed": done, "running": running, "at": [after for _, after in at]}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
