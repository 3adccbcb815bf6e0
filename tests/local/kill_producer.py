"""Appends orders and the answers to most of them, until it is ended: late, twice, unreadable, before their event.

python -m tests.local.kill_producer FILE.db STEPS_A_SECOND
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

from stream_ml.client import connect

FIRST = 1_740_787_200_000


def append(path: Path, rate: float) -> None:
    """Append until the parent is gone, or ends us; the pace does not depend on how long an append takes."""
    chance = random.Random(1)
    parent = os.getppid()
    n = 0
    begun, pause = time.monotonic(), Event()
    with connect(f"sqlite:///{path}", durable="normal") as client:
        while os.getppid() == parent:
            at = FIRST + n * 1_000 - chance.choice([0, 0, 0, 30_000, 90_000])
            order: dict[str, Any] = {"order": f"o{n}", "customer": f"c{n % 7}", "price": n % 13, "at": at}
            client.produce("orders", [order] * (2 if n % 50 == 0 else 1))
            answered = n + 1 if n % 11 == 0 else n - n % 3
            if n % 5:
                answer = {"order": f"o{answered}", "customer": f"c{answered % 7}", "returned": n % 3 == 0}
                client.produce("returns", [answer])
            if n % 97 == 0:
                client.produce("orders", [b"no json"])
            n += 1
            ahead = begun + n / rate - time.monotonic()
            if ahead > 0:
                pause.wait(ahead)


if __name__ == "__main__":
    append(Path(sys.argv[1]), float(sys.argv[2]))
