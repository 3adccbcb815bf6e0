"""Payments and chargebacks for the pipeline `cards` as producers would send them: a function of a seed."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.kafka.never_stopped import Sent

CARDS = 40


def inputs(prefix: str, partitions: int = 1) -> dict[str, int]:
    """Return the pipeline's input topics with their partitions."""
    return {f"{prefix}payments": partitions, f"{prefix}chargebacks": partitions}


def payment(number: int, card: str, at_ms: int, amount: float = 10.0) -> dict[str, Any]:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {"payment": f"p{number}", "card": card, "terminal": "t", "amount": amount, "at": at}


def chargeback(number: int, card: str, *, fraud: bool) -> dict[str, Any]:
    return {"payment": f"p{number}", "card": card, "fraud": fraud}


def sent(topic: str, record: dict[str, Any], at_ms: int | None = None) -> Sent:
    """Key a record as producers must."""
    return topic, None, at_ms, record["card"].encode(), orjson.dumps(record)


def payments(prefix: str, seed: int, count: int, first: int = 0) -> list[Sent]:
    """Return so many payments, and labels of half of them: some twice, some before their event, some never.

    Parameters
    ----------
    first
        Number of the first payment, for streams that go on.
    """
    choose = random.Random(seed)
    now = int(time.time() * 1000)
    found: list[Sent] = []
    late: list[Sent] = []
    for number in range(first, first + count):
        card = f"c{choose.randrange(CARDS)}"
        event = sent(f"{prefix}payments", payment(number, card, now + number, round(choose.expovariate(0.02), 2)))
        label = sent(f"{prefix}chargebacks", chargeback(number, card, fraud=choose.random() < 0.3))
        kind = choose.random()
        if kind < 0.05:
            found.append(label)
        found.append(event)
        if choose.random() < 0.03:
            found.append(event)
        if 0.05 < kind < 0.5:
            late.append(label)
        if kind < 0.08:
            late.append(label)
        if choose.random() < 0.5 and late:
            found.append(late.pop(choose.randrange(len(late))))
    return found + late
