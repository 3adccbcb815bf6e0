"""The commands on Kafka: as a user types them, against a real broker and a worker."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from confluent_kafka import Producer

import stream_ml
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import names
from stream_ml.errors import Exit
from tests.cli.test_log_commands import complaint, environment, ran, said
from tests.kafka.named import named
from tests.kafka.topics import make, read
from tests.local.processes import command, until


def payment(n: int) -> dict[str, Any]:
    at = f"2026-01-05T09:{n // 60 % 60:02d}:{n % 60:02d}Z"
    return {"payment": f"p{n}", "card": f"c{n % 5}", "terminal": "t1", "amount": n + 0.5, "at": at}


class Place:
    """A pipeline of a test's own, its broker, and commands in its folder."""

    def __init__(self, broker: Broker, prefix: str, folder: Path) -> None:
        self.address, self.prefix, self.folder = broker.address, prefix, folder
        self.url = f"kafka://{broker.address}"
        self.pipeline, self.file = named("cards", prefix, folder)
        self.name = self.pipeline.name
        self.payments, self.chargebacks = f"{prefix}payments", f"{prefix}chargebacks"

    def ran(self, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return ran(*words, "--on", self.url, cwd=self.folder, stdin=stdin)

    def json(self, *words: str) -> Any:
        return json.loads(said(self.ran(*words, "--json")))

    def produce(self, topic: str, records: list[dict[str, Any]], *options: str) -> None:
        lines = b"\n".join(map(orjson.dumps, records)) + b"\n"
        said(self.ran("produce", topic, "-", *options, stdin=lines))

    def run(self) -> None:
        said(self.ran("run", self.file.name, "--until-end"))

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on until it is told to stop, or the test has failed."""
        line = command(*words, "--on", self.url)
        with subprocess.Popen(line, cwd=self.folder, stdout=subprocess.PIPE, env=environment()) as process:
            try:
                yield process
            finally:
                process.kill()

    def task(self, number: int = 0) -> Any:
        """What `status` tells of a task, None while the pipeline has none."""
        found = [one for one in self.json("status")["pipelines"] if one["name"] == self.name]
        return found[0]["tasks"][number] if found and number < len(found[0]["tasks"]) else None


@pytest.fixture
def place(broker: Broker, prefix: str, tmp_path: Path) -> Place:
    return Place(broker, prefix, tmp_path)


def make_inputs(place: Place, partitions: int = 1) -> None:
    for topic in (place.payments, place.chargebacks):
        asyncio.run(make(place.address, topic, partitions))


def trim(address: str, topic: str, before: int) -> None:
    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before)})
        await admin.close()

    asyncio.run(delete())


def test_produce_run_consume_replay(place: Place) -> None:
    make_inputs(place)
    lines = b"".join(orjson.dumps(payment(n)) + b"\n" for n in range(50))
    told = place.ran("produce", place.payments, "-", stdin=lines)
    assert said(told) == ""
    assert told.stderr.decode() == f"50 records of {place.payments} are stored, partition/offset 0/0 to 49\n"
    place.produce(place.chargebacks, [{"payment": "p3", "card": "c3", "fraud": True}])
    place.run()
    predictions = [json.loads(line) for line in said(place.ran("consume", f"{place.name}.predictions")).splitlines()]
    assert [one["id"] for one in predictions] == [f"p{n}" for n in range(50)]
    assert all("received" not in one for one in predictions)
    assert [orjson.loads(raw) for raw in read(place.address, f"{place.name}.predictions")] == predictions
    records = [json.loads(line) for line in said(place.ran("consume", place.payments, "--from", "48")).splitlines()]
    assert [one["payment"] for one in records] == ["p48", "p49"]
    assert all(one["received"] > 1_700_000_000_000 for one in records)
    assert said(place.ran("consume", place.payments, "--from", "end")) == ""
    csv = said(place.ran("consume", place.payments, "--format", "csv")).splitlines()
    assert csv[0].startswith("payment,card,terminal,amount,at,received")
    assert len(csv) == 51
    (place.folder / "p.parquet").write_bytes(place.ran("consume", place.payments, "--format", "parquet").stdout)
    assert pq.read_table(place.folder / "p.parquet").num_rows == 50
    table = said(place.ran("consume", place.payments, "--format", "table", "--from", "49"))
    assert "partition" in table
    assert "p49" in table
    replay_kafka(place, predictions)


def replay_kafka(place: Place, predictions: list[dict[str, Any]]) -> None:
    """History from the topics gives what live gave: one partition, the same order, the same received times."""
    sources = [f"{place.payments}={place.url}", f"{place.chargebacks}={place.url}/{place.chargebacks}"]
    done = ran("replay", place.file.name, *sources, "--out", "out", "--json", cwd=place.folder)
    assert json.loads(said(done))["records"] == 51
    replayed = [json.loads(line) for line in (place.folder / "out" / "predictions.ndjson").read_text().splitlines()]
    assert replayed == predictions
    missing = ran("replay", place.file.name, f"{place.payments}={place.url}/{place.prefix}none", cwd=place.folder)
    assert complaint(missing, Exit.USER).startswith(f"There is no topic {place.prefix}none on {place.address}. ")


def test_a_follower_is_fed_and_ends_with_its_reader(place: Place) -> None:
    make_inputs(place, 2)
    place.produce(place.payments, [payment(0)], "--key", "card")
    with place.started("consume", place.payments, "--follow") as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["payment"] == "p0"
        with stream_ml.connect(place.url) as log:
            log.produce(place.payments, [payment(1)], key="card")
        assert json.loads(follower.stdout.readline())["payment"] == "p1"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(30) == 130


def test_mistakes_are_one_line_with_the_codes_of_a_file(place: Place) -> None:
    make_inputs(place, 2)
    keyless = complaint(place.ran("produce", place.payments, "-", stdin=b"{}\n"), Exit.USER)
    assert keyless.endswith("--key FIELD")
    assert complaint(place.ran("consume", f"{place.prefix}none"), Exit.USER).startswith("There is no topic ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for words in (("consume", "t"), ("produce", "t", "-"), ("status",), ("dead-letters", "list")):
        done = ran(*words, "--on", f"kafka://127.0.0.1:{port}", cwd=place.folder, stdin=b"{}\n")
        assert f"127.0.0.1:{port}" in complaint(done, Exit.IO), words
    words = ("topics", place.file.name, "--check")
    done = ran(*words, "--on", f"kafka://127.0.0.1:{port}", cwd=place.folder)
    assert f"127.0.0.1:{port}" in complaint(done, Exit.IO)


def test_status_follows_a_worker_from_nothing_to_its_end(place: Place) -> None:
    make_inputs(place)
    assert place.name not in [one["name"] for one in place.json("status")["pipelines"]]
    place.produce(place.payments, [payment(n) for n in range(20)])
    with place.started("run", place.file.name) as worker:
        until(lambda: (running := place.task()) is not None and running["lag"] == 0, 90)
        running = place.task()
        assert running["lag"] == 0
        assert running["owner"].startswith("aiokafka")
        assert running["host"] == "127.0.0.1"
        assert running["positions"] == {f"{place.payments}/0": 20, f"{place.chargebacks}/0": 0}
        worker.terminate()
        assert worker.wait(60) == 0
    place.produce(place.payments, [payment(n) for n in range(20, 27)])
    stopped = place.task()
    assert (stopped["owner"], stopped["lag"]) == (None, 7)
    assert stopped["entry"] >= running["entry"]
    assert stopped["snapshot_entry"] is not None
    assert stopped["snapshot_bytes"] > 0
    assert 0 <= stopped["snapshot_age_s"] < 300
    assert stopped["version"][1] >= 0
    table = said(place.ran("status"))
    assert f"{place.name} on {place.address}" in table
    assert "nobody" in table


def test_dead_letters_are_listed_shown_and_produced_again(place: Place) -> None:
    make_inputs(place)
    large = orjson.dumps(payment(9) | {"amount": "much", "note": "x" * 100_000})
    producer = Producer({"bootstrap.servers": place.address})
    for n, value in enumerate([b"no json", orjson.dumps(payment(1)), large, b"{}"]):
        producer.produce(place.payments, value, b"key%d" % n)
    assert producer.flush(30) == 0
    place.run()
    of = ("--pipeline", place.name)
    listed = place.json("dead-letters", "list", *of)
    assert [(one["id"], one["reason"], one["offset"]) for one in listed] == [
        ("0/0", "json", 0), ("0/1", "type", 2), ("0/2", "missing", 3)
    ]  # fmt: skip
    assert [one["id"] for one in place.json("dead-letters", "list", *of, "--limit", "1")] == ["0/2"]
    assert [one["id"] for one in place.json("dead-letters", "list", *of, "--reason", "type")] == ["0/1"]
    shown = place.json("dead-letters", "show", "0/0", *of)
    assert base64.b64decode(shown["raw"]) == b"no json"
    assert "the first 65,536 bytes" in said(place.ran("dead-letters", "show", "0/1", *of))
    assert complaint(place.ran("dead-letters", "show", "0/99", *of), Exit.USER).startswith("0/99 is no dead letter. ")
    assert complaint(place.ran("dead-letters", "show", "7", *of), Exit.USER).startswith("'7' is no dead letter's id")
    again = said(place.ran("dead-letters", "retry", "0/0", "0/1", *of)).splitlines()
    assert again == [
        f"id 0/0 (json): again in {place.payments}, 0/4", f"id 0/1 (type): again in {place.payments}, 0/5"
    ]  # fmt: skip
    assert read(place.address, place.payments)[4:] == [b"no json", large]
    with stream_ml.connect(place.url) as log:
        assert [record.key for record in log.records(place.payments, 4)] == ["key0", "key2"]
    trim(place.address, place.payments, 3)
    retried = place.ran("dead-letters", "retry", "--all", *of, "--json")
    assert retried.returncode == Exit.USER
    assert retried.stderr.count(b"\n") == 1
    told = json.loads(retried.stdout)
    assert [(one["id"], one["place"]) for one in told["retried"]] == [("0/0", "0/6"), ("0/2", "0/7")]
    (gone,) = told["refused"]
    assert gone["id"] == "0/1"
    assert gone["error"].startswith(f"{place.payments} no longer holds offset 0/2, and the dead letter has only the ")
    assert complaint(place.ran("dead-letters", "retry", *of), Exit.USER).startswith("Nothing says which dead letters. ")


def test_topics_are_printed_for_an_operator_and_checked(place: Place) -> None:
    printed = said(place.ran("topics", place.file.name, "--partitions", "2")).splitlines()
    first = (
        f"kafka-topics.sh --bootstrap-server {place.address} --create --if-not-exists --topic {place.payments} "
        "--partitions 2 --config cleanup.policy=delete --config message.timestamp.type=LogAppendTime"
    )
    assert first in printed
    own = names(place.name)
    assert {line.split("--topic ")[1].split()[0] for line in printed} == {
        place.payments, place.chargebacks, *own.values()
    }  # fmt: skip
    missing = complaint(place.ran("topics", place.file.name, "--check"), Exit.USER)
    assert missing.startswith("Topics are missing: ")
    for line in printed:
        words = line.split()
        configs = dict(words[at + 1].split("=") for at, word in enumerate(words) if word == "--config")
        count = int(words[words.index("--partitions") + 1])
        asyncio.run(make(place.address, words[words.index("--topic") + 1], count, copies=1, **configs))
    assert place.json("topics", place.file.name, "--check") == {"pipeline": place.name, "partitions": 2}
    other = complaint(place.ran("topics", place.file.name, "--check", "--partitions", "3"), Exit.USER)
    assert other.startswith(f"The topics of {place.name} are for 2 partitions, not 3")
    anywhere = said(ran("topics", place.file.name, cwd=place.folder)).splitlines()
    assert anywhere[0].startswith("kafka-topics.sh --bootstrap-server 127.0.0.1:9092 ")
    on_a_file = ran("topics", place.file.name, "--on", "sqlite:///x.db", cwd=place.folder)
    assert complaint(on_a_file, Exit.USER).startswith("Only Kafka has topics that are made beforehand")


def test_two_partitions_are_read_whole_and_their_status_tells_the_learner(place: Place) -> None:
    make_inputs(place, 2)
    place.produce(place.payments, [payment(n) for n in range(60)], "--key", "card")
    place.produce(
        place.chargebacks, [{"payment": f"p{n}", "card": f"c{n % 5}", "fraud": n % 2 == 0} for n in range(60)],
        "--key", "card",
    )  # fmt: skip
    place.run()
    assert len(said(place.ran("consume", f"{place.name}.predictions")).splitlines()) == 60
    scorers = [place.task(0), place.task(1)]
    learner = place.task(2)
    assert [one["task"] for one in (*scorers, learner)] == ["0", "1", "learner"]
    assert [one["lag"] for one in scorers] == [0, 0]
    assert learner["lag"] < 30  # marks of the scorers' transactions: offsets that are no records
    assert learner["version"][1] == 60
    for one in scorers:
        assert one["version"][0] == learner["version"][0]
        assert one["behind"] == 60 - one["version"][1]
    sources = [f"{topic}={place.url}" for topic in (place.payments, place.chargebacks)]
    done = ran("replay", place.file.name, *sources, "--json", cwd=place.folder)
    assert json.loads(said(done))["counters"]["predicted"] == 60
