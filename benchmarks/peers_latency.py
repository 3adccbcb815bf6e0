"""Latency beside the peers': an open loop against the worker, the transactional echo, Quix and Faust, in turn.

At rates that Faust can hold; then the curves: a load that rises by half from step to step until it is not sustained.
Readers are `read_committed`; the worker, the echo and Quix commit 10 ms after their last commit at the soonest, and
Quix and Faust wait at most 5 ms for a batch to fill. Quix is asked for exactly once, as the worker is; Faust gives at
least once, so its readers wait for no commit.

    python -m benchmarks peers_latency [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.command import Found, main, scratch
from benchmarks.kafka import CARDS, WORKER, latencies
from benchmarks.peers.drains import PEERS, in_place, peers_versions
from stream_ml.bench.latency import Asked, latency
from stream_ml.bench.subject import Subject
from stream_ml.demos.broker import Broker

NAMES = ("Quix Streams + river, exactly once", "Faust + river")
RATES, INTERVAL_S, STEP_S = (500.0, 1_000.0), 0.01, 8.0


def benchmark(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    versions = peers_versions()
    others = {name: Subject(in_place(PEERS[name], 0, INTERVAL_S)) for name in NAMES}
    with scratch() as folder, Broker(folder / "broker") as broker:
        url = f"kafka://{broker.address}"
        return {
            "workload": "cards on Kafka, open loop, a label for one payment in five a second after it, one partition,"
            f" transactions {INTERVAL_S * 1e3:g} ms apart at the soonest (Faust has none)",
            "peers": versions,
            "guarantees": {name: PEERS[name].guarantee for name in NAMES},
            "latency": {
                f"{rate:.0f}": latencies(url, rate, 3.0 if quick else 20.0, 1 if quick else 3, others)
                for rate in (RATES[:1] if quick else RATES)
            },
            "curves": {} if quick else curves(url, {WORKER: Subject(), **others}),
        }


def curves(url: str, subjects: Mapping[str, Subject]) -> Found:
    """Raise the load until it is not sustained: p50 and p99 at each step, and the last rate that was."""
    found: Found = {}
    for name, subject in subjects.items():
        swept = latency(Asked(source=CARDS, url=url, rate=RATES[0], seconds=STEP_S, sweep=True), print, subject)
        steps = [
            {"rate": one["rate"], "sustained": one["sustained"], "void": one["void"]}
            | {share: one["latency_ms"].get(share) for share in ("p50", "p99")}
            for one in swept["steps"]
        ]
        found[name] = {"knee": swept["knee"], "steps": steps}
    return found


if __name__ == "__main__":
    main("peers_latency", benchmark, __doc__)
