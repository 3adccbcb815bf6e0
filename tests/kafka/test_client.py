"""`connect("kafka://...")` on a real broker: others see plain JSON of it, and it sees what is committed."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer, TopicPartition

import stream_ml
from stream_ml.client.kafka import KafkaClient, key_of
from stream_ml.client.records import Place
from stream_ml.config.kafka import KafkaSettings
from stream_ml.demos.broker import Broker
from stream_ml.errors import Exit, InputError, StorageError, UsageError
from tests.kafka.topics import make, read


@pytest.fixture
def log(broker: Broker) -> Iterator[KafkaClient]:
    with stream_ml.connect(f"kafka://{broker.address}") as made:
        assert isinstance(made, KafkaClient)
        yield made


def topic(broker: Broker, prefix: str, partitions: int = 1) -> str:
    asyncio.run(make(broker.address, f"{prefix}t", partitions))
    return f"{prefix}t"


def test_places_are_told_and_others_see_plain_json(broker: Broker, prefix: str, log: KafkaClient) -> None:
    name = topic(broker, prefix, 3)
    sent = [{"card": f"c{n % 7}", "n": n} for n in range(5_000)]
    places = log.produce(name, sent, key="card")
    assert len(set(places)) == len(sent)
    for partition in range(3):
        mine = [orjson.loads(value) for value in read(broker.address, name, partition)]
        assert mine == [record for record, place in zip(sent, places, strict=True) if place.partition == partition]
        offsets = [place.offset for place in places if place.partition == partition]
        assert offsets == list(range(len(mine)))
    by_card = {(record["card"], place.partition) for record, place in zip(sent, places, strict=True)}
    assert len(by_card) == 7


def test_keys_are_what_java_and_librdkafka_with_murmur2_make_of_them(
    broker: Broker, prefix: str, log: KafkaClient
) -> None:
    name = topic(broker, prefix, 4)
    places = log.produce(name, [{"card": f"c{n}", "n": n} for n in range(50)], key=["card"])
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": f"{prefix}g"})
    try:
        for n, place in enumerate(places):
            if n % 10 == 0:
                consumer.assign([TopicPartition(name, place.partition, place.offset)])
                message = consumer.poll(20.0)
                assert message is not None
                assert (message.key(), message.value()) == (f"c{n}".encode(), b'{"card":"c%d","n":%d}' % (n, n))
    finally:
        consumer.close()
    assert key_of(b'{"card": "c1", "n": 1.50}', ["card", "n"]) == b'["c1",1.5]'
    assert key_of(b"no json", "card") is None


def test_consume_begins_where_it_is_told(broker: Broker, prefix: str, log: KafkaClient) -> None:
    name = topic(broker, prefix, 2)
    log.produce(name, [{"card": f"c{n}", "n": n} for n in range(40)], key="card")
    assert sorted(one["n"] for one in log.consume(name)) == list(range(40))
    records = list(log.records(name))
    assert {record.partition for record in records} == {0, 1}
    assert all(abs(record.received - time.time() * 1000) < 60_000 for record in records)
    assert all(record.key == record.json()["card"] for record in records)
    later = [(record.partition, record.row) for record in log.records(name, 5)]
    assert later
    assert sorted(later) == sorted((r.partition, r.row) for r in records if r.row >= 5)
    assert list(log.consume(name, "end")) == []
    assert list(log.consume(name, 1_000)) == []
    with pytest.raises(UsageError, match='Write "start", "end" or a row number'):
        list(log.consume(name, "newest"))  # type: ignore[arg-type]


def test_a_follower_sees_what_comes_and_ends_with_its_patience(broker: Broker, prefix: str, log: KafkaClient) -> None:
    name = topic(broker, prefix)
    log.produce(name, [b"before"])
    seen: list[bytes] = []
    follower = log.records(name, "end", follow=True, timeout=3.0)
    reading = threading.Thread(target=lambda: seen.extend(record.value for record in follower))
    reading.start()
    with stream_ml.connect(f"kafka://{broker.address}") as other:
        until = time.monotonic() + 20
        sent = 0
        while not seen and time.monotonic() < until:
            other.produce(name, [b"%d" % sent])
            sent += 1
    begun = time.monotonic()
    reading.join(30)
    assert not reading.is_alive()
    assert time.monotonic() - begun > 1.0
    assert seen == [b"%d" % n for n in range(sent - len(seen), sent)]


def test_what_is_not_committed_is_not_seen(broker: Broker, prefix: str, log: KafkaClient) -> None:
    name = topic(broker, prefix)

    async def scenario() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id=f"{prefix}id")
        await producer.start()
        try:
            async with producer.transaction():
                await producer.send_and_wait(name, b"1")
            await producer.begin_transaction()
            await producer.send_and_wait(name, b"aborted")
            await producer.abort_transaction()
            async with producer.transaction():
                await producer.send_and_wait(name, b"2")
            assert await asyncio.to_thread(list, log.consume(name)) == [1, 2]
            await producer.begin_transaction()
            await producer.send_and_wait(name, b"open")
            begun = time.monotonic()
            assert await asyncio.to_thread(list, log.consume(name)) == [1, 2]
            assert time.monotonic() - begun < 20
            await producer.abort_transaction()
        finally:
            await producer.stop()

    asyncio.run(scenario())


def test_a_client_works_in_a_program_with_an_event_loop(broker: Broker, prefix: str) -> None:
    name = topic(broker, prefix)

    async def program() -> list[object]:
        with stream_ml.connect(f"kafka://{broker.address}") as client:
            assert client.produce(name, [{"n": 1}]) == [Place(0, 0)]
            return list(client.consume(name))

    assert asyncio.run(program()) == [{"n": 1}]


def test_mistakes_are_one_line(broker: Broker, prefix: str, log: KafkaClient) -> None:
    name = topic(broker, prefix, 4)
    with pytest.raises(UsageError) as refused:
        log.produce(name, [{"card": "c1"}])
    assert str(refused.value) == (
        f"{name} has 4 partitions, and no key says where a record belongs. "
        "Name the key's field: key=FIELD, or --key FIELD"
    )
    missing = f"There is no topic {prefix}none on {broker.address}. "
    with pytest.raises(InputError, match=missing):
        list(log.consume(f"{prefix}none"))
    with pytest.raises(InputError, match=missing):
        log.produce(f"{prefix}none", [b"x"])
    with pytest.raises(UsageError, match="larger than the topic takes"):
        log.produce(name, [{"card": "c1", "text": "x" * 3_000_000}], key="card")
    assert len(log.produce(name, [{"card": "c1"}], key="card")) == 1
    with pytest.raises(UsageError, match="does not go with Kafka"):
        stream_ml.connect(f"kafka://{broker.address}", durable="normal")


def test_brokers_that_are_not_there_or_say_nothing_are_told_of_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings = KafkaSettings(request_timeout_ms=500, deadline_s=2.0)
        for call in (lambda c: c.produce("t", [b"x"]), lambda c: list(c.consume("t")), lambda c: c.topics()):
            begun = time.monotonic()
            with KafkaClient(f"127.0.0.1:{port}", settings) as client, pytest.raises(StorageError) as refused:
                call(client)
            assert time.monotonic() - begun < 10
            assert refused.value.exit is Exit.IO
            assert f"127.0.0.1:{port}" in str(refused.value)
    with (
        stream_ml.connect(f"kafka://127.0.0.1:{port}") as gone,
        pytest.raises(StorageError, match=f"Kafka at 127.0.0.1:{port} cannot be reached"),
    ):
        gone.produce("t", [b"x"])


def test_aiokafka_is_asked_for_where_it_is_missing() -> None:
    program = """
import sys
sys.modules["aiokafka"] = None
import stream_ml
from stream_ml.errors import UsageError
try:
    stream_ml.connect("kafka://127.0.0.1")
except UsageError as refused:
    assert str(refused) == "Kafka needs aiokafka, which is not installed. pip install 'stream-ml[kafka]'", refused
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_file_needs_no_aiokafka(tmp_path: Path) -> None:
    program = f"""
import sys, stream_ml
with stream_ml.connect("sqlite:///{tmp_path}/x.db") as log:
    log.produce("t", [{{}}])
assert not [one for one in sys.modules if one.startswith("aiokafka")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
