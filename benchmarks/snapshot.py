"""What a snapshot of a million keys costs producers: their append latency while the worker keeps it.

1 a session sees every key five times and its state is saved; 2 a worker starts from it on a new file and is fed every
key once more, so that every row has changed, and then dies without keeping anything; 3 a worker as `stream-ml run`
makes it recovers, and because that took long, keeps a snapshot of everything as soon as the next record comes; another
process appends 200 records a second all the while, on a schedule that does not wait (latency counts from the intended
moment). Latencies before, and from the worker's first turn to two seconds after the snapshot is complete, in which
what it replaces is dropped. The worker tells its turns' times with and without a snapshot under way, and how long its
steps held up the next turn.

    python -m benchmarks snapshot [--quick]
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from benchmarks import eight_windows
from benchmarks.command import Found, answer, check, child, main, scratch, start
from benchmarks.keys import EVENTS, SPAN_MS, START_MS, events, filled
from stream_ml.client import connect
from stream_ml.client.database import Access, open_database
from stream_ml.config.settings import Durable, Settings
from stream_ml.engines.local.worker import Carried, Worker
from stream_ml.engines.saved import save_state
from stream_ml.kernels.jit import warm
from stream_ml.sessions.session import Session

RATE, LIMIT_MS = 200.0, 100.0
HOUR_MS = 3_600_000
NEVER_S = 1e9
TIDY_S = 2.0  # after it is complete, what it replaces is dropped: that counts, too
QUIET_S = 5.0  # appended before the worker starts


def benchmark(quick: bool) -> Found:
    """Prepare the file, then append while the worker recovers and keeps its snapshot."""
    keys = 20_000 if quick else 1_000_000
    with scratch() as folder:
        path = folder / "keys.db"
        child("benchmarks.snapshot", "--prepare", folder, keys)
        filled_to = int(ask(path, "SELECT max(row) FROM log"))
        found = measured(path, keys, quick=quick)
    everything = found["snapshot"]["bytes_of_first_snapshot"]
    check(holds=found["snapshot"]["bytes"] > 0.8 * everything, what=f"not every key was in the snapshot: {found}")
    return {
        "workload": f"{keys:,} keys, 8 windows, {EVENTS + 1} events each; {RATE:.0f} appends a second, durable=full",
        "limit_ms": LIMIT_MS,
        "rows_before": filled_to,
        **found,
    }


# --- 1 and 2: a file whose every key has changed since its snapshot ---------------------------------------------------


def prepare(folder: Path, keys: int) -> Found:
    """Save a state of all keys, start a worker from it, feed every key once more, die."""
    warm()
    save_state(filled(keys), folder / "state")
    path = folder / "keys.db"
    with connect(f"sqlite:///{path}", durable="normal") as client:
        for values in events(keys, rounds=1, begin_ms=START_MS + SPAN_MS, span_ms=HOUR_MS, seed=4):
            client.produce("payments", values)
    settings = Settings(durable=Durable.NORMAL, snapshot_seconds=NEVER_S)
    count = 0

    def watch(_: Session, carried: Carried) -> None:
        nonlocal count
        count += carried.records
        if count == keys:
            print(json.dumps({"fed": count}), flush=True)
            os._exit(0)

    with Worker(eight_windows.pipeline, path, settings, folder / "state", watch) as worker:
        worker.run()
    return {}


# --- 3: the worker recovers and keeps a snapshot while another process appends ---------------------------------------


def measured(path: Path, keys: int, *, quick: bool) -> Found:
    """Return latencies before and during the snapshot, and how long it took."""
    seconds = 10.0 if quick else 100.0
    producer = start("benchmarks.appender", path, RATE, seconds, keys)
    moments: Found = {}
    watching = Thread(target=watch_file, args=(path, moments, time.monotonic() + seconds + 60.0))
    watching.start()
    until_rows(path, int(ask(path, "SELECT max(row) FROM log")) + 20)
    Event().wait(QUIET_S)
    moments["worker"] = time.monotonic()
    worker = start("benchmarks.snapshot_worker", path, 0.01 if quick else Settings().snapshot_seconds)
    try:
        told = np.array(answer(producer))
        watching.join()
    finally:
        worker.send_signal(signal.SIGTERM)
        turns = answer(worker)
    check(holds="complete" in moments, what=f"no snapshot was kept within {seconds} s")
    first, complete = moments["first_turn"], moments["complete"]
    intended = told[:, 0]
    before = told[(intended < moments["worker"])]
    during = told[(intended >= first) & (intended < complete + TIDY_S)]
    result = {
        "before": latencies(before),
        "while_recovering": latencies(told[(intended >= moments["worker"]) & (intended < first)]),
        "during": latencies(during),
        "recovery": {
            "seconds_to_first_turn": round(first - moments["worker"], 2),
            "entries_fed_again": moments["entries"],
        },
        "snapshot": {
            "seconds": round(complete - first, 2),
            "segments": moments["segments"],
            "bytes": moments["bytes"],
            "bytes_of_first_snapshot": moments["first_bytes"],
            "longest_time_without_a_turn_ms": moments["longest_ms"],
        },
        "worker": turns,
    }
    check(holds=result["during"]["appends"] > 0, what="no record was appended during the snapshot")
    return {"reached": bool(result["during"]["p99_ms"] <= LIMIT_MS), **result}


def until_rows(path: Path, row: int) -> None:
    """Wait until the log has this row."""
    pause, end = Event(), time.monotonic() + 60.0
    while int(ask(path, "SELECT max(row) FROM log")) < row:
        check(holds=time.monotonic() < end, what="the producer appends nothing")
        pause.wait(0.05)


def latencies(told: Any) -> Found:
    """Return percentiles of append latencies, from the intended moment, milliseconds; and the generator's own delay."""
    if not len(told):
        return {"appends": 0}
    spent = (told[:, 2] - told[:, 0]) * 1e3
    of_call = (told[:, 2] - told[:, 1]) * 1e3
    p50, p90, p99, p999 = np.percentile(spent, [50, 90, 99, 99.9]).round(2).tolist()
    return {
        "appends": len(told),
        "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "p99_9_ms": p999, "max_ms": round(float(spent.max()), 2),
        "p99_ms_of_the_call_alone": round(float(np.percentile(of_call, 99)), 2),
    }  # fmt: skip


