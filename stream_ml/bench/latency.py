"""`stream-ml bench latency`: an open loop against a worker of its own, one rate or a rising row of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from stream_ml.bench.figures import GROWTH, histogram_or_refuse, ids_of, read_sent, step
from stream_ml.bench.load import Arrivals, Load
from stream_ml.bench.machine import machine
from stream_ml.bench.processes import Child
from stream_ml.bench.records import Records
from stream_ml.bench.seen import PREDICTIONS, learned_at, read_seen
from stream_ml.bench.stand import Say, Stand, stand
from stream_ml.bench.subject import WORKER, Subject
from stream_ml.errors import StreamMLError, UsageError

#: Share of a step, and seconds at most, in which nothing is measured yet.
WARM, WARM_S = 0.2, 5.0
#: How late, in seconds, the last record of a step may be stored; from there on no higher rate is tried.
_LATE_S = 0.5
#: How the rate rises from step to step, and how many steps there are at most.
FACTOR, STEPS = 1.5, 16
#: A generator holds all records of a step in memory.
MOST = 3_000_000
_FIRST = 500  # events that tell that the worker serves
_READY_S, _QUIET_S, _ANSWER_S = 180.0, 1.5, 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured.

    Parameters
    ----------
    source, url
        The user's file, and where.
    rate, seconds
        Events a second, and for how long, the warm-up included.
    sweep
        Whether the rate rises until it is not sustained.
    steps
        To how many rates at most.
    keys, labels, label_after_s, arrivals, data, seed
        As in `Load`.
    """

    source: Path
    url: str
    rate: float
    seconds: float
    sweep: bool = False
    steps: int = STEPS
    keys: int = 5_000
    labels: float = 0.2
    label_after_s: float = 1.0
    arrivals: Arrivals = Arrivals.CONSTANT
    data: dict[str, str] = field(default_factory=dict)
    seed: int = 7

    def __post_init__(self) -> None:
        """Refuse what cannot be sent."""
        if self.rate <= 0 or self.seconds <= 0 or not 0 <= self.labels <= 1:
            cause = "A rate and a duration are above zero, a share of labels from 0 to 1"
            raise UsageError(cause)
        if self.rate * self.seconds > MOST:
            cause = f"{self.rate * self.seconds:,.0f} events are more than a generator holds ({MOST:,})"
            raise UsageError(cause, "Measure for a shorter time, or at a lower rate")


def latency(asked: Asked, say: Say, subject: Subject = WORKER) -> dict[str, Any]:
    """Measure, and return the figures of each step with the machine they were measured on.

    Parameters
    ----------
    asked
        What is to be measured.
    say
        Takes a line for people.
    subject
        What answers the events.

    Raises
    ------
    StreamMLError
        The pipeline is refused, or the worker, the reader or the generator ended.
    """
    histogram_or_refuse()
    with stand(asked.source, asked.url, asked.data, say) as place, ExitStack() as stack:
        out = place.folder / "seen.bin"
        reader = stack.enter_context(place.reader(out, subject.id_field))
        worker = stack.enter_context(subject.start(place, False))
        run = _Run(asked, place, worker, reader, say)
        run.begin()
        run.steps()
        reader.finish(_ANSWER_S)
        worker.stop()
        figures = run.figures(out)
    measured = {
        "what": "latency",
        "pipeline": place.name.rpartition("-bench-")[0],
        "engine": place.engine,
        "partitions": place.partitions,
        "learning": "shared" if place.shared else "inline",
        "arrivals": asked.arrivals.value,
        "keys": asked.keys,
        "label_share": asked.labels,
        "label_after_s": asked.label_after_s,
        "worker_cpu_s": round(worker.cpu_s, 2),
        "steps": figures,
    }
    if asked.sweep:
        held = [one["rate"] for one in takewhile(lambda one: one["sustained"], figures)]
        measured["knee"] = held[-1] if held else None
    return {**machine(), **measured}


