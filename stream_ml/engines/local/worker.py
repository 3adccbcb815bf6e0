"""The worker of one pipeline on one file: reads, feeds, stores, snapshots, until it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from stream_ml.client.database import failures, transaction
from stream_ml.client.follow import Follow
from stream_ml.client.log import now_ms
from stream_ml.config.settings import Settings
from stream_ml.engines.local.lock import WorkerLock
from stream_ml.engines.local.reader import Reader
from stream_ml.engines.local.recovery import Recovered, open_session, position_of
from stream_ml.engines.local.snapshots import Snapshots
from stream_ml.engines.local.store import Commit, Output, Store
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema.records import Run
from stream_ml.sessions.session import Session, Turn

STATUS_EVERY_S = 1.0
LONGEST_WAIT_S = 60.0


class End(Enum):
    """When `Worker.run` returns."""

    STOPPED = "stopped"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Carried:
    """One turn as it was carried out, for those who watch.

    Parameters
    ----------
    records
        How many were fed; 0 for a tick.
    feed_s, commit_s
        What computing and storing took, seconds.
    behind
        Rows of the log that were not yet looked at when the turn was read.
    """

    records: int
    feed_s: float
    commit_s: float
    behind: int


Watcher = Callable[[Session, Carried], None]


class Worker:
    """Carries out turns: every output and the journal entry of a turn are one transaction.

    States: made → `run` → (stopped | read to the end) → closed. `stop` may be called from a signal handler: the turn
    at hand is finished, a snapshot is kept, `run` returns. An exception out of `run` leaves the file as the last commit
    left it: a new worker recovers from there.

    Parameters
    ----------
    pipeline
        What to run.
    path
        The SQLite file.
    settings
        How.
    start_from
        Folder that `replay --save` wrote; only for a pipeline that never ran on this file.
    watcher
        Called after each turn.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        path: Path,
        settings: Settings,
        start_from: Path | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._settings = settings
        self._watcher = watcher
        self._stopping = False
        self._status_at = 0.0
        self._status_due = False
        self.store = Store(path, pipeline.name, settings.durable, settings.busy_ms)
        try:
            self._lock = WorkerLock(path, pipeline.name)
        except BaseException:
            self.store.close()
            raise
        try:
            recovered = open_session(pipeline, self.store, start_from)
            self._begin(recovered, path)
        except BaseException:
            self._lock.close()
            self.store.close()
            raise

    def _begin(self, recovered: Recovered, path: Path) -> None:
        self.recovered = recovered
        self.session = recovered.session
        self.reader = Reader(self.store.log, self.session.topics, position_of(self.session))
        self.snapshots = Snapshots(recovered, self.store, self._settings.snapshot_seconds)
        with failures(path):
            self._follow = Follow(self.store.connection, path)

    def stop(self) -> None:
        """Ask `run` to finish the turn at hand, keep a snapshot and return."""
        self._stopping = True
        self._follow.interrupt()

    def close(self) -> None:
        """Let go of the file and the lock."""
        self._follow.close()
        self.store.close()
        self._lock.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, *, until_end: bool = False) -> End:
        """Feed what is unread, then follow the log.

        Parameters
        ----------
        until_end
            Return when every record is read; deadlines that lie ahead are not waited for.

        Raises
        ------
        StorageError, BusyError, CorruptError
            The turn at hand was not stored.
        """
        end = End.STOPPED
        while not self._stopping:
            with failures(self.store.path):
                self._follow.mark()
                run = self.reader.next(self._settings.batch)
            if run is not None:
                self._feed(run)
            elif self._due_in(now_ms()) <= 0.0:
                self._tick()
            elif self.snapshots.packing:
                self.snapshots.step()
            elif until_end:
                end = End.READ
                break
            else:
                self._wait()
        self.snapshots.finish()
        self.store.keep_status(self._status())
        return end

    def _feed(self, run: Run) -> None:
        """Carry out one turn.

        Steps: 1 decide; 2 store outputs and entry in one transaction; 3 move the position; 4 what can wait.
        """
        begun = time.perf_counter()
        turn = self.session.feed([run])
        decided = time.perf_counter()
        rows = self.store.commit(self._commit(turn))
        stored = time.perf_counter()
        self.reader.fed(run)
        self.reader.passed(rows)
        self._after(Carried(len(run.values), decided - begun, stored - decided, self.reader.behind))

    def _tick(self) -> None:
        """Let deadlines fire that no record will pass.

        The writer's lock is held, so that no record can be stamped with an earlier time and committed later.
        """
        begun = time.perf_counter()
        with failures(self.store.path), transaction(self.store.connection):
            if self.reader.next(1) is not None:
                return
            turn = self.session.feed([], tick=self.store.log.stamp())
            decided = time.perf_counter()
            rows = self.store.write(self._commit(turn))
        self.reader.passed(rows)
        self._after(Carried(0, decided - begun, time.perf_counter() - decided, 0))

    def _after(self, carried: Carried) -> None:
        self.store.after_commit()
        self.snapshots.after_turn(carried.feed_s)
        if self._watcher is not None:
            self._watcher(self.session, carried)

    def _wait(self) -> None:
        if self._status_due:
            pause = self._status_at + STATUS_EVERY_S - time.monotonic()
            if pause <= 0.0:
                self.store.keep_status(self._status())
                return
        else:
            pause = LONGEST_WAIT_S
        with failures(self.store.path):
            self._follow.wait(min(pause, self._due_in(now_ms()), LONGEST_WAIT_S))

    def _due_in(self, now: int) -> float:
        """Tell the seconds until the next deadline; infinite if there is none."""
        due = self.session.due
        return float("inf") if due is None else (due - now) / 1_000

    def _commit(self, turn: Turn) -> Commit:
        outputs = [Output(out.topic, out.values) for out in turn.out]
        self._status_due = True
        late = time.monotonic() - self._status_at >= STATUS_EVERY_S
        return Commit(outputs, turn.number, turn.entry, self._status() if late else None)

    def _status(self) -> bytes:
        self._status_at = time.monotonic()
        self._status_due = False
        return orjson.dumps(self.status(), option=orjson.OPT_NON_STR_KEYS)

    def status(self) -> dict[str, Any]:
        """Tell what `stream-ml status` shows of this worker: where it is and its counters."""
        return {
            "position": self.reader.position,
            "topics": list(self.session.topics),
            "due": self.session.due,
            "stats": self.session.stats,
        }
