"""The worker that `benchmarks.snapshot` starts: `stream-ml run`, but it tells what its turns and its snapshot took."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import eight_windows
from benchmarks.command import Found
from stream_ml.cli.ready import settle
from stream_ml.config.settings import Durable, Settings
from stream_ml.engines.local.snapshots import Snapshots
from stream_ml.engines.local.worker import Carried, Worker
from stream_ml.sessions.session import Session


class Watched:
    """What turns took while there was a snapshot under way and while there was none, and what its steps took."""

    def __init__(self) -> None:
        self.turns: dict[str, list[float]] = {"during": [], "outside": []}
        self.pauses: list[float] = []
        self.computed: list[float] = []
        self.begin_s = 0.0
        self._was, self._ending, self._in_turn = "outside", False, False

    def attach(self, snapshots: Snapshots) -> None:
        """Stand in between a worker and its snapshots."""
        self._snapshots = snapshots
        self._after_turn, self._step, self._finish = snapshots.after_turn, snapshots.step, snapshots.finish
        snapshots.after_turn = self.after_turn  # type: ignore[method-assign]
        snapshots.step = self.step  # type: ignore[method-assign]
        snapshots.finish = self.finish  # type: ignore[method-assign]

    def after_turn(self, feed_s: float) -> None:
        """Time what comes between this turn and the next: the beginning of a snapshot, or steps of it."""
        self._was = "during" if self._snapshots.packing else "outside"
        begun, self._in_turn = time.perf_counter(), True
        self._after_turn(feed_s)
        self._in_turn = False
        spent = time.perf_counter() - begun
        if self._was == "during":
            self.pauses.append(spent)
        elif self._snapshots.packing:
            self.begin_s = max(self.begin_s, spent)

    def step(self) -> bool:
        """Time a step; the worker makes some of its own accord where there is nothing to read."""
        begun, cpu = time.perf_counter(), time.process_time()
        left = self._step()
        if not self._ending:
            self.computed.append(time.process_time() - cpu)
            if not self._in_turn:
                self.pauses.append(time.perf_counter() - begun)
        return left

    def finish(self) -> None:
        """Stop cleanly: no turn waits any more."""
        self._ending = True
        self._finish()

    def watch(self, _: Session, carried: Carried) -> None:
        """Take note of a turn."""
        self.turns[self._was].append(carried.feed_s + carried.commit_s)

    def found(self) -> Found:
        """Return everything in milliseconds."""
        turns = {f"turns_{when}": spread(spent) for when, spent in self.turns.items()}
        return {
            **turns,
            "begin_ms": round(self.begin_s * 1e3, 2),
            "pauses": spread(self.pauses),
            "cpu_of_steps": spread(self.computed),
        }


def spread(seconds: list[float]) -> Found:
    """Return percentiles in milliseconds."""
    if not seconds:
        return {"n": 0}
    p50, p99, longest = np.percentile(np.array(seconds) * 1e3, [50, 99, 100]).round(2).tolist()
    return {"n": len(seconds), "p50_ms": p50, "p99_ms": p99, "max_ms": longest}


def work(path: Path, snapshot_seconds: float) -> Found:
    """Run until SIGTERM."""
    settings = Settings(durable=Durable.FULL, snapshot_seconds=snapshot_seconds)
    settle()
    watched = Watched()
    with Worker(eight_windows.pipeline, path, settings, watcher=watched.watch) as worker:
        watched.attach(worker.snapshots)
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        worker.run()
    return watched.found()


if __name__ == "__main__":
    print(json.dumps(work(Path(sys.argv[1]), float(sys.argv[2]))))
