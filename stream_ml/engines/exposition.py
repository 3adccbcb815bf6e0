"""What a scrape reads of a session: its counters, by pipeline and task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

#: Buckets of what a turn takes, seconds.
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_COUNTERS = {
    "events": ("events", "Events read"),
    "predictions": ("predicted", "Predictions written"),
    "examples": ("examples", "Examples written, or read by a learner"),
    "late": ("late", "Late events"),
    "duplicates": ("duplicate", "Duplicate events"),
    "alarms": ("alarms", "Alarms"),
}
_FATES = ("joined", "again", "held", "idle", "unmatched", "silence", "dropped", "given_up", "no_target")


class Watched(Protocol):
    """A session, of a scorer or a learner."""

    @property
    def stats(self) -> dict[str, Any]:
        """Counters."""

    def quality(self) -> list[dict[str, Any]]:
        """Return every metric as it stands now."""


class Families:
    """Metric families that sessions fill one by one; `all` gives them.

    Parameters
    ----------
    labels
        Names of the labels that every sample carries first.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}

    def all(self) -> Iterator[Metric]:
        """Yield the families."""
        yield from self._families.values()

    def counter(self, name: str, text: str, whose: tuple[str, ...], value: float, /, **more: str) -> None:
        """Add a sample to a counter."""
        self._add(CounterMetricFamily, name, text, whose, value, more)

    def gauge(self, name: str, text: str, whose: tuple[str, ...], value: float | None, /, **more: str) -> None:
        """Add a sample to a gauge; None adds nothing."""
        if value is not None:
            self._add(GaugeMetricFamily, name, text, whose, value, more)

    def _add(
        self, kind: type[Any], name: str, text: str, whose: tuple[str, ...], value: float, more: Mapping[str, str]
    ) -> None:
        if name not in self._families:
            self._families[name] = kind(f"stream_ml_{name}", text, labels=(*self._labels, *more))
        self._families[name].add_metric((*whose, *more.values()), value)

    def stages(self, seconds: Mapping[str, float], whose: tuple[str, ...]) -> None:
        """Add what computing turns took, by stage."""
        for stage, spent in tuple(seconds.items()):
            self.counter("stage_seconds", "Time spent computing turns, by stage", whose, spent, stage=stage)

    def session(self, session: Watched, whose: tuple[str, ...]) -> None:
        """Add what a session tells."""
        stats = _told(session)
        for name, (key, text) in _COUNTERS.items():
            if key in stats:
                self.counter(name, text, whose, stats[key])
        for reason, count in stats["dead"].items():
            self.counter("dead_letters", "Refused records by reason", whose, count, reason=reason)
        for fate in _FATES:
            if fate in stats:
                self.counter("labels", "Labels by what became of them", whose, stats[fate], fate=fate)
        self.gauge("pending", "Events that wait for their label", whose, stats.get("pending"))
        self.gauge("model_version", "Examples that the model has learned", whose, stats["version"][1])
        for one in session.quality():
            named = {"name": one["name"], "slice": _slice(one["slice"]), "window": one["window"]}
            self.gauge("quality", "Prequential quality", whose, one["value"], **named)


def _told(session: Watched) -> dict[str, Any]:
    """Read the counters from the endpoint's thread; the worker may add a reason in between."""
    while True:
        try:
            return session.stats
        except RuntimeError:
            continue


def _slice(value: tuple[str, str | None] | None) -> str:
    """Spell a slice: nothing for the whole, `column=value`, `column=*` for all values past the most that are kept."""
    return "" if value is None else f"{value[0]}={'*' if value[1] is None else value[1]}"
