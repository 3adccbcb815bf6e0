"""The engine's part of the cards benchmark: replay from NDJSON, every output written.

python -m benchmarks.replay_cards FOLDER OUT
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.command import Found
from stream_ml.demos.cards import pipeline
from stream_ml.engines.replay import replay
from stream_ml.kernels.jit import warm


def run(folder: Path, out: Path) -> Found:
    """Replay the stream and return what was measured; starting Python and loading kernels are left out."""
    warm()
    history = {name: folder / f"{name}.ndjson" for name in ("payments", "chargebacks")}
    wall, cpu = time.perf_counter(), time.process_time()
    done = replay(pipeline, history, out=out)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    payments = done.counters["predicted"]
    return {
        "program": "stream_ml replay",
        "payments": payments,
        "learned": done.counters["examples"],
        "seconds": round(wall, 3),
        "cpu_us_per_payment": round(cpu / payments * 1e6, 2),
        "payments_per_second": round(payments / wall),
        "roc_auc": done.metric("roc_auc"),
        "log_loss": done.metric("log_loss"),
        "alarms": done.counters["alarms"],
        "bytes_written": sum(path.stat().st_size for path in done.files.values()),
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), Path(sys.argv[2]))))
