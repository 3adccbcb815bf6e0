"""The worker's counters for Prometheus, on 127.0.0.1 by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.metrics_core import Metric

from stream_ml.engines.exposition import SECONDS, Families
from stream_ml.engines.local.worker import Carried, Watcher
from stream_ml.errors import UsageError
from stream_ml.sessions.session import Session


class Exposition:
    """What a scrape reads: the session's counters as of the last turn, the turns' times, the lag.

    Parameters
    ----------
    pipeline
        Name that each sample carries as its label `pipeline`.
    registry
        Where it registers.
    """

    def __init__(self, pipeline: str, registry: CollectorRegistry) -> None:
        self._pipeline = pipeline
        self._session: Session | None = None
        self._lag = 0
        self._stages: Mapping[str, float] = {}
        self._turns = Histogram(
            "stream_ml_turn_seconds",
            "What a turn took, computing and storing",
            ["pipeline"],
            buckets=SECONDS,
            registry=registry,
        ).labels(pipeline)
        registry.register(self)

    def watch(self, session: Session, carried: Carried) -> None:
        """Take a turn's numbers: called by the worker after each."""
        self._turns.observe(carried.feed_s + carried.commit_s)
        self._lag, self._stages = carried.behind, carried.stages
        self._session = session

    def collect(self) -> Iterator[Metric]:
        """Give the samples of a scrape, as the session stands now."""
        if self._session is None:
            return
        families = Families(("pipeline",))
        whose = (self._pipeline,)
        families.session(self._session, whose)
        families.stages(self._stages, whose)
        families.gauge("lag_rows", "Rows of the log that are not read yet", whose, self._lag)
        yield from families.all()


def serve(pipeline: str, host: str, port: int) -> Watcher:
    """Serve metrics over HTTP from a thread of their own; gives what the worker calls after each turn.

    Raises
    ------
    UsageError
        If the address cannot be listened on.
    """
    registry = CollectorRegistry()
    exposition = Exposition(pipeline, registry)
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        cause = f"Metrics cannot be served on {host}:{port} ({error.strerror})"
        raise UsageError(cause, "Choose another --metrics-port") from error
    return exposition.watch