class _Run:
    """The steps of one measurement: `begin`, `steps`, then, when the reader has ended, `figures`."""

    def __init__(self, asked: Asked, place: Stand, worker: Child, reader: Child, say: Say) -> None:
        self._asked, self._place, self._worker, self._reader, self._say = asked, place, worker, reader, say
        self._sent: list[tuple[Load, Path, float]] = []
        self._next = 0
        self._pause = threading.Event()

    def begin(self) -> None:
        """Send some events and wait for the first answer: the worker serves."""
        count = min(_FIRST, max(1, int(self._asked.rate)))
        self._send(self._load(count, 0.0, tables=True), "first")
        if not self._until(lambda: bool(self._reader.last.get(PREDICTIONS)), _READY_S):
            cause = f"No prediction came within {_READY_S:g} s"
            raise StreamMLError(cause, "Does the pipeline predict for these records? Try --data TOPIC=FILE")
        self._settle()

    def steps(self) -> None:
        """Send at one rate, or at rising ones until the lag grows."""
        rate = self._asked.rate
        for number in range(self._asked.steps if self._asked.sweep else 1):
            events = max(1, round(rate * self._asked.seconds))
            if number and events > MOST:
                return
            load = self._load(events, rate)
            warm = min(WARM_S, WARM * self._asked.seconds)
            self._say(f"{rate:,.0f} events a second for {self._asked.seconds:g} s, the first {warm:g} s not measured")
            before = self._answers
            path = self._send(load, f"step{number}")
            behind = events - (self._answers - before)
            self._sent.append((load, path, warm))
            self._settle()
            if behind > GROWTH * events:  # what came last is still open when even its labels are sent: past the knee
                return
            if _lateness(path) > _LATE_S:  # such a rate cannot be offered here
                return
            rate *= FACTOR

    def figures(self, out: Path) -> list[dict[str, Any]]:
        """Return the figures of each step."""
        seen = read_seen(out)
        records = Records(self._place.pipeline, self._load(1, 0.0))
        learned = learned_at(seen, shared=self._place.shared)
        named = self._place.pipeline.event.__stream__.id is not None
        found = []
        for load, path, warm in self._sent:
            sent = read_sent(path)
            ids = ids_of(load, sent, records.topic, named=named, whole=records.whole)
            found.append(step(load, sent, seen, ids, learned, warm))
        return found

    @property
    def _answers(self) -> int:
        return self._reader.last.get(PREDICTIONS, 0)

    def _load(self, events: int, rate: float, *, tables: bool = False) -> Load:
        asked = self._asked
        return self._place.load(
            events=events, rate=rate, first=self._next, tables=tables, keys=asked.keys, labels=asked.labels,
            label_after_s=asked.label_after_s, arrivals=asked.arrivals, data=asked.data, seed=asked.seed,
        )  # fmt: skip

    def _send(self, load: Load, name: str) -> Path:
        """Run a generator to its end; the worker and the reader must live meanwhile."""
        out = self._place.folder / f"{name}.npz"
        with self._place.generator(load, out) as generator:
            self._until(lambda: not generator.running, float("inf"))
            generator.finish(_ANSWER_S)
        self._next += load.events
        return out

    def _settle(self) -> None:
        """Wait until everything is answered, or nothing has come for a while."""
        last, since = -1, time.monotonic()
        end = time.monotonic() + _ANSWER_S
        while time.monotonic() < end:
            self._check()
            if self._answers != last:
                last, since = self._answers, time.monotonic()
            if last >= self._next or time.monotonic() - since > _QUIET_S:
                return
            self._pause.wait(0.05)

    def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not holds():
            self._check()
            if time.monotonic() > end:
                return False
            self._pause.wait(0.02)
        return True

    def _check(self) -> None:
        for child in (self._worker, self._reader):
            child.check()
            if not child.running:
                cause = f"A process of the measurement ended: {child.told.read_text(encoding='utf-8')[-500:]}"
                raise StreamMLError(cause)


def _lateness(path: Path) -> float:
    """Return how many seconds after its moment the last record was stored."""
    sent = read_sent(path)
    return float((sent.stored - sent.intended)[-1])
