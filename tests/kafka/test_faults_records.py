"""Records that are wrong, twice, too early, too late or never: each has one effect, or a dead letter that says why."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import names
from tests.kafka import moody
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, Sent, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payment, payments
from tests.kafka.test_engine import make_topics
from tests.kafka.workers import Nursery, all_end, until

MOODY = Path(moody.__file__)


def poison(prefix: str, number: int) -> tuple[Sent, str]:
    """Return a record that must be refused, and the reason."""
    good = payment(number, f"c{number}", int(time.time() * 1000))
    kinds: list[tuple[bytes, str]] = [
        (b'{"payment": "p', "json"),
        (b"\xff\xfe", "json"),
        (b"", "empty"),
        (orjson.dumps({**good, "amount": "much"}), "type"),
        (orjson.dumps({**good, "amount": [1]}), "type"),
        (json.dumps({**good, "amount": float("nan")}).encode(), "number"),
        (orjson.dumps({**good, "card": None}), "null_key"),
        (orjson.dumps({**good, "amount": -1.0}), "constraint"),
        (orjson.dumps({**good, "at": "yesterday"}), "time"),
        (orjson.dumps({name: value for name, value in good.items() if name != "amount"}), "missing"),
        (b"[" * 100_000, "json"),
        (orjson.dumps({**good, "at": "2099-01-01T00:00:00Z"}), "ahead"),
    ]
    value, reason = kinds[number % len(kinds)]
    return (f"{prefix}payments", 0, None, f"c{number}".encode(), value), reason


def test_19_poisoned_records_among_others(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """One in a hundred, on one partition of two: exactly those are dead letters, with their offsets and reasons."""
    pipeline, file = named("cards", prefix, tmp_path)
    records: list[Sent] = []
    planned: Counter[str] = Counter()
    for number, good in enumerate(payments(prefix, 19, 2_400)):
        records.append(good)
        if number % 100 == 50:
            spoilt, reason = poison(prefix, number // 100)
            records.append(spoilt)
            planned[reason] += 1

    async def scenario() -> Seen:
        await make_topics(broker, pipeline, partitions=2)
        async with reader(broker.address, topics_of(pipeline, 2, inputs(prefix, 2))) as seen:
            await send(broker.address, records)
            worker = nursery.start(file, broker.address, "--until-end")
            assert await worker.ended() == 0, worker.told
        return seen

    seen = asyncio.run(scenario())
    judge(pipeline, 2, seen)
    dead = names(pipeline.name)["dead"]
    letters = [json.loads(raw) for raw in seen.values(dead, 0)]
    buried = Counter(one["reason"] for one in letters if one["reason"] != "unmatched")
    assert buried == planned
    assert planned.total() > 20
    held = seen.values(f"{prefix}payments", 0)
    bad = {value for _, partition, _, _, value in records if partition == 0}
    for one in letters:
        if one["reason"] != "unmatched":
            assert held[one["offset"]] in bad
    assert not [one for one in map(json.loads, seen.values(dead, 1)) if one["reason"] != "unmatched"]


def order(number: int, customer: str = "a", price: float = 10.0) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"order": f"o{number}", "customer": customer, "price": price, "at": at}


def returned(number: int, customer: str = "a", *, yes: bool = True) -> dict[str, Any]:
    return {"order": f"o{number}", "customer": customer, "returned": yes}


def keyed(prefix: str, topic: str, record: dict[str, Any]) -> Sent:
    return f"{prefix}{topic}", None, None, record["customer"].encode(), orjson.dumps(record)


def test_20_a_model_that_raises(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """The event is counted and not predicted; its dead letter says what the model said."""
    pipeline, file = named(MOODY, prefix, tmp_path)

    topics = topics_of(pipeline, 1, {f"{prefix}orders": 1, f"{prefix}returns": 1})

    async def scenario() -> Seen:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics) as seen:
            orders = [order(n, f"c{n % 5}", 901.0 if n % 10 == 3 else float(n)) for n in range(200)]
            await send(broker.address, [keyed(prefix, "orders", one) for one in orders])
            worker = nursery.start(file, broker.address, "--until-end")
            assert await worker.ended() == 0, worker.told
        return seen

    seen = asyncio.run(scenario())
    (session,) = judge(pipeline, 1, seen)
    letters = [json.loads(raw) for raw in seen.values(names(pipeline.name)["dead"], 0)]
    assert [one["offset"] for one in letters] == list(range(3, 200, 10))
    assert {one["reason"] for one in letters} == {"model"}
    assert all("not in the mood" in one["message"] for one in letters)
    assert session.stats["events"] == 200
    assert session.stats["predicted"] == 180


def test_25_to_28_twice_early_late_and_never(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """Orders and labels of them in every wrong order, live, with a wait of two seconds."""
    pipeline, file = named(MOODY, prefix, tmp_path)
    examples = names(pipeline.name)["examples"]
    orders, returns = "orders", "returns"

    async def scenario() -> Seen:
        await make_topics(broker, pipeline)
        topics = topics_of(pipeline, 1, {f"{prefix}orders": 1, f"{prefix}returns": 1})
        async with reader(broker.address, topics) as seen:
            worker = nursery.start(file, broker.address)
            try:
                await until(lambda: "fresh start" in worker.told, "the start")
                twice, early, contradicted, never, late = (order(n) for n in range(5))
                first = [(orders, twice), (orders, twice), (returns, returned(0)), (returns, returned(0))]
                first += [(returns, returned(1)), (orders, contradicted), (orders, never), (orders, late)]
                first += [(returns, returned(2)), (returns, returned(2, yes=False)), (orders, twice)]
                await send(broker.address, [keyed(prefix, *one) for one in first])
                await until(lambda: seen.count(examples) == 2, "labels that came in time")
                await send(broker.address, [keyed(prefix, orders, early)])
                await until(lambda: seen.count(examples) == 5, "silences")
                await send(broker.address, [keyed(prefix, returns, returned(4)), keyed(prefix, returns, returned(9))])
                await until(lambda: seen.count(names(pipeline.name)["dead"]) >= 1, "a label of nothing", 10)
                await worker.stopped()
            finally:
                await all_end([worker])
        return seen

    seen = asyncio.run(scenario())
    (session,) = judge(pipeline, 1, seen)
    found = {one["id"]: (one["fate"], one["target"]) for one in map(json.loads, seen.values(examples, 0))}
    assert found == {
        "o0": ("label", True), "o1": ("label", True), "o2": ("label", True),
        "o3": ("silence", False), "o4": ("silence", False),
    }  # fmt: skip
    stats = session.stats
    assert stats["examples"] == len(found) == seen.count(examples)
    assert stats["duplicate"] == 2
    assert stats["held"] >= 1
    assert stats["dead"] == {"unmatched": 2}, seen.values(names(pipeline.name)["dead"], 0)


