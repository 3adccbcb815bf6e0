"""What compressing costs a worker on Kafka, and what it saves: a backlog of cards drained with each codec, in turn.

The codecs are those of `STREAM_ML_KAFKA_COMPRESSION`, at the levels that aiokafka gives them.

    python -m benchmarks compression [--quick]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Found, check, environment, main, scratch
from benchmarks.peers.backlog import make_stream, read_back
from benchmarks.peers.drains import Check, Start, in_turn, summary
from stream_ml.bench.processes import Child
from stream_ml.bench.stand import Stand
from stream_ml.bench.subject import Subject
from stream_ml.demos.broker import QUICK, Broker

CODECS = ("none", "zstd", "lz4", "snappy", "gzip")
SETTING = "STREAM_ML_KAFKA_COMPRESSION"
OUTPUTS = ("predictions", "examples", "journal")


def benchmark(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    payments, rounds = (2_000, 1) if quick else (100_000, 5)
    with scratch() as folder, Broker(folder / "broker", machine=QUICK if quick else ()) as broker:
        stream = make_stream(folder, payments)
        right = checked(broker.folder, payments)
        runs = in_turn(broker, stream, rounds, {codec: (compressed(codec), right) for codec in CODECS})
    return {
        "workload": f"cards on Kafka: a backlog of {payments:,} payments with labels, outputs and journal compressed",
        "rounds": rounds,
        "codecs": {codec: summary(ones) for codec, ones in runs.items()},
    }


def compressed(codec: str) -> Start:
    """Return what starts a worker that writes with a codec."""

    def start(place: Stand, until_end: bool) -> Child:
        with environment(**{} if codec == "none" else {SETTING: codec}):
            return Subject().start(place, until_end)

    return start


def checked(folder: Path, payments: int) -> Check:
    """Return a check that each payment is answered; it tells how many bytes the broker in a folder holds of one."""

    def right(servers: str, name: str) -> tuple[NDArray[np.int64], Found]:
        values, stamps = read_back(servers, f"{name}.predictions")
        check(holds=len(values) == payments, what=f"{len(values)} predictions of {payments}")
        written = sum(stored(folder, f"{name}.{kind}") for kind in OUTPUTS)
        return np.sort(np.array(stamps, np.int64)), {"bytes_per_event": round(written / payments)}

    return right


def stored(folder: Path, topic: str) -> int:
    """Return the bytes that a broker holds of a topic with one partition."""
    return sum(file.stat().st_size for file in (folder / "data" / f"{topic}-0").glob("*.log"))


def section(found: Found, table: Callable[..., list[str]], told: Callable[[Any], str]) -> list[str]:
    """Spell what each codec costs."""
    rows = [
        [
            codec, *(told(one[what]) for what in ("events_per_second", "cpu_us_per_event", "broker_cpu_us_per_event")),
            f"{one['answers']['bytes_per_event']:,}",
        ]
        for codec, one in found["codecs"].items()
    ]  # fmt: skip
    head = ["compression", "payments/s", "CPU us a payment", "of the broker besides", "bytes a payment and journal"]
    return table(head, rows)


if __name__ == "__main__":
    main("compression", benchmark, __doc__)
