"""The local engine at the live edge: from a lone event's commit to its prediction, and what waiting costs.

`stream-ml run` on the cards pipeline in a process of its own, a new file, 1,000 payments before. Latency: from the
moment at which `produce` of one payment returns to the moment at which a reader in this process, which waits by the
same means, has the prediction. Idle: CPU time of the worker over a span without records.

    python -m benchmarks follow [--quick]
"""

from __future__ import annotations

import signal
import subprocess
from threading import Event

import numpy as np

from benchmarks.command import Found, check, cli, main, scratch
from benchmarks.local_follow import PIPELINE, cpu_s, latencies, payment
from stream_ml.client import connect

LIMIT_MS, LIMIT_IDLE = 10.0, 1.0
WARM = 1_000


def benchmark(quick: bool) -> Found:
    """Measure latencies, then idle for a while."""
    events, idle = (30, 2.0) if quick else (500, 30.0)
    with scratch() as folder, connect(f"sqlite:///{folder}/follow.db") as client:
        client.produce("payments", [payment(n) for n in range(WARM)])
        line = cli("run", PIPELINE, "--on", f"sqlite:///{folder}/follow.db")
        worker = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            predictions = client.consume("cards.predictions", follow=True, timeout=300)
            for _ in range(WARM):
                next(predictions)
            spent = latencies(client, predictions, events)
            Event().wait(3.0)
            before = cpu_s(worker.pid)
            Event().wait(idle)
            used = (cpu_s(worker.pid) - before) / idle * 100
        finally:
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate()
    check(holds=worker.returncode == 0, what=said[-500:])
    p50, p90, p99 = np.percentile(spent, [50, 90, 99]).round(2).tolist()
    return {
        "workload": f"{events} lone payments at uneven intervals, durable=full; then {idle:.0f} s without records",
        "limit_median_ms": LIMIT_MS,
        "limit_idle_percent": LIMIT_IDLE,
        "commit_to_prediction_ms": {"p50": p50, "p90": p90, "p99": p99, "max": round(max(spent), 2)},
        "idle_percent_of_a_core": round(used, 2),
        "reached": bool(p50 <= LIMIT_MS and used < LIMIT_IDLE),
    }


if __name__ == "__main__":
    main("follow", benchmark, __doc__)
