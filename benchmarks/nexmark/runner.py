"""Drains the same bids with the worker, query by query, in turn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.command import Found, check, scratch
from benchmarks.differences import largest_difference
from benchmarks.nexmark.bids import Bids, make_bids
from benchmarks.nexmark.reference import QUERIES, Query, source
from benchmarks.peers.backlog import Stream, read_back
from benchmarks.peers.drains import Check, drained, summary
from stream_ml.bench.subject import Subject
from stream_ml.demos.broker import QUICK, Broker

EVENTS_PER_SECOND, QUICK_EVENTS_PER_SECOND = 1_000, 50
BOUND = 1e-12


def measured(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    count, rounds, rate = (2_000, 1, QUICK_EVENTS_PER_SECOND) if quick else (200_000, 3, EVENTS_PER_SECOND)
    bids = make_bids(count, rate)
    with scratch() as folder, Broker(folder / "broker", machine=QUICK if quick else ()) as broker:
        streams = {name: stream_of(bids, name, query, folder) for name, query in QUERIES.items()}
        right = {name: checked(bids, query) for name, query in QUERIES.items()}
        runs: dict[str, list[Found]] = {name: [] for name in QUERIES}
        for number in range(rounds):
            for name, stream in streams.items():
                one = drained(broker, stream, Subject().start, right[name])
                sys.stderr.write(f"{number + 1}/{rounds} {name}: {one['events_per_second']:,} a second\n")
                runs[name].append(one)
    return {
        "workload": f"{count:,} bids of Nexmark's generator at {rate:,} events a second of their own time"
        f" ({sum(map(len, bids.records)) / count:.0f} bytes each), {len(set(bids.auction.tolist())):,} auctions and"
        f" {len(set(bids.bidder.tolist())):,} bidders, a backlog on Kafka, one partition, one worker",
        "rounds": rounds,
        "bids": count,
        "queries": {
            name: {"title": query.title, "flink": query.flink, "differs": query.differs, **summary(runs[name])}
            for name, query in QUERIES.items()
        },
    }


def stream_of(bids: Bids, name: str, query: Query, folder: Path) -> Stream:
    """Return the bids as a topic holds them, by the query's key."""
    path = folder / "bids.ndjson"
    if not path.exists():
        path.write_bytes(b"".join(record + b"\n" for record in bids.records))
    keys = getattr(bids, query.key).tolist()
    rows = [(b"%d" % key, value, at) for key, value, at in zip(keys, bids.records, bids.at.tolist(), strict=True)]
    return Stream(len(rows), {"bids": path}, {"bids": rows}, source(name))


def checked(bids: Bids, query: Query) -> Check:
    """Return a check against plain Python: each bid answered once, in order, with the right numbers."""
    right, keys = query.right(bids), getattr(bids, query.key)

    def check_all(servers: str, name: str) -> tuple[NDArray[np.int64], Found]:
        values, stamps = read_back(servers, f"{name}.predictions")
        return np.sort(np.array(stamps, np.int64)), compared(values, right, keys, query)

    return check_all


def compared(values: list[bytes], right: NDArray[np.float64], keys: NDArray[np.int64], query: Query) -> Found:
    """Compare the answers, in the order of the log, with the right ones [n, features]."""
    rows: list[dict[str, Any]] = [orjson.loads(value) for value in values]
    places = [int(row["id"].rpartition("/")[2]) for row in rows]
    check(holds=places == list(range(len(right))), what=f"{len(places)} answers, {len(set(places))} bids")
    served = np.array([[row["features"].get(name) for name in query.served] for row in rows], np.float64)
    ours = query.read(served, keys)
    apart = max(largest_difference(*pair) for pair in zip(ours.T, right.T, strict=True))
    check(holds=apart <= BOUND, what=f"answers differ by {apart}")
    return {"answers": len(rows), "largest_difference": apart}
