"""Programs of the local benchmark: each drains a copy of a log of payments and chargebacks and prints what that took.

    python -m benchmarks.drain worker|floor FILE.db

`worker` is the local engine. `floor` computes nothing: it reads the same rows in turns of the same size, decodes each,
and appends as many outputs of about the same bytes, encoded again, in one transaction a turn at the same durability.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson

from benchmarks.command import Found, check
from stream_ml.client.database import Access, open_database, transaction
from stream_ml.client.log import Checkpointer, Log
from stream_ml.config.settings import Settings
from stream_ml.demos.cards import pipeline
from stream_ml.engines.local.worker import Worker
from stream_ml.kernels.jit import warm

SETTINGS = Settings()
WAL_BYTES = 16 << 20
#: An output that is not a copy of its record: what the engine's hold besides.
PREDICTION = {
    "prediction_id": "payments/0/12345678",
    "prediction": False,
    "score": 0.0123456789,
    "version": ["0" * 8, 1],
}
EXAMPLE = PREDICTION | {"fate": "label", "weight": 1.0, "features": {f"feature_{i}": 0.123456789 for i in range(12)}}

T = TypeVar("T")


class Clock:
    """Wall and CPU time by name of what was going on."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def timed(self, name: str, call: Callable[..., T]) -> Callable[..., T]:
        """Return the call, timed under a name; calls within another timed call count for both."""

        def timed(*arguments: Any, **named: Any) -> T:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
                self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu

        return timed

    def result(self, payments: int) -> Found:
        """Return what was measured under "all", and the split a payment in microseconds."""
        return {
            "seconds": round(self.wall["all"], 3),
            "cpu_us_per_payment": round(self.cpu["all"] / payments * 1e6, 2),
            "payments_per_second": round(payments / self.wall["all"]),
            "cpu_us": {name: round(value / payments * 1e6, 2) for name, value in self.cpu.items()},
            "wall_us": {name: round(value / payments * 1e6, 2) for name, value in self.wall.items()},
        }


def settle() -> None:
    """Have kernels loaded and the collector kept off what stays, as `stream-ml run` does."""
    warm()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def worker(path: Path) -> Found:
    """Drain with the local engine."""
    settle()
    clock = Clock()
    with Worker(pipeline, path, SETTINGS) as engine:
        # The parts of a turn are timed where the worker calls them.
        engine.reader.next = clock.timed("read", engine.reader.next)  # type: ignore[method-assign]
        engine.session.feed = clock.timed("feed", engine.session.feed)  # type: ignore[method-assign]
        engine.store.commit = clock.timed("write", engine.store.commit)  # type: ignore[method-assign]
        engine.store.after_commit = clock.timed("checkpoint", engine.store.after_commit)  # type: ignore[method-assign]
        engine.snapshots.after_turn = clock.timed("snapshot", engine.snapshots.after_turn)  # type: ignore[method-assign]
        clock.timed("all", engine.run)(until_end=True)
        stats, quality = engine.session.stats, engine.session.quality()
    metrics = {one["name"]: one["value"] for one in quality if one["window"] == "all"}
    return {
        "program": "stream-ml run",
        "payments": stats["predicted"],
        "learned": stats["examples"],
        "roc_auc": metrics["roc_auc"],
        "log_loss": metrics["log_loss"],
        "database_bytes": path.stat().st_size,
        **clock.result(stats["predicted"]),
    }


def floor(path: Path) -> Found:
    """Drain without computing anything."""
    settle()
    connection = open_database(path, Access.WRITE, SETTINGS.durable)
    log, checkpointer = Log(connection), Checkpointer(connection, WAL_BYTES, 1_000)
    clock, counts = Clock(), {"payments": 0, "learned": 0}

    def drain() -> None:
        position, end = 1, log.end()
        while position < end:
            part = clock.timed("read", log.read)(position, ("payments", "chargebacks"), SETTINGS.batch, end)
            outputs = clock.timed("feed", copies)(part.rows)
            clock.timed("write", write)(outputs)
            clock.timed("checkpoint", checkpointer.after_commit)()
            position = part.end

    def copies(rows: list[Any]) -> dict[str, list[bytes]]:
        payments = [orjson.loads(value) for _, topic, _, _, value in rows if topic == "payments"]
        labels = [orjson.loads(value) for _, topic, _, _, value in rows if topic != "payments"]
        counts["payments"] += len(payments)
        counts["learned"] += len(labels)
        return {
            "floor.predictions": [
                orjson.dumps({"id": one["payment"], "key": one["card"], **PREDICTION}) for one in payments
            ],
            "floor.examples": [orjson.dumps({"id": one["payment"], "key": one["card"], **EXAMPLE}) for one in labels],
        }

    def write(outputs: dict[str, list[bytes]]) -> None:
        with transaction(connection):
            received = log.stamp()
            for topic, values in outputs.items():
                if values:
                    log.append(topic, received, values)

    clock.timed("all", drain)()
    connection.close()
    return {
        "program": "floor", **counts, "database_bytes": path.stat().st_size, **clock.result(counts["payments"]),
    }  # fmt: skip


PROGRAMS = {"worker": worker, "floor": floor}


def main(program: str, filled: Path) -> None:
    """Drain a copy of a filled log and print what was measured."""
    check(holds=program in PROGRAMS, what=f"there is no program {program}")
    copy = filled.with_name(f"{program}.db")
    shutil.copy(filled, copy)
    print(json.dumps(PROGRAMS[program](copy)))
    for suffix in ("", "-wal", "-shm"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
