"""A million keys with eight windows and five events each: bytes a key, and how long keeping and restoring them takes.

The five events of a key lie within a month, so each of the eight windows by tiles holds some of them. In one process a
size: state in use as the engine counts it (windows, keys and their texts), and how far the process grew.

    python -m benchmarks keys [--quick]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.command import Found, check, child, main, memory
from benchmarks.eight_windows import pipeline
from stream_ml.kernels.jit import warm
from stream_ml.sessions.session import Run, Session

EVENTS, TURN = 5, 8_000
START_MS, SPAN_MS = 1_735_689_600_000, 30 * 86_400_000
LIMIT = 2_048  # bytes a key


def benchmark(quick: bool) -> Found:
    """Measure each size in a process of its own."""
    sizes = [1_000, 10_000] if quick else [10_000, 100_000, 1_000_000]
    found = {f"{keys}": child("benchmarks.keys", "--keys", keys) for keys in sizes}
    largest = found[f"{sizes[-1]}"]
    check(holds=largest["windows_bytes_per_key"] <= LIMIT, what=f"{largest['windows_bytes_per_key']} bytes a key")
    return {
        "workload": f"8 windows by card, {EVENTS} events a key within 30 days",
        "limit_bytes_per_key": LIMIT,
        "by_keys": found,
    }


def events(
    keys: int, rounds: int = EVENTS, begin_ms: int = START_MS, span_ms: int = SPAN_MS, seed: int = 3
) -> Iterator[list[bytes]]:
    """Yield turns of payments: every key once a round in an order of its own, times rising over the span."""
    draw = np.random.default_rng(seed)
    step = span_ms / (keys * rounds)
    for number in range(rounds):
        order = draw.permutation(keys)
        amounts = draw.integers(100, 99_999, keys)
        for start in range(0, keys, TURN):
            yield [
                b'{"card":"c%07d","amount":%d.%02d,"at":%d}'
                % (key, cents // 100, cents % 100, begin_ms + int((number * keys + place) * step))
                for place, key, cents in zip(
                    range(start, keys),
                    order[start : start + TURN].tolist(),
                    amounts[start : start + TURN].tolist(),
                    strict=False,
                )
            ]


def run_of(values: list[bytes], first: int) -> Run:
    """Return a turn's run; received when the clock of the events says."""
    n = len(values)
    received = np.full(n, START_MS + 2 * SPAN_MS, np.int64)
    nothing: list[bytes | None] = [None] * n
    return Run(
        "log", first, first + n, 1 << 52, ["payments"] * n, np.arange(first, first + n), received, nothing, values
    )


def filled(keys: int) -> Session:
    """Return a session that has seen every key five times."""
    session, row = Session(pipeline), 1
    for values in events(keys):
        session.feed([run_of(values, row)])
        row += len(values)
    return session


def measure(keys: int) -> Found:
    """Fill a session, keep it, restore it; return sizes and times."""
    warm()
    list(filled(100).segment())
    before, begun, cpu = memory(), time.perf_counter(), time.process_time()
    session = filled(keys)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    grown = memory() - before
    stats = session.stats
    check(holds=list(stats["keys"].values()) == [keys], what=f"keys: {stats['keys']}")
    begun = time.perf_counter()
    kept = session.segment()
    gathered = time.perf_counter() - begun
    *blobs, manifest = list(kept)
    packed = time.perf_counter() - begun - gathered
    begun = time.perf_counter()
    again = Session.restore(pipeline, manifest, blobs)
    restored = time.perf_counter() - begun
    check(holds=again.stats["keys"] == stats["keys"], what="keys after restoring")
    probe = [b'{"card":"c%07d","amount":1.00,"at":%d}' % (key, START_MS + SPAN_MS) for key in range(0, keys, 97)]
    run = run_of(probe, keys * EVENTS + 1)
    check(holds=again.feed([run]).out == session.feed([run]).out, what="answers after restoring")
    begun = time.perf_counter()
    changes = list(session.segment())
    return {
        "keys": keys,
        "events": keys * EVENTS,
        "cpu_us_per_event": round(cpu / (keys * EVENTS) * 1e6, 2),
        "seconds": round(wall, 2),
        "windows_bytes_per_key": round(session.scorer.features.nbytes / keys),
        "state_bytes_per_key": round(stats["state_bytes"] / keys),
        "process_bytes_per_key": round(grown / keys),
        "snapshot": {
            "gather_s": round(gathered, 3),
            "pack_s": round(packed, 3),
            "restore_s": round(restored, 3),
            "bytes": sum(map(len, blobs)),
            "bytes_per_key": round(sum(map(len, blobs)) / keys),
            "segments": len(blobs),
            "largest_segment_bytes": max(map(len, blobs)),
        },
        "snapshot_of_changes": {
            "keys_changed": len(probe),
            "seconds": round(time.perf_counter() - begun, 3),
            "bytes": sum(map(len, changes)),
        },
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--keys"]:
        print(json.dumps(measure(int(sys.argv[2]))))
    else:
        main("keys", benchmark, __doc__)
