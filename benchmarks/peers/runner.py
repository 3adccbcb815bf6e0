"""Drains the same backlog with the worker, the transactional pass-through and each peer, in turn.

One broker, one copy of each topic. A round drains all programs one after the other (A B C … A B C …), each from topics
of its own that hold the same records. Every program's answers are checked before its speed counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Found, scratch
from benchmarks.kafka import PASS, WORKER, floor
from benchmarks.peers.answers import Answers, Reference, read_answers
from benchmarks.peers.backlog import Stream, make_stream
from benchmarks.peers.drains import (
    INTERVAL_S,
    PEERS,
    Check,
    Start,
    in_place,
    in_turn,
    peers_versions,
    ratios,
    summary,
)
from stream_ml.bench.subject import Subject
from stream_ml.demos.broker import QUICK, Broker

FEW, FULL, ROUNDS, PASS_LIMIT = 8_000, 120_000, 5, 0.6


def measured(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    versions = peers_versions()
    payments, rounds = (FEW, 1) if quick else (FULL, ROUNDS)
    with scratch() as folder, Broker(folder / "broker", machine=QUICK if quick else ()) as broker:
        stream = make_stream(folder, payments)
        return {
            "workload": f"cards on Kafka: a backlog of {payments:,} payments and as many label records hours to days"
            f" later ({stream.bytes:,} bytes), one partition, one broker with one copy of each topic, all of it on"
            " these cores",
            "rounds": rounds,
            "payments": payments,
            "commit_interval_s": INTERVAL_S,
            "peers": versions,
            **throughputs(broker, stream, rounds),
        }


def throughputs(broker: Broker, stream: Stream, rounds: int) -> Found:
    """Drain with every program in turn."""
    reference = Reference(stream)
    programs: dict[str, tuple[Start, Check]] = {
        WORKER: (Subject().start, checked(reference.worker)),
        PASS: (floor("pass").start, checked(reference.counts)),
        **{name: (in_place(peer, stream.count), checked(reference.peer)) for name, peer in PEERS.items()},
    }
    runs = in_turn(broker, stream, rounds, programs)
    return {
        "programs": {name: summary(ones) | about(name) for name, ones in runs.items()},
        "ratios": {name: ratios(runs[WORKER], runs[name], limit_of(name)) for name in runs if name != WORKER},
    }


def checked(right: Callable[[Answers], Found]) -> Check:
    """Return a check of what is on a program's topics."""

    def check(servers: str, name: str) -> tuple[NDArray[np.int64], Found]:
        found = read_answers(servers, name)
        return found.stamps, right(found)

    return check


def about(name: str) -> dict[str, Any]:
    """Return what is promised, and the settings."""
    if name in PEERS:
        return {"guarantee": PEERS[name].guarantee, "settings": PEERS[name].settings}
    if name == PASS:
        return {"guarantee": "transactions, no position, no state", "settings": "benchmarks/kafka_floor.py"}
    return {"guarantee": "exactly once, records and state", "settings": "defaults"}


def limit_of(name: str) -> float:
    """Return by how much the worker has to be faster; 0: no limit is set."""
    return PASS_LIMIT if name == PASS else PEERS[name].limit
