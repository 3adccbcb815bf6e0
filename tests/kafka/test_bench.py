"""`stream-ml bench` on a broker: counts and structure; the copy's topics are gone afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_ml.demos.broker import Broker
from tests.cli.test_log_commands import ran, said

CARDS = str(Path(__file__).parent.parent / "pipelines" / "cards.py")


async def topics_of(address: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 2])
def test_latency(broker: Broker, tmp_path: Path, partitions: int) -> None:
    before = asyncio.run(topics_of(broker.address))
    done = ran(
        "bench", "latency", CARDS, "--on", f"kafka://{broker.address}", "--rate", "200", "--duration", "4s",
        "--labels", "0.5", "--label-after", "100ms", "--json", cwd=tmp_path,
        env={"STREAM_ML_KAFKA_PARTITIONS": str(partitions)},
    )  # fmt: skip
    found = json.loads(said(done))
    (step,) = found["steps"]
    assert (found["engine"], found["partitions"]) == ("kafka", partitions)
    assert found["learning"] == ("inline" if partitions == 1 else "shared")
    assert (step["events"], step["answered"], step["answers"]) == (800, 800, 800)
    assert step["update_visible_ms"]["n"] > 0
    assert (tmp_path / "bench" / "cards-kafka-latency.json").exists()
    left = asyncio.run(topics_of(broker.address)) - before
    assert [one for one in left if "bench" in one] == []


@pytest.mark.slow
def test_throughput(broker: Broker, tmp_path: Path) -> None:
    url = f"kafka://{broker.address}"
    done = ran("bench", "throughput", CARDS, "--on", url, "--records", "6000", "--json", cwd=tmp_path)
    found = json.loads(said(done))
    assert [found[name] for name in ("events", "labels", "answered", "examples")] == [6_000] * 4
    assert found["turns"] >= 1
