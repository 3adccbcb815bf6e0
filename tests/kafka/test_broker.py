"""The broker itself: what the other Kafka tests stand on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaClient, AIOKafkaProducer, TopicPartition

from stream_ml.demos.broker import QUICK, Broker
from stream_ml.demos.broker_place import HOST
from stream_ml.demos.cluster import Cluster
from stream_ml.demos.kafka_jars import jars
from stream_ml.errors import StreamMLError, UsageError
from tests.kafka.topics import make, read
from tests.local.processes import finished, python, until


@contextlib.asynccontextmanager
async def producing(address: str, name: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=name, acks="all", request_timeout_ms=15_000)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


async def transaction(producer: AIOKafkaProducer, topic: str, *values: bytes, commit: bool = True) -> None:
    await producer.begin_transaction()
    for value in values:
        await producer.send_and_wait(topic, value, partition=0)
    await (producer.commit_transaction() if commit else producer.abort_transaction())


async def leader(address: str, topic: str) -> int:
    client = AIOKafkaClient(bootstrap_servers=address)
    await client.bootstrap()
    try:
        client.add_topic(topic)
        await client.force_metadata_update()
        found = client.cluster.leader_for_partition(TopicPartition(topic, 0))
        assert found is not None
        return int(found)
    finally:
        await client.close()


def echoes(port: int, seconds: float) -> bool:
    """Ask a broker which versions it speaks; False if it takes the connection and says nothing."""
    with socket.create_connection((HOST, port), timeout=seconds) as asked:
        asked.sendall(bytes.fromhex("0000000a" "0012" "0000" "00000001" "ffff"))
        try:
            return len(asked.recv(4)) == 4
        except TimeoutError:
            return False


def gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_transaction_reaches_a_reader_that_is_not_ours(broker: Broker, prefix: str) -> None:
    topic = prefix + "out"

    async def write() -> None:
        await make(broker.address, topic)
        async with producing(broker.address, prefix + "id") as producer:
            await transaction(producer, topic, b"a", b"b")
            await transaction(producer, topic, b"taken back", commit=False)
            await transaction(producer, topic, b"c")

    asyncio.run(write())
    assert read(broker.address, topic) == [b"a", b"b", b"c"]
    assert read(broker.address, topic, isolation="read_uncommitted") == [b"a", b"b", b"taken back", b"c"]


def test_it_is_killed_stopped_and_paused_and_keeps_what_it_has(kafka_jars: Path, tmp_path: Path) -> None:
    assert kafka_jars.is_dir()
    options = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
    broker = Broker(tmp_path / "one", options=options, machine=QUICK)

    async def write(value: bytes) -> None:
        async with producing(broker.address, "keeps") as producer:
            await transaction(producer, "kept", value)

    with broker:
        asyncio.run(make(broker.address, "kept"))
        asyncio.run(write(b"before"))
        first = broker.pid
        with pytest.raises(UsageError, match="broker 1 runs already"):
            broker.start()
        broker.kill()
        assert gone(first)
        broker.start()
        asyncio.run(write(b"after kill -9"))
        assert broker.pid != first
        broker.stop()
        broker.start()
        assert read(broker.address, "kept") == [b"before", b"after kill -9"]
        broker.pause()
        assert broker.running
        assert not echoes(broker.port, 0.5)
        broker.resume()
        assert echoes(broker.port, 20.0)
        broker.pause()
    with pytest.raises(UsageError, match="broker 1 does not run"):
        broker.pause()


@pytest.mark.faults
def test_a_cluster_outlives_the_leader(kafka_jars: Path, tmp_path: Path) -> None:
    assert kafka_jars.is_dir()
    options = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}

    async def write(cluster: Cluster) -> None:
        await make(cluster.address, "kept", copies=3)
        async with producing(cluster.address, "cluster") as producer:
            await transaction(producer, "kept", b"before")
            first = await leader(cluster.address, "kept")
            await asyncio.to_thread(cluster.broker(first).kill)
            await asyncio.wait_for(transaction(producer, "kept", b"with two"), 60.0)
            await asyncio.to_thread(cluster.broker(first).start)
            await asyncio.wait_for(transaction(producer, "kept", b"with three"), 60.0)

    with Cluster(tmp_path, 3, options=options, machine=QUICK) as cluster:
        asyncio.run(write(cluster))
        assert read(cluster.address, "kept") == [b"before", b"with two", b"with three"]
        pids = [broker.pid for broker in cluster.brokers]
    assert all(map(gone, pids))


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit()"])
def test_no_broker_outlives_its_parent(kafka_jars: Path, tmp_path: Path, end: str) -> None:
    assert kafka_jars.is_dir()
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from stream_ml.demos.broker import Broker

        broker = Broker(Path(sys.argv[1]))
        broker.launch()
        print(broker.pid, broker._keeper.pid, flush=True)
        sys.stdin.readline()
        {end}
    """
    parent = python(textwrap.dedent(script), str(tmp_path))
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert not any(map(gone, pids))
    parent.communicate("\n", timeout=30)
    assert parent.returncode in (0, -signal.SIGKILL)
    until(lambda: all(map(gone, pids)), 10.0)


