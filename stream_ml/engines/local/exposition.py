"""The worker's counters for Prometheus, on 127.0.0.1 by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream_ml.engines.local.worker import Carried, Watcher
from stream_ml.errors import UsageError
from stream_ml.sessions.session import Session

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


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
        self._turns = Histogram(
            "stream_ml_turn_seconds",
            "What a turn took, computing and storing",
            ["pipeline"],
            buckets=_SECONDS,
            registry=registry,
        ).labels(pipeline)
        registry.register(self)

    def watch(self, session: Session, carried: Carried) -> None:
        """Take a turn's numbers: called by the worker after each."""
        self._turns.observe(carried.feed_s + carried.commit_s)
        self._lag = carried.behind
        self._session = session

    def collect(self) -> Iterator[Metric]:
        """Give the samples of a scrape, as the session stands now."""
        session = self._session
        if session is None:
            return
        stats = _told(session)
        for name, (key, text) in _COUNTERS.items():
            yield self._counter(name, text, (), {(): stats[key]})
        yield self._counter("dead_letters", "Refused records by reason", ("reason",), _by(stats["dead"]))
        fates = _by({fate: stats[fate] for fate in _FATES})
        yield self._counter("labels", "Labels by what became of them", ("fate",), fates)
        yield self._gauge("pending", "Events that wait for their label", (), {(): stats["pending"]})
        yield self._gauge("model_version", "Examples that the model has learned", (), {(): stats["version"][1]})
        quality: dict[tuple[str, ...], float | None] = {
            (one["name"], _slice(one["slice"]), one["window"]): one["value"] for one in session.quality()
        }
        yield self._gauge("quality", "Prequential quality", ("name", "slice", "window"), quality)
        yield self._gauge("lag_rows", "Rows of the log that are not read yet", (), {(): self._lag})

    def _counter(
        self, name: str, text: str, labels: tuple[str, ...], samples: Mapping[tuple[str, ...], float]
    ) -> Metric:
        family = CounterMetricFamily(f"stream_ml_{name}", text, labels=("pipeline", *labels))
        for values, value in samples.items():
            family.add_metric((self._pipeline, *values), value)
        return family

    def _gauge(
        self, name: str, text: str, labels: tuple[str, ...], samples: Mapping[tuple[str, ...], float | None]
    ) -> Metric:
        family = GaugeMetricFamily(f"stream_ml_{name}", text, labels=("pipeline", *labels))
        for values, value in samples.items():
            if value is not None:
                family.add_metric((self._pipeline, *values), value)
        return family


_COUNTERS = {
    "events": ("events", "Events read"),
    "predictions": ("predicted", "Predictions written"),
    "late": ("late", "Late events"),
    "duplicates": ("duplicate", "Duplicate events"),
    "alarms": ("alarms", "Alarms"),
}
_FATES = ("joined", "again", "held", "idle", "unmatched", "silence", "dropped", "given_up", "no_target")


def _told(session: Session) -> dict[str, Any]:
    """Read the counters from the endpoint's thread; the worker may add a reason in between."""
    while True:
        try:
            return session.stats
        except RuntimeError:
            continue


def _slice(value: tuple[str, str | None] | None) -> str:
    """Spell a slice: nothing for the whole, `column=value`, `column=*` for all values past the most that are kept."""
    return "" if value is None else f"{value[0]}={'*' if value[1] is None else value[1]}"


def _by(counts: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(name,): value for name, value in counts.items()}


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
