"""The local engine end to end: a producer fills the log of an SQLite file, a worker drains it with every output stored.

Beside it, in turn, the floor: a program that reads, decodes, encodes and writes as many rows and computes nothing
(``benchmarks/drain.py``). Both wait for the disk at each commit (``durable=full``).

    python -m benchmarks local [--quick]
"""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import orjson

from benchmarks.command import Found, check, main, scratch
from benchmarks.side_by_side import measure, ratio
from stream_ml.client import connect
from stream_ml.demos.generate import CardsSpec, Labels, write_cards

ENGINE, FLOOR = "stream-ml run", "read and write alone"
CHUNK = 1_000
LIMIT = 80_000


def benchmark(quick: bool) -> Found:
    """Fill the log once, drain copies of it in turn."""
    payments, rounds = (20_000, 1) if quick else (200_000, 3)
    with scratch() as folder:
        write_cards(folder, CardsSpec(payments=payments, labels=Labels.ALL))
        filled = folder / "filled.db"
        produced = fill(filled, folder)
        programs = {
            ENGINE: ("-m", "benchmarks.drain", "worker", str(filled)),
            FLOOR: ("-m", "benchmarks.drain", "floor", str(filled)),
        }
        found = measure(programs, rounds)
    for name, one in found.items():
        for what in ("payments", "learned"):
            check(holds=one[what] == payments, what=f"{name}: {what} {one[what]}")
    return {
        "workload": f"cards: {payments:,} payments and as many label records in one SQLite file, durable=full",
        "rounds": rounds,
        "limit_payments_per_second": LIMIT,
        "reached": bool(found[ENGINE]["payments_per_second"]["median"] >= LIMIT),
        "produce": produced,
        "programs": found,
        "ratio": ratio(found, ENGINE, FLOOR),
    }


def fill(path: Path, folder: Path) -> Found:
    """Append both streams by received time, a thousand records a transaction."""
    begun, cpu, count = time.perf_counter(), time.process_time(), 0
    with (folder / "payments.ndjson").open("rb") as events, (folder / "chargebacks.ndjson").open("rb") as labels:
        told = [(int(orjson.loads(line)["received"]), line.rstrip(b"\n")) for line in labels]
        next_label = 0
        with connect(f"sqlite:///{path}") as client:
            while chunk := [line.rstrip(b"\n") for line in islice(events, CHUNK)]:
                client.produce("payments", chunk)
                until = int(orjson.loads(chunk[-1])["received"])
                end = next_label
                while end < len(told) and told[end][0] <= until:
                    end += 1
                client.produce("chargebacks", [line for _, line in told[next_label:end]])
                count, next_label = count + len(chunk) + end - next_label, end
            client.produce("chargebacks", [line for _, line in told[next_label:]])
            count += len(told) - next_label
    wall, spent = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "records": count,
        "records_per_second": round(count / wall),
        "cpu_us_per_record": round(spent / count * 1e6, 2),
        "file_bytes": path.stat().st_size,
    }


if __name__ == "__main__":
    main("local", benchmark, __doc__)