def test_one_that_cannot_start_says_why(kafka_jars: Path, tmp_path: Path) -> None:
    assert kafka_jars.is_dir()
    broker = Broker(tmp_path / "one")
    with (
        socket.create_server((HOST, broker.members[0].controller)),
        pytest.raises(StreamMLError, match=r"broker 1 ended with code 1\b") as failed,
    ):
        broker.start()
    assert "Address already in use" in failed.value.cure
    assert not broker.running
    wrong = Broker(tmp_path / "two", options={"num.io.threads": "0"})
    with pytest.raises(StreamMLError, match=r"(?s)broker 1 could not be formatted.*num\.io\.threads"):
        wrong.start()


#: Stands for Maven: says that it was called, takes its time, writes a jar.
MAVEN = """#!/bin/sh
echo called >> "$CALLS"
sleep 0.3
[ -n "$FAILS" ] && { echo "[ERROR] no such artifact"; exit 1; }
mkdir libs && : > libs/kafka_2.13-9.9.9.jar
"""
FETCH = "from stream_ml.demos.kafka_jars import jars; print(jars('9.9.9'))"


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {"mvn": MAVEN, "java": "#!/bin/sh\n"}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAILS", "")
    monkeypatch.setenv("STREAM_ML_KAFKA_JARS", str(tmp_path / "cache"))
    return tmp_path


def test_two_that_want_the_jars_fetch_them_once(maven: Path) -> None:
    folder = maven / "cache" / "kafka-9.9.9"
    assert {finished(process) for process in [python(FETCH) for _ in range(3)]} == {f"{folder}\n"}
    assert (maven / "calls").read_text() == "called\n"
    assert [path.name for path in folder.iterdir()] == ["kafka_2.13-9.9.9.jar"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["kafka-9.9.9", "kafka-9.9.9.lock"]


def test_jars_that_maven_cannot_fetch_are_not_there(maven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILS", "yes")
    with pytest.raises(StreamMLError, match=r"Maven could not fetch Kafka 9\.9\.9") as failed:
        jars("9.9.9")
    assert "[ERROR] no such artifact" in failed.value.cure
    monkeypatch.setenv("FAILS", "")
    assert jars("9.9.9").is_dir()
    assert (maven / "calls").read_text() == "called\n" * 2


def test_without_java_and_maven_both_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_ML_KAFKA_JARS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as failed:
        jars("9.9.9")
    assert str(failed.value) == (
        "a Kafka broker needs Java 17 and Maven, and there is no java and no mvn on the path. "
        "Install them (Debian: apt-get install openjdk-17-jre-headless maven)"
    )


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("1", "error")])
def test_without_java_tests_are_skipped_but_not_under_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", __file__, "-k", "reaches_a_reader", "-p", "no:cacheprovider"],
        env={**os.environ, "PATH": str(tmp_path), "STREAM_ML_KAFKA_JARS": str(tmp_path), "CI": ci},
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert f"1 {outcome}" in done.stdout, done.stdout + done.stderr
    assert "there is no java" in done.stdout


def test_a_clusters_id_may_begin_with_a_dash(kafka_jars: Path, tmp_path: Path) -> None:
    assert kafka_jars.is_dir()
    Broker(tmp_path / "broker", cluster="-kU3OEVBNTcwNTJENDM2Qg")._format()
    assert "-kU3OEVBNTcwNTJENDM2Qg" in (tmp_path / "broker" / "data" / "meta.properties").read_text(encoding="utf-8")
