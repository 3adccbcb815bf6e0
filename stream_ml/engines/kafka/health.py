"""What a worker on Kafka tells over HTTP: /healthz, /readyz, and /metrics for Prometheus."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.metrics_core import Metric

from stream_ml.engines.exposition import Families
from stream_ml.engines.kafka.states import State
from stream_ml.errors import UsageError

if TYPE_CHECKING:
    from stream_ml.engines.kafka.task import Task
    from stream_ml.engines.kafka.worker import Worker

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Health:
    """Serves a worker's state from a thread of its own, until closed.

    Healthy: the loop turns, and no task that has records to read has gone without a commit for too long. Ready: every
    task that is this worker's is running.

    Parameters
    ----------
    stale_s
        How long a task may have records to read and commit nothing.
    """

    def __init__(self, worker: Worker, host: str, port: int, stale_s: float) -> None:
        self._worker, self._stale_s = worker, stale_s
        registry = CollectorRegistry()
        registry.register(self)
        self._metrics = make_wsgi_app(registry)
        try:
            self._server = make_server(host, port, self._answer, _Server, _Quiet)
        except OSError as error:
            cause = f"Metrics cannot be served on {host}:{port} ({error.strerror})"
            raise UsageError(cause, "Choose another --metrics-port") from error
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Leave off."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            found: Iterable[bytes] = self._metrics(environ, start)
            return found
        if path not in {"/healthz", "/readyz"}:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"see /healthz, /readyz and /metrics\n"]
        problem = self.problem() if path == "/healthz" else self.waiting()
        start("503 Service Unavailable" if problem else "200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{problem or 'ok'}\n".encode()]

    def problem(self) -> str:
        """Say what is wrong, nothing if all is well."""
        now = time.monotonic()
        for name, task in self._tasks():
            told = task.told
            if told.state is State.RUNNING and told.lag and now - told.committed > self._stale_s:
                silent = now - told.committed
                return f"task {name} is {told.lag:,} records behind and has not committed for {silent:.0f} s"
        return ""

    def waiting(self) -> str:
        """Say which task does not run yet, nothing if all do."""
        if not self._worker.joined:
            return "the group has not told which partitions are this worker's"
        for name in sorted(self._worker.not_begun):
            return f"task {name} is not begun"
        tasks = self._tasks()
        for name, task in tasks:
            if task.told.state is not State.RUNNING:
                done, entries = task.told.restored
                return f"task {name} is {task.told.state.value}, {done} of {entries} journal entries fed again"
        return self.problem()

    def _tasks(self) -> list[tuple[str, Task]]:
        return sorted(self._worker.tasks.copy().items())

    def collect(self) -> Iterator[Metric]:
        """Give the samples of a scrape."""
        worker = self._worker
        name = worker.plan.name
        families = Families(("pipeline", "task"))
        newest = worker.newest_version
        for number, task in self._tasks():
            whose = (name, number)
            told = task.told
            families.gauge("task_running", "1 while the task serves", whose, float(told.state is State.RUNNING))
            families.counter("turns", "Transactions committed", whose, told.turns)
            families.counter("feed_seconds", "Time spent computing turns", whose, told.feed_s)
            families.stages(task.stages.seconds, whose)
            families.counter("commit_seconds", "Time spent writing turns", whose, told.commit_s)
            families.gauge("lag_records", "Records of the sources that are not fed yet", whose, told.lag)
            families.gauge("committed_seconds", "Since the last commit", whose, time.monotonic() - told.committed)
            families.counter("snapshots", "Snapshots kept", whose, told.snapshots)
            families.gauge("snapshot_bytes", "Bytes that the last snapshot wrote", whose, told.snapshot_bytes)
            age = None if told.snapshot_at is None else time.time() - told.snapshot_at
            families.gauge("snapshot_age_seconds", "Since the last snapshot", whose, age)
            families.gauge("restored_entries", "Journal entries fed again at the start", whose, told.restored[0])
            families.gauge("restore_entries", "Journal entries to be fed again at the start", whose, told.restored[1])
            if task.session is not None:
                families.session(task.session, whose)
                if newest is not None and number.isdigit():
                    behind = max(0, newest - task.session.version[1])
                    families.gauge("version_lag", "Examples that the newest model has learned more", whose, behind)
        everyone = (name, "")
        families.counter("fenced", "Tasks that another worker took over", everyone, worker.fenced)
        families.counter("aborted", "Tasks acquired anew after an error", everyone, worker.lost)
        families.gauge("loop_lag_seconds", "Longest the loop stood still", everyone, worker.watchdog.worst_s)
        families.gauge("model_age_seconds", "Since a new model version came", everyone, worker.model_age_s)
        yield from families.all()


class _Server(WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: a scrape comes every few seconds."""
