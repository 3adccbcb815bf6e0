"""The worker of one pipeline on one file: reads, feeds, stores, snapshots, until it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from stream_ml.client.database import failures, transaction
from stream_ml.client.follow import Follow
from stream_ml.client.log import now_ms
from stream_ml.config.settings import Settings
from stream_ml.engines.attempts import Attempts, Kind, kills, smaller
from stream_ml.engines.local.lock import WorkerLock
from stream_ml.engines.local.notes import Notes, place_of
from stream_ml.engines.local.reader import Reader
from stream_ml.engines.local.recovery import Recovered, open_session, position_of
from stream_ml.engines.local.snapshots import Snapshots
from stream_ml.engines.local.store import Commit, Output, Store
from stream_ml.engines.stages import Stages
from stream_ml.engines.watchdog import Watchdog, first, paced
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema.records import Run
from stream_ml.sessions.journal import DEADLINES
from stream_ml.sessions.session import Place, Session, Turn

STATUS_EVERY_S = 1.0
LONGEST_WAIT_S = 60.0


class End(Enum):
    """When `Worker.run` returns."""

    STOPPED = "stopped"
    READ = "read"
    DRAINED = "drained"


class Until(Enum):
    """What `Worker.run` goes on for.

    FOLLOW: until it is told to stop. READ: until every record is read; deadlines that lie ahead are not waited for.
    DRAINED: until every record is read and nothing waits for its label; then the pipeline ends, so that a changed one
    may begin. GIVEN_UP: the same, but what waits is given up.
    """

    FOLLOW = "follow"
    READ = "read"
    DRAINED = "drained"
    GIVEN_UP = "given up"


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
    stages
        What computing took since the start, seconds by stage.
    """

    records: int
    feed_s: float
    commit_s: float
    behind: int
    stages: Mapping[str, float]


Watcher = Callable[[Session, Carried], None]


