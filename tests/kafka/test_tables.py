"""Tables on Kafka: read whole first, and recovered although their topic no longer holds what was fed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from aiokafka import TopicPartition

from stream_ml.config.settings import Settings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import Admin, names
from stream_ml.engines.kafka.worker import Worker
from stream_ml.language.loader import load
from tests.kafka.never_stopped import entries_of, reader, send, topics_of
from tests.kafka.test_engine import QUICK, make_topics

PIPELINE = """
from datetime import datetime
from stream_ml import Event, Features, Pipeline, Table, fn

class Merchant(Table, topic="{prefix}merchants", key="merchant"):
    merchant: str
    risk: float

class Payment(Event, topic="{prefix}payments", id="payment", key="card", time="at", lateness="30s"):
    payment: str
    card: str
    merchant: str
    at: datetime

class Risk(Features, of=Payment):
    risk = fn.lookup(Merchant.risk, Payment.merchant)

pipeline = Pipeline("{name}", features=Risk, model=None)
"""


def test_tables_are_in_the_journal(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "tables.py"
    path.write_text(PIPELINE.format(prefix=prefix, name=prefix.replace(".", "-") + "tables"))
    pipeline = load(path)
    merchants, payments = f"{prefix}merchants", f"{prefix}payments"

    def payment(n: int) -> bytes:
        return orjson.dumps({"payment": f"p{n}", "card": "c", "merchant": f"m{n % 50}", "at": 1_700_000_000_000 + n})

    async def scenario() -> None:
        await make_topics(broker, pipeline)
        table = [
            (merchants, 0, None, b"m%d" % n, orjson.dumps({"merchant": f"m{n}", "risk": n / 100})) for n in range(50)
        ]
        async with reader(broker.address, topics_of(pipeline, 1, {merchants: 1, payments: 1})) as seen:
            await send(broker.address, [(payments, 0, None, b"c", payment(n)) for n in range(40)])
            await send(broker.address, table)
            never = Settings(batch=20, snapshot_seconds=1_000)
            first = Worker(pipeline, broker.address, never, QUICK, print)
            first_run = asyncio.create_task(first.run())
            async with asyncio.timeout(60):
                while seen.count(names(pipeline.name)["predictions"]) < 40:
                    await asyncio.sleep(0.05)
            for running in first._running.values():
                running.cancel()  # in mid-turn, without a snapshot
            await asyncio.gather(first_run, return_exceptions=True)
            admin = Admin(QUICK.client(broker.address), QUICK)
            await admin.start()
            await admin.drop({TopicPartition(merchants, 0): 50})
            await admin.close()
            await send(broker.address, [(payments, 0, None, b"c", payment(n)) for n in range(40, 60)])
            second = Worker(pipeline, broker.address, never, QUICK, print)
            await second.run(until_end=True)
            (task,) = second.tasks.values()
            assert task.told.restored[0] > 0
            assert task.session.differences == 0
        answers = [orjson.loads(one) for one in seen.values(names(pipeline.name)["predictions"], 0)]
        assert [one["id"] for one in answers] == [f"p{n}" for n in range(60)]
        assert [one["features"]["risk"] for one in answers] == [n % 50 / 100 for n in range(60)]
        kept = [fed for entry in entries_of(pipeline, 0, seen) for fed in entry.fed if fed.kept is not None]
        assert sum(fed.count for fed in kept) == 50

    asyncio.run(scenario())