def watch_file(path: Path, moments: Found, until: float) -> None:
    """Note when the worker's first turn and the end of its snapshot can be seen, and the longest time between turns."""
    connection = open_database(path, Access.READ)
    last, generation, first_segment = (int(connection.execute(query).get) for query in NEWEST)
    snapshot_entry = int(connection.execute("SELECT max(entry) FROM manifest").get)
    moments["entries"], turned, longest = last - snapshot_entry, 0.0, 0.0
    pause = Event()
    while time.monotonic() < until and "complete" not in moments:
        number, newest, _ = (int(connection.execute(query).get) for query in NEWEST)
        now = time.monotonic()
        if number > last:
            longest = max(longest, now - turned) if turned else 0.0
            moments.setdefault("first_turn", now)
            last, turned = number, now
        if newest > generation:
            moments["complete"] = now
        pause.wait(0.002)
    moments["longest_ms"] = round(longest * 1e3, 1)
    sizes = connection.execute("SELECT number, length(data) FROM segments ORDER BY number").fetchall()
    connection.close()
    fresh = [int(size) for number, size in sizes if int(number) > first_segment]  # type: ignore[arg-type]
    moments["segments"], moments["bytes"] = len(fresh), sum(fresh)
    moments["first_bytes"] = sum(int(size) for _, size in sizes) - sum(fresh)  # type: ignore[arg-type,misc]


NEWEST = (
    "SELECT coalesce(max(number), 0) FROM journal",
    "SELECT max(generation) FROM manifest",
    "SELECT max(number) FROM segments",
)


def ask(path: Path, query: str) -> Any:
    """Return one value of the file."""
    connection = open_database(path, Access.READ)
    try:
        return connection.execute(query).get
    finally:
        connection.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        prepare(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main("snapshot", benchmark, __doc__)
