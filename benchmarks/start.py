"""Warm start: from the call of `stream-ml run` to the first prediction that a reader finds, on both engines.

Kernels are in the cache, bytecode is compiled, the log holds payments already. On SQLite each start has a file of its
own. On Kafka a broker stands, the pipeline has run before, and each start goes on from the snapshot of the one before;
the reader reads committed records only. Beside them, in turn, what a Python process costs that imports only the
libraries of such a pipeline (river, numba, numpy, pydantic, apsw).

    python -m benchmarks start [--quick]
"""

from __future__ import annotations

import asyncio
import compileall
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import stream_ml
from benchmarks.command import Found, check, cli, main, scratch, spread
from benchmarks.local_follow import PIPELINE, payment
from benchmarks.recovery import Reader
from stream_ml.client import connect
from stream_ml.client.database import Access, open_database
from stream_ml.config.kafka import read_kafka_settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import Admin
from stream_ml.kernels.jit import warm
from stream_ml.language.loader import load
from stream_ml.plan.bundle import compile_plan

LIMIT_S, PATIENCE_S, PAYMENTS = 2.0, 120.0, 100
PREDICTIONS = "cards.predictions"
LIBRARIES = "import apsw, numba, numpy, orjson, pydantic, msgspec; from river import linear_model, preprocessing"


def benchmark(quick: bool) -> Found:
    """Start workers on both engines in turn and measure each to its first prediction."""
    rounds = 1 if quick else 9
    compileall.compile_dir(str(Path(stream_ml.__file__).parent), quiet=2)
    warm()
    local, kafka, imported = [], [], []
    with scratch() as folder, Broker(folder / "broker") as broker:
        asyncio.run(made(broker.address))
        asyncio.run(first_on_kafka(broker.address, 0))  # the broker's own first time
        for number in range(rounds):
            local.append(first_on_sqlite(folder / f"start{number}.db"))
            kafka.append(asyncio.run(first_on_kafka(broker.address, number + 1)))
            begun = time.monotonic()
            subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
            imported.append(time.monotonic() - begun)
    return {
        "workload": f"stream-ml run on the cards pipeline and a log of {PAYMENTS} payments, kernels cached",
        "rounds": rounds,
        "limit_s": LIMIT_S,
        "seconds_to_first_prediction": {"SQLite": spread(local), "Kafka": spread(kafka)},
        "seconds_to_import_the_libraries_alone": spread(imported),
        "reached": all(spread(one)["median"] <= LIMIT_S for one in (local, kafka)),
    }


def payments(number: int) -> list[dict[str, object]]:
    """Make payments that no other start has seen."""
    return [payment(number * PAYMENTS + n) for n in range(PAYMENTS)]


def first_on_sqlite(path: Path) -> float:
    """Return the seconds from the call to the moment at which a reader finds a prediction."""
    with connect(f"sqlite:///{path}") as client:
        client.produce("payments", payments(0))
    connection = open_database(path, Access.READ)
    begun, pause = time.monotonic(), Event()
    line = cli("run", PIPELINE, "--on", f"sqlite:///{path}")
    worker = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = None
        while found is None:
            check_alive(worker, begun)
            pause.wait(0.005)
            found = connection.execute(f"SELECT 1 FROM log WHERE topic = '{PREDICTIONS}' LIMIT 1").get
        return time.monotonic() - begun
    finally:
        connection.close()
        worker.send_signal(signal.SIGTERM)
        worker.communicate()


async def made(servers: str) -> None:
    """Make the topics."""
    settings = read_kafka_settings()
    admin = Admin(settings.client(servers), settings)
    await admin.start()
    try:
        await admin.ready(compile_plan(load(PIPELINE)))
    finally:
        await admin.close()


async def first_on_kafka(servers: str, number: int) -> float:
    """Return the seconds from the call to the moment at which a reader is given a prediction."""
    await asyncio.to_thread(produce, servers, number)
    reader = Reader(servers, PREDICTIONS)
    await reader.start(at_end=True)
    begun = time.monotonic()
    line = cli("run", PIPELINE, "--on", f"kafka://{servers}")
    worker = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not reader.at:
            check_alive(worker, begun)
            await asyncio.sleep(0.005)
        return reader.at[0] - begun
    finally:
        await reader.close()
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.communicate)


def produce(servers: str, number: int) -> None:
    """Append the payments of one start."""
    with connect(f"kafka://{servers}") as client:
        client.produce("payments", payments(number))


def check_alive(worker: subprocess.Popen[str], begun: float) -> None:
    """End the benchmark where a worker gives nothing."""
    check(holds=worker.poll() is None and time.monotonic() < begun + PATIENCE_S, what="the worker gave nothing")


if __name__ == "__main__":
    main("start", benchmark, __doc__)
