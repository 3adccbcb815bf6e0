"""A producer in a process of its own: one record a transaction at fixed moments, whatever the log does meanwhile.

python -m benchmarks.appender FILE.db RATE SECONDS KEYS
"""

from __future__ import annotations

import json
import sys
import time
from threading import Event

import numpy as np

from benchmarks.keys import SPAN_MS, START_MS
from stream_ml.client import connect

#: Later than all that the log holds, and within every window.
AFTER_MS = START_MS + SPAN_MS + 2 * 3_600_000


def append(url: str, rate: float, seconds: float, keys: int) -> list[tuple[float, float, float]]:
    """Append on schedule; give for each record its intended moment, its start and its end, seconds of this machine."""
    draw = np.random.default_rng(5)
    pause, told = Event(), []
    with connect(url) as client:
        client.produce("payments", [b'{"card":"c0000000","amount":1.00,"at":%d}' % AFTER_MS])
        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            intended = begun + number / rate
            value = b'{"card":"c%07d","amount":1.00,"at":%d}' % (int(draw.integers(keys)), AFTER_MS + number)
            while (ahead := intended - time.monotonic()) > 0:
                pause.wait(ahead)
            start = time.monotonic()
            client.produce("payments", [value])
            told.append((intended, start, time.monotonic()))
    return told


if __name__ == "__main__":
    file, rate, seconds, keys = sys.argv[1:]
    print(json.dumps(append(f"sqlite:///{file}", float(rate), float(seconds), int(keys))))