class Worker:
    """Carries out turns: every output and the journal entry of a turn are one transaction.

    States: made → `run` → (stopped | read to the end | drained) → closed. `stop` may be called from a signal handler:
    the turn at hand is finished, a snapshot is kept, `run` returns. An exception out of `run` leaves the file as the
    last commit left it: a new worker recovers from there. If the last one died, this one is careful until it is past
    that place (:mod:`stream_ml.engines.attempts`).

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
    watchdog
        Watches each turn; the caller closes it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        path: Path,
        settings: Settings,
        start_from: Path | None = None,
        watcher: Watcher | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._settings = settings
        self._watcher = watcher
        self._watchdog = watchdog
        self._died = False
        self._stopping = False
        self._status_at = 0.0
        self._status_due = False
        self.stages = Stages()
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
            self._lock.close(died=self._lock.died)
            self.store.close()
            raise

    def _begin(self, recovered: Recovered, path: Path) -> None:
        self.recovered = recovered
        self.session = recovered.session
        self.session.mark = self.stages
        self._batch = first(self._settings.batch, compiled=self.session.learner.compiled)
        self.reader = Reader(self.store.log, self.session.topics, position_of(self.session))
        self.snapshots = Snapshots(recovered, self.store, self._settings.snapshot_seconds)
        self._suspect()
        with failures(path):
            self._follow = Follow(self.store.connection, path)

    def _suspect(self) -> None:
        """Find out where the last worker died, if it did."""
        self._attempts, self._notes = Attempts(), Notes(self.store)
        last = self._notes.read()
        if not self._lock.died:
            if last is not None:
                self._notes.forget()
        elif last is not None and last.place == place_of(self.session.number + 1):
            self._attempts.go_on(last, self.session.due)
        else:
            with failures(self.store.path):
                run = self.reader.next(self._settings.batch)
            unread = 0 if run is None else len(run.values)
            self._attempts.suspect(unread, smaller(unread), now_ms())

    @property
    def told(self) -> str:
        """Where the worker begins, in one line for people."""
        return "; ".join(one for one in (self.recovered.told, self._attempts.told) if one)

    def stop(self) -> None:
        """Ask `run` to finish the turn at hand, keep a snapshot and return."""
        self._stopping = True
        self._follow.interrupt()

    def close(self) -> None:
        """Let go of the file and the lock."""
        self._follow.close()
        self.store.close()
        self._lock.close(died=self._died)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        *,
        until_end: bool = False,
        until: Until = Until.FOLLOW,
        waiting: Callable[[Session], None] | None = None,
    ) -> End:
        """Feed what is unread, then follow the log.

        Parameters
        ----------
        until_end
            Short for `until=Until.READ`.
        until
            When to return without being told to stop.
        waiting
            Called once where every record is read and labels are still waited for, before the worker is drained.

        Raises
        ------
        StorageError, BusyError, CorruptError
            The turn at hand was not stored.
        """
        until = Until.READ if until_end else until
        end = End.STOPPED
        while not self._stopping:
            if self._attempts.careful:
                self._careful()
                continue
            with failures(self.store.path):
                self._follow.mark()
                run = self.reader.next(self._batch)
            if run is not None:
                self._feed(run)
            elif self._due_in(now_ms()) <= 0.0:
                self._tick()
            elif self.snapshots.packing:
                self.snapshots.step()
            elif until is Until.READ:
                end = End.READ
                break
            elif until is Until.GIVEN_UP or (until is Until.DRAINED and not self.session.unresolved):
                self._drain()
                end = End.DRAINED
                break
            else:
                if until is Until.DRAINED and waiting is not None:
                    waiting(self.session)
                    waiting = None
                self._wait()
        self.snapshots.finish()
        self.store.keep_status(self._status())
        return end

    def _careful(self) -> None:
        """Carry out one small turn, written down before; or be done with that."""
        attempts = self._attempts
        with failures(self.store.path):
            run = self.reader.next(attempts.records)
        received = None if run is None else min(int(run.received[0]), run.cap)
        passing = attempts.deadlines(self.session.due, received)
        if passing is not None:
            moment, span = passing
            killing = self._written(Kind.DEADLINES, span)
            self._tick(moment, [(DEADLINES, moment)] if killing else [], unread=run is not None)
        elif run is not None and attempts.left > 0:
            killing = self._written(Kind.RECORDS, len(run.values))
            self._feed(run, [(run.source, int(run.offsets[0]))] if killing else [])
            attempts.fed(len(run.values))
        else:
            attempts.over()
            self._notes.forget()

    def _written(self, kind: Kind, size: int) -> bool:
        """Write down a turn before it is begun; true if it is known to kill."""
        attempt = self._attempts.write(place_of(self.session.number + 1), kind, size)
        self._notes.keep(attempt)
        return kills(attempt)

    def _feed(self, run: Run, skipped: Sequence[Place] = ()) -> None:
        """Carry out one turn.

        Steps: 1 decide; 2 store outputs and entry in one transaction; 3 move the position; 4 what can wait.
        """
        begun = time.perf_counter()
        turn = self._decide([run], None, skipped)
        decided = time.perf_counter()
        rows = self.store.commit(self._commit(turn))
        stored = time.perf_counter()
        self.reader.fed(run)
        self.reader.passed(rows)
        self._batch = paced(
            self._batch, len(run.values), decided - begun, self._settings.turn_seconds, self._settings.batch
        )
        self._after(len(run.values), decided - begun, stored - decided, self.reader.behind)

    def _tick(self, moment: int | None = None, skipped: Sequence[Place] = (), *, unread: bool = False) -> None:
        """Let deadlines fire that no record will pass, now or up to a moment.

        The writer's lock is held, so that no record can be stamped with an earlier time and committed later. Where a
        record is `unread`, the moment is not after it.
        """
        begun = time.perf_counter()
        with failures(self.store.path), transaction(self.store.connection):
            if not unread and self.reader.next(1) is not None:
                return
            stamp = self.store.log.stamp()
            turn = self._decide([], stamp if moment is None else min(moment, stamp), skipped)
            decided = time.perf_counter()
            rows = self.store.write(self._commit(turn))
        self.reader.passed(rows)
        self._after(0, decided - begun, time.perf_counter() - decided, 0)

    def _decide(self, runs: Sequence[Run], tick: int | None, skipped: Sequence[Place]) -> Turn:
        if self._watchdog is not None:
            rows = f"rows {runs[0].first} to {runs[0].end - 1}" if runs else "deadlines"
            self._watchdog.begin(f"{self.store.pipeline}: turn {self.session.number + 1} ({rows})")
        try:
            return self.session.feed(runs, tick, skipped)
        except Exception:
            self._died = True
            raise
        finally:
            if self._watchdog is not None:
                self._watchdog.end()

    def _drain(self) -> None:
        """End the pipeline here, so that a changed one may begin."""
        if not self.session.drained:
            self.reader.passed(self.store.commit(self._commit(self.session.drain())))

    def _after(self, records: int, feed_s: float, commit_s: float, behind: int) -> None:
        self.store.after_commit()
        self.snapshots.after_turn(feed_s)
        if self._watcher is not None:
            self._watcher(self.session, Carried(records, feed_s, commit_s, behind, self.stages.seconds))

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
            "stages_s": self.stages.seconds,
        }
