"""`stream-ml bench throughput`: fills a backlog first, then lets a worker drain it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.bench.figures import read_sent
from stream_ml.bench.generator import EVENT, LABEL
from stream_ml.bench.machine import machine
from stream_ml.bench.processes import Child, cpu_of
from stream_ml.bench.seen import Seen, read_seen
from stream_ml.bench.stand import Say, Stand, stand
from stream_ml.bench.subject import WORKER, Subject
from stream_ml.errors import StreamMLError

_FILL_S, _READY_S, _DRAIN_S, _READ_S = 1_800.0, 180.0, 3_600.0, 600.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is to be drained.

    Parameters
    ----------
    source, url
        The user's file, and where.
    events
        How many; each with its label record is one unit.
    keys, data, seed
        As in `Load`.
    """

    source: Path
    url: str
    events: int
    keys: int = 5_000
    data: dict[str, str] = field(default_factory=dict)
    seed: int = 7


def throughput(asked: Backlog, say: Say, subject: Subject = WORKER) -> dict[str, Any]:
    """Measure, and return the figures with the machine they were measured on.

    Parameters
    ----------
    asked
        What is to be drained.
    say
        Takes a line for people.
    subject
        What drains it.

    Raises
    ------
    StreamMLError
        The pipeline is refused, or a process ended.
    """
    with stand(asked.source, asked.url, asked.data, say) as place:
        sent = _fill(asked, place, say)
        say("The worker drains it")
        drained = drain(place, subject)
        seen = _read(place)
        events, labels = int((sent.kind == EVENT).sum()), int((sent.kind == LABEL).sum())
        return {
            **machine(),
            "what": "throughput",
            "pipeline": place.name.rpartition("-bench-")[0],
            "engine": place.engine,
            "partitions": place.partitions,
            "keys": asked.keys,
            "events": events,
            "labels": labels,
            "input_bytes": int(sent.bytes.sum()),
            "answered": len(seen.ids),
            "examples": len(seen.examples),
            **rates(seen, events, drained),
        }


@dataclass(frozen=True, slots=True)
class Drained:
    """What draining took from where the process was ready: seconds, CPU seconds of it and of what serves it; turns."""

    seconds: float
    cpu_s: float
    served_cpu_s: float
    turns: int


def rates(seen: Seen, events: int, drained: Drained) -> dict[str, Any]:
    """Return events a second and CPU an event.

    Wall time runs from the first commit of predictions or examples to the last, by the log's own time stamps, over the
    share of them that came after the first commit: neither starting nor ending is in it. CPU time is all that the
    process spent from the moment at which it was ready (imports and kernels done): joining, reading, and the snapshot
    at the end are in it.
    """
    stamps = np.array(seen.stamps)
    wall, after = paced(stamps, events) if stamps.size else (0.0, 0.0)
    return {
        "events_per_second": round(after / wall) if wall > 0 else None,
        "seconds": round(wall, 3),
        "process_seconds": round(drained.seconds, 3),
        "worker_cpu_s": round(drained.cpu_s, 3),
        "cpu_us_per_event": round(drained.cpu_s / events * 1e6, 2),
        "served_by_cpu_s": round(drained.served_cpu_s, 3),
        "turns": drained.turns,
    }


def paced(stamps: NDArray[np.int64], events: int) -> tuple[float, float]:
    """Return the seconds from the first commit of outputs to the last, and how many events came after the first one.

    Parameters
    ----------
    stamps
        When the log took each output, epoch ms [n]; at least one.
    events
        Events that all the outputs are of.

    Examples
    --------
    >>> paced(np.array([1_000, 1_000, 1_500, 2_000]), 10)
    (1.0, 5.0)
    """
    first = int(stamps.min())
    return (int(stamps.max()) - first) / 1e3, float((stamps > first).mean()) * events


def _fill(asked: Backlog, place: Stand, say: Say) -> Any:
    say(f"{asked.events:,} events with their labels are appended first")
    load = place.load(events=asked.events, tables=True, keys=asked.keys, data=asked.data, seed=asked.seed)
    out = place.folder / "backlog.npz"
    with place.generator(load, out) as generator:
        generator.finish(_FILL_S)
    return read_sent(out)


def drain(place: Stand, subject: Subject) -> Drained:
    """Let a program read everything that is there, and measure from where it is ready.

    Raises
    ------
    StreamMLError
        It ended with an error, or takes too long.
    """
    with subject.start(place, True) as worker:
        spent = ready(worker, f"{place.name} on ")
        begun, served = time.monotonic(), subject.meter()
        told = orjson.loads(worker.finish(_DRAIN_S).splitlines()[-1])
    seconds, served = time.monotonic() - begun, subject.meter() - served
    stats = [one["stats"] for one in told["tasks"].values() if "stats" in one] if "tasks" in told else [told["stats"]]
    return Drained(seconds, worker.cpu_s - spent, served, sum(one["entry"] for one in stats))


def ready(process: Child, line: str) -> float:
    """Wait until a process has said a line on stderr; returns the CPU seconds that it had used by then.

    Raises
    ------
    StreamMLError
        It ends without the line, or says nothing.
    """
    end, pause = time.monotonic() + _READY_S, threading.Event()
    while not process.says(line):
        process.check()
        if not process.running or time.monotonic() > end:
            cause = f"A process was not ready within {_READY_S:g} s"
            raise StreamMLError(cause, process.told.read_text(encoding="utf-8")[-500:])
        pause.wait(0.005)
    return cpu_of(process.pid) or 0.0


def _read(place: Stand) -> Seen:
    out = place.folder / "seen.bin"
    with place.reader(out) as reader:
        reader.finish(_READ_S)
    return read_seen(out)
