"""Warm start: from the call of `stream-ml run` to the first prediction in the file.

Kernels are in the cache, bytecode is compiled, the log holds payments already. Beside it, in turn, what a Python
process costs that imports only the libraries of such a pipeline (river, numba, numpy, pydantic, apsw).

    python -m benchmarks start [--quick]
"""

from __future__ import annotations

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
from stream_ml.client import connect
from stream_ml.client.database import Access, open_database
from stream_ml.kernels.jit import warm

LIMIT_S, PATIENCE_S = 2.0, 120.0
LIBRARIES = "import apsw, numba, numpy, orjson, pydantic, msgspec; from river import linear_model, preprocessing"


def benchmark(quick: bool) -> Found:
    """Start workers on new files and measure each to its first prediction."""
    rounds = 2 if quick else 9
    compileall.compile_dir(str(Path(stream_ml.__file__).parent), quiet=2)
    warm()
    started, imported = [], []
    for _ in range(rounds):
        with scratch() as folder:
            started.append(first_prediction(folder / "start.db"))
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
        imported.append(time.monotonic() - begun)
    seconds = spread(started)
    return {
        "workload": "stream-ml run on the cards pipeline and a log of 100 payments, kernels cached",
        "rounds": rounds,
        "limit_s": LIMIT_S,
        "seconds_to_first_prediction": seconds,
        "seconds_to_import_the_libraries_alone": spread(imported),
        "reached": bool(seconds["median"] < LIMIT_S),
    }


def first_prediction(path: Path) -> float:
    """Return the seconds from the call to the moment at which a reader finds a prediction."""
    with connect(f"sqlite:///{path}") as client:
        client.produce("payments", [payment(n) for n in range(100)])
    connection = open_database(path, Access.READ)
    begun, pause = time.monotonic(), Event()
    line = cli("run", PIPELINE, "--on", f"sqlite:///{path}")
    worker = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = None
        while found is None:
            check(holds=worker.poll() is None and time.monotonic() < begun + PATIENCE_S, what="the worker gave nothing")
            pause.wait(0.005)
            found = connection.execute("SELECT 1 FROM log WHERE topic = 'cards.predictions' LIMIT 1").get
        return time.monotonic() - begun
    finally:
        connection.close()
        worker.send_signal(signal.SIGTERM)
        worker.communicate()


if __name__ == "__main__":
    main("start", benchmark, __doc__)
