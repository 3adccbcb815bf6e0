"""Card payments at a steady rate in real time, each told to be fraud or honest seconds later, into topics of Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter

import numpy as np

from stream_ml.config.kafka import read_kafka_settings
from stream_ml.demos.generate import Cards, CardsSpec, Ints, Labels, cards

#: A day of the generated stream passes in so many seconds: what takes hours or days to be told takes seconds.
DAY_S = 10.0
CARDS = 20_000
STEP_MS = 10

Made = tuple[int, str, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """How many payments a second, for how many seconds.

    Parameters
    ----------
    name
        Begins every payment's id: two loads of different names share no payment.
    """

    rate: float
    seconds: float
    name: str = "p"

    @property
    def payments(self) -> int:
        """How many payments in all."""
        return max(1, round(self.rate * self.seconds))


def records(load: Load, begin_ms: int = 0) -> Iterator[Made]:
    """Give the records of a load in order: (moment at which it is due in epoch ms, topic, key, JSON).

    Examples
    --------
    >>> made = list(records(Load(rate=100, seconds=20)))
    >>> [sum(topic == name for _, topic, _, _ in made) for name in ("payments", "chargebacks")]
    [2000, 601]
    """
    n = load.payments
    stream = cards(CardsSpec(n, labels=Labels.ALL, cards=CARDS, per_day=max(1, round(load.rate * DAY_S))))
    moments = np.arange(n) * 1000.0 / load.rate

    def passed(at: Ints) -> list[int]:
        found: list[int] = (begin_ms + np.interp(at, stream.received, moments)).astype(np.int64).tolist()
        return found

    told = stream.told[stream.told <= stream.received[-1]]
    of = stream.of[: len(told)]
    payments = _payments(load.name, passed(stream.received), passed(stream.at), stream)
    return merge(payments, _chargebacks(load.name, passed(told), of, stream), key=itemgetter(0))


def _payments(name: str, due: list[int], made: list[int], stream: Cards) -> Iterator[Made]:
    columns = (stream.payment, stream.card, stream.terminal, stream.amount)
    rows = zip(due, made, *(column.tolist() for column in columns), strict=True)
    for moment, at, payment, card, terminal, amount in rows:
        key = f"c{card:05d}"
        value = (
            f'{{"payment":"{name}{payment:08d}","card":"{key}","terminal":"t{terminal:04d}",'
            f'"amount":{amount},"at":{at}}}'
        )
        yield moment, "payments", key.encode(), value.encode()


def _chargebacks(name: str, due: list[int], of: Ints, stream: Cards) -> Iterator[Made]:
    columns = (stream.payment[of], stream.card[of], stream.fraud[of])
    for moment, payment, card, fraud in zip(due, *(column.tolist() for column in columns), strict=True):
        key = f"c{card:05d}"
        value = f'{{"payment":"{name}{payment:08d}","card":"{key}","fraud":{"true" if fraud else "false"}}}'
        yield moment, "chargebacks", key.encode(), value.encode()


async def produce(servers: str, load: Load) -> dict[str, int]:
    """Send a load's records as they come due; returns how many of each topic the brokers have acknowledged.

    Raises
    ------
    KafkaError
        The brokers take no records.
    """
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415  (an extra: everything else runs without it)

    settings = read_kafka_settings()
    producer = AIOKafkaProducer(**settings.client(servers), enable_idempotence=True, linger_ms=5)
    acknowledged = {"payments": 0, "chargebacks": 0}
    await producer.start()
    try:
        coming = records(load, time.time_ns() // 1_000_000)
        for _, batch in groupby(coming, key=lambda one: one[0] // STEP_MS):
            sent: list[asyncio.Future[object]] = []
            for due, topic, key, value in batch:
                await asyncio.sleep(max(0.0, due / 1000 - time.time()) if not sent else 0.0)
                sent.append(await producer.send(topic, value, key))
                acknowledged[topic] += 1
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return acknowledged


def load_of(rate: float, seconds: float) -> Load:
    """Return a load whose payments no other load has: it is named by the moment."""
    return Load(rate, seconds, f"p{time.time_ns() // 1_000_000_000:x}-")
