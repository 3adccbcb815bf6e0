"""Runs a worker in child processes and kills each with -9 at a random moment; a producer appends all the while.

    python -m tests.local.kill_driver PIPELINE.py FILE.db KILLS SEED

A parent that has everything loaded forks the workers, so that a kill costs milliseconds. Prints what was killed when.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Event

from stream_ml.client.database import Access, open_database
from stream_ml.config.settings import Durable, Settings
from stream_ml.engines.local.worker import Worker
from stream_ml.kernels.jit import warm
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from tests.local.processes import until

SETTINGS = Settings(durable=Durable.NORMAL, batch=64, snapshot_seconds=0.002)
LIFE_S = 0.12
READY = 0.8  # share of the kills that come after recovery


def killed(pipeline: Pipeline, path: Path, after_s: float, *, ready: bool) -> int:
    """Fork a worker, kill it so long after its start or, if `ready`, after it has recovered; give the signal."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with Worker(pipeline, path, SETTINGS) as worker:
                os.write(tell, b"!")
                worker.run()
        finally:
            os._exit(1)
    os.close(tell)
    if ready:
        os.read(told, 1)
    Event().wait(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(told)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def entries(path: Path) -> int:
    """Read the number of the last journal entry."""
    connection = open_database(path, Access.READ)
    try:
        return int(connection.execute("SELECT coalesce(max(number), 0) FROM journal").get)
    finally:
        connection.close()


def main(file: str, database: str, kills: int, seed: int) -> None:
    """Kill, then run to the end."""
    path = Path(database)
    pipeline = load(file)
    warm()
    chance = random.Random(seed)
    producer = subprocess.Popen([sys.executable, "-m", "tests.local.kill_producer", database])
    until(lambda: path.exists() and path.stat().st_size > 100_000)
    signals: Counter[int] = Counter()
    progressed = 0
    try:
        for _ in range(kills):
            before = entries(path)
            signals[killed(pipeline, path, chance.uniform(0.0, LIFE_S), ready=chance.random() < READY)] += 1
            progressed += entries(path) > before
    finally:
        producer.terminate()
        producer.wait()
    with Worker(pipeline, path, SETTINGS) as worker:
        worker.run(until_end=True)
    sys.stdout.write(json.dumps({"killed": signals[signal.SIGKILL], "progressed": progressed}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
