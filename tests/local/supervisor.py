"""Starts a worker again and again until it ends well, as a supervisor does; prints how each one ended.

    python -m tests.local.supervisor PIPELINE.py FILE.db BATCH AHEAD

AHEAD is how far the workers' clock is before the machine's, seconds.

A parent that has everything loaded forks the workers, so that a death costs milliseconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from stream_ml.config.settings import Durable, Settings
from stream_ml.engines.local.worker import Worker
from stream_ml.kernels.jit import warm
from stream_ml.language.loader import load

MOST = 60


def main(file: str, database: str, batch: int, ahead_s: int = 0) -> None:
    """Run until the end of the log."""
    clock = time.time_ns
    time.time_ns = lambda: clock() + ahead_s * 1_000_000_000
    pipeline = load(file)
    settings = Settings(durable=Durable.NORMAL, batch=batch)
    warm()
    ends: list[int] = []
    while len(ends) < MOST and (not ends or ends[-1] != 0):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with Worker(pipeline, Path(database), settings) as worker:
                    worker.run(until_end=True)
                code = 0
            finally:
                os._exit(code)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    sys.stdout.write(json.dumps(ends) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
