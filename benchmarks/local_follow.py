"""The local engine at the live edge: from a lone event's commit to its prediction's, and what waiting costs.

    python benchmarks/local_follow.py [--events N] [--idle SECONDS]

A worker runs the cards pipeline in a process of its own on a new file. Latency: from the moment at which `produce` of
one payment returns (its commit) to the moment at which a reader in this process sees the prediction. Idle: CPU time of
the worker's process over a span without records. Snapshot hold: the slowest commits of a producer that appends without
pause, while the worker follows and keeps snapshots.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from stream_ml.client import Client, connect

if TYPE_CHECKING:
    from stream_ml.client.kafka import KafkaClient

PIPELINE = Path(__file__).resolve().parent.parent / "stream_ml" / "demos" / "cards.py"


def payment(n: int) -> dict[str, object]:
    """Make a payment."""
    at = 1_740_787_200_000 + n * 1_000
    return {"payment": f"p{n}", "card": f"c{n % 5_000}", "terminal": f"t{n % 100}", "amount": n % 97 + 0.5, "at": at}


def cpu_s(pid: int) -> float:
    """Read the CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spelled(name: str, spent_ms: list[float]) -> str:
    """Spell percentiles."""
    ordered = sorted(spent_ms)
    at = {share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99)}
    return (
        f"{name}: p50 {at[0.5]:.2f}, p90 {at[0.9]:.2f}, p99 {at[0.99]:.2f}, max {ordered[-1]:.2f} ms ({len(ordered)})"
    )


def latencies(client: Client | KafkaClient, predictions: Iterator[object], events: int) -> list[float]:
    """Send lone events at uneven intervals."""
    spent = []
    pause = Event()
    for n in range(10_000, 10_000 + events):
        pause.wait(0.02 + 0.013 * (n % 5))
        client.produce("payments", [payment(n)])
        committed = time.perf_counter()
        next(predictions)
        spent.append((time.perf_counter() - committed) * 1e3)
    return spent


def commits(client: Client | KafkaClient, seconds: float) -> list[float]:
    """Append ten payments a commit without pause."""
    spent = []
    end = time.monotonic() + seconds
    n = 100_000
    while time.monotonic() < end:
        begun = time.perf_counter()
        client.produce("payments", [payment(n + i) for i in range(10)])
        spent.append((time.perf_counter() - begun) * 1e3)
        n += 10
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--idle", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/follow.db"
        with connect(url) as client:
            client.produce("payments", [payment(n) for n in range(1_000)])
            worker = subprocess.Popen(
                [sys.executable, "-m", "stream_ml.cli.main", "run", str(PIPELINE), "--on", url],
                env={**os.environ, "STREAM_ML_SNAPSHOT_SECONDS": "0.5"},
            )
            try:
                predictions = client.consume("cards.predictions", follow=True, timeout=300)
                for _ in range(1_000):
                    next(predictions)
                print(spelled("commit to prediction seen", latencies(client, predictions, options.events)))
                Event().wait(2.0)
                before = cpu_s(worker.pid)
                Event().wait(options.idle)
                print(f"idle: {(cpu_s(worker.pid) - before) / options.idle:.2%} of a core")
                held = commits(client, 10.0)
                print(spelled("commits of a producer while snapshots are kept", held))
                print(f"median {statistics.median(held):.2f} ms, over 100 ms: {sum(one > 100 for one in held)}")
            finally:
                worker.send_signal(signal.SIGTERM)
                worker.wait()


if __name__ == "__main__":
    main()
