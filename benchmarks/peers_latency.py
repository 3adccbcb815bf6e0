"""Latency beside the peers': an open loop against the worker, the transactional echo, Quix and Faust.

First the curves: a load that rises by half from step to step until it is not sustained, p50 and p99 at each step. Then
the worker beside the echo at half of what the worker sustained, in turn. Then all of them in turn at a rate that Faust
can hold. Readers are `read_committed`; the worker, the echo and Quix commit 10 ms after their last commit at the
soonest, and Quix and Faust wait at most 5 ms for a batch to fill. Quix is asked for exactly once, as the worker is;
Faust gives at least once, so its readers wait for no commit. The echo computes nothing and keeps nothing. The broker's
Java machine has the options of Kafka's own start script. All of it takes about fifteen minutes.

    python -m benchmarks peers_latency [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.command import Found, main, scratch
from benchmarks.kafka import CARDS, ECHO, WORKER, floor, latencies
from benchmarks.peers.drains import PEERS, in_place, peers_versions
from stream_ml.bench.latency import STEPS, Asked, latency
from stream_ml.bench.subject import Subject
from stream_ml.demos.broker import QUICK, SHIPPED, Broker

NAMES = ("Quix Streams + river, exactly once", "Faust + river")
RATE, INTERVAL_S, HALF_LIMIT = 1_000.0, 0.01, 1.5
#: The first step of the curves: Faust's knee is not far.
FIRST = 500.0


@dataclass(frozen=True, slots=True)
class Length:
    """How long: steps at most and seconds of each; seconds of the runs in turn; rounds at half of capacity, at `RATE`.

    Where there are no rounds at `RATE`, nothing is measured there.
    """

    steps: int
    step_s: float
    seconds: float
    half: int
    rounds: int


BRIEF, FULL = Length(1, 1.0, 2.0, 1, 0), Length(STEPS, 4.0, 10.0, 5, 2)


def benchmark(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    versions, length = peers_versions(), BRIEF if quick else FULL
    others = {name: Subject(in_place(PEERS[name], 0, INTERVAL_S)) for name in NAMES}
    with scratch() as folder, Broker(folder / "broker", machine=QUICK if quick else SHIPPED) as broker:
        url = f"kafka://{broker.address}"
        swept = curves(url, {WORKER: Subject(), ECHO: floor("echo"), **others}, length)
        return {
            "workload": "cards on Kafka, open loop, a label for one payment in five a second after it, one partition,"
            f" transactions {INTERVAL_S * 1e3:g} ms apart at the soonest (Faust has none), the broker with options of"
            " Kafka's own start script",
            "peers": versions,
            "guarantees": {name: PEERS[name].guarantee for name in NAMES},
            "curves": swept,
            "half": half_of(url, swept[WORKER]["knee"] or FIRST, length),
            "latency": {f"{RATE:.0f}": latencies(url, RATE, length.seconds, length.rounds, others)}
            if length.rounds
            else {},
        }


def half_of(url: str, capacity: float, length: Length) -> Found:
    """Measure the worker and the echo in turn at half of what the worker sustained."""
    found = latencies(url, capacity / 2, length.seconds, length.half)
    return found | {
        "rate": capacity / 2,
        "capacity": capacity,
        "limit": HALF_LIMIT,
        "reached": bool(found["ratio"]["p99"] <= HALF_LIMIT),
    }


def curves(url: str, subjects: Mapping[str, Subject], length: Length) -> Found:
    """Raise the load until it is not sustained: p50 and p99 at each step, and the last rate that was."""
    found: Found = {}
    for name, subject in subjects.items():
        asked = Asked(source=CARDS, url=url, rate=FIRST, seconds=length.step_s, sweep=True, steps=length.steps)
        swept = latency(asked, print, subject)
        steps = [
            {"rate": one["rate"], "sustained": one["sustained"], "void": one["void"]}
            | {share: one["latency_ms"].get(share) for share in ("p50", "p99")}
            for one in swept["steps"]
        ]
        found[name] = {"knee": swept["knee"], "steps": steps}
    return found


if __name__ == "__main__":
    main("peers_latency", benchmark, __doc__)
