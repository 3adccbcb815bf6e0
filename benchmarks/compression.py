"""What compressing costs a worker on Kafka, and what it saves: a backlog of cards drained with each codec, in turn.

The codecs are those of `STREAM_ML_KAFKA_COMPRESSION`, at the levels that aiokafka gives them.

    python -m benchmarks compression [--quick]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import Found, check, environment, main, scratch, spread
from benchmarks.peers.backlog import Stream, filled, make_stream, read_back
from benchmarks.peers.drains import rates
from stream_ml.bench.processes import cpu_of
from stream_ml.bench.subject import Subject
from stream_ml.bench.throughput import drain
from stream_ml.demos.broker import QUICK, Broker

CODECS = ("none", "zstd", "lz4", "snappy", "gzip")
SETTING = "STREAM_ML_KAFKA_COMPRESSION"
OUTPUTS = ("predictions", "examples", "journal")


def benchmark(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    payments, rounds = (2_000, 1) if quick else (100_000, 5)
    runs: dict[str, list[Found]] = {codec: [] for codec in CODECS}
    with scratch() as folder, Broker(folder / "broker", machine=QUICK if quick else ()) as broker:
        stream = make_stream(folder, payments)
        for _ in range(rounds):
            for codec in CODECS:
                with environment(**{} if codec == "none" else {SETTING: codec}):
                    runs[codec].append(drained(broker, stream))
    measures = {"events_per_second": 0, "cpu_us_per_event": 2, "broker_cpu_us_per_event": 2, "bytes_per_event": 0}
    return {
        "workload": f"cards on Kafka: a backlog of {payments:,} payments with labels, outputs and journal compressed",
        "rounds": rounds,
        "codecs": {
            codec: {what: spread([one[what] for one in ones], digits) for what, digits in measures.items()}
            for codec, ones in runs.items()
        },
    }


def drained(broker: Broker, stream: Stream) -> Found:
    """Drain a copy of the stream, and see that each payment is answered."""
    with filled(broker.address, stream) as place:
        took = drain(place, Subject(meter=lambda: cpu_of(broker.pid) or 0.0))
        values, stamps = read_back(broker.address, f"{place.name}.predictions")
        check(holds=len(values) == stream.events, what=f"{len(values)} predictions of {stream.events}")
        written = sum(stored(broker.folder, f"{place.name}.{kind}") for kind in OUTPUTS)
    return {**rates(np.sort(np.array(stamps)), stream.events, took), "bytes_per_event": written / stream.events}


def stored(folder: Path, topic: str) -> int:
    """Return the bytes that a broker holds of a topic with one partition."""
    return sum(file.stat().st_size for file in (folder / "data" / f"{topic}-0").glob("*.log"))


def section(found: Found, table: Callable[..., list[str]], told: Callable[[Any], str]) -> list[str]:
    """Spell what each codec costs."""
    rows = [
        [codec, *(told(one[what]) for what in (
            "events_per_second", "cpu_us_per_event", "broker_cpu_us_per_event", "bytes_per_event"
        ))]
        for codec, one in found["codecs"].items()
    ]  # fmt: skip
    head = ["compression", "payments/s", "CPU us a payment", "of the broker besides", "bytes a payment and journal"]
    return table(head, rows)


if __name__ == "__main__":
    main("compression", benchmark, __doc__)
