"""How long decoding takes: bytes of card payments to columns, microseconds a record by size of batch."""

from __future__ import annotations

import json
import statistics
import time
from datetime import datetime

import numpy as np
from pydantic import BaseModel, ConfigDict

from stream_ml.schema.decoder import Decoder

RECORDS = 20_000
ROUNDS = 7


class Payment(BaseModel):
    """A card payment."""

    model_config = ConfigDict(allow_inf_nan=False, extra="ignore")

    payment: str
    card: str
    terminal: str
    amount: float
    at: datetime


def stream(records: int) -> list[bytes]:
    """Return payments as JSON lines, one a second, seeded."""
    draw = np.random.default_rng(7)
    cards, terminals = draw.integers(5000, size=records), draw.integers(300, size=records)
    amounts = np.round(draw.exponential(40, size=records), 2)
    lines = []
    for i in range(records):
        at = f"2026-01-{1 + i // 86400:02d}T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}.123Z"
        row = {
            "payment": f"p{i}",
            "card": f"c{cards[i]}",
            "terminal": f"t{terminals[i]}",
            "amount": amounts[i],
            "at": at,
        }
        lines.append(json.dumps(row).encode())
    return lines


def main() -> None:
    """Print a line for each size of batch and each share of records that pydantic must judge."""
    good = stream(RECORDS)
    asked = [line.replace(b'"amount": ', b'"amount": "', 1).replace(b', "at"', b'", "at"', 1) for line in good]
    decoder = Decoder(Payment, Payment.model_fields)
    for share in (0.0, 0.01, 1.0):
        every = round(1 / share) if share else 0
        lines = [asked[i] if every and i % every == 0 else line for i, line in enumerate(good)]
        for size in (1, 10, 100, 500, 2000, 5000):
            took = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                for start in range(0, RECORDS, size):
                    decoder.decode(lines[start : start + size])
                took.append((time.perf_counter() - began) / RECORDS * 1e6)
            median = statistics.median(took)
            print(f"asked {share:4.0%}  batch {size:5d}  median {median:6.2f} us  best {min(took):6.2f} us")


if __name__ == "__main__":
    main()
