"""What a worker tells over HTTP, on a real broker: every metric that docs/kafka.md names, with sensible values."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import names
from tests.kafka.commands import Running, asked, cards_with_topics, free_port, keyed, running, scraped, sent, serving
from tests.kafka.never_stopped import reader
from tests.kafka.workers import SHORT
from tests.kafka.workers import until as soon
from tests.local.processes import ROOT, until

PAGE = (ROOT / "docs" / "kafka.md").read_text(encoding="utf-8")
SCORERS, LEARNER = {"0", "1"}, {"learner"}
RESTORING = (503, "task 0 is restoring, 0 of 0 journal entries fed again\n")


def documented() -> set[str]:
    table = PAGE.partition("## Watching it")[2]
    return set(re.findall(r"`(stream_ml_\w+)`", table))


def test_every_metric_of_the_page(broker: Broker, prefix: str, tmp_path: Path) -> None:
    pipeline, path = cards_with_topics(broker, prefix, tmp_path, 2)
    records = keyed(pipeline, 11, 2_000)
    port, begun = free_port(), time.monotonic()
    run = ("run", str(path), "--on", f"kafka://{broker.address}", "--metrics-port", str(port))
    quick = {"STREAM_ML_SNAPSHOT_SECONDS": "0.02"}
    with running(tmp_path, *run, settings=quick) as worker:
        until(lambda: asked(port, "/healthz")[0] == 200, 60)
        code, why = asked(port, "/readyz")
        assert why == "ok\n" if code == 200 else why.endswith(("worker's\n", "begun\n", "fed again\n")), (code, why)
        until(lambda: serving(port) == SCORERS | LEARNER, 120)
        for start in range(0, len(records), 200):
            sent(broker, records[start : start + 200])
        until(lambda: fed(port, len(records), worker), 60)
        assert [asked(port, path_) for path_ in ("/healthz", "/readyz")] == [(200, "ok\n")] * 2
        assert asked(port, "/")[0] == 404
        until(lambda: "stream_ml_snapshot_age_seconds" in scraped(port), 30)
        found = scraped(port)
    assert documented() <= found.keys(), documented() - found.keys()
    tasks = SCORERS | LEARNER
    assert found["stream_ml_task_running"] == dict.fromkeys(tasks, 1.0)
    assert found["stream_ml_lag_records"] == dict.fromkeys(tasks, 0.0)
    for name in ("feed_seconds_total", "stage_seconds_total", "commit_seconds_total", "turns_total"):
        assert found[f"stream_ml_{name}"].keys() == tasks
        assert all(0 < value < 1_000_000 for value in found[f"stream_ml_{name}"].values()), name
    assert all(value < time.monotonic() - begun for value in found["stream_ml_stage_seconds_total"].values())
    assert all(0 <= value < 60 for value in found["stream_ml_committed_seconds"].values())
    assert all(0 <= value < 60 for value in found["stream_ml_snapshot_age_seconds"].values())
    assert all(value > 0 for task, value in found["stream_ml_snapshot_bytes"].items() if task in
               found["stream_ml_snapshot_age_seconds"])
    assert found["stream_ml_fenced_total"] == found["stream_ml_aborted_total"] == {"": 0.0}
    assert 0 <= found["stream_ml_loop_lag_seconds"][""] < 60
    assert found["stream_ml_version_lag"].keys() == SCORERS
    assert 0 <= found["stream_ml_model_age_seconds"][""] < 120
    assert found["stream_ml_events_total"].keys() == SCORERS
    assert sum(found["stream_ml_predictions_total"].values()) > 0
    assert found["stream_ml_model_version"]["learner"] > 0


def fed(port: int, records: int, worker: Running) -> bool:
    """Tell whether everything is fed, the learner's examples too."""
    assert worker.process.poll() is None, worker.said
    found = scraped(port)
    done = sum(found.get("stream_ml_events_total", {}).values())
    examples = found.get("stream_ml_examples_total", {})
    scored = sum(value for task, value in examples.items() if task in SCORERS)
    return done > 0 and serving(port) == SCORERS | LEARNER and examples.get("learner", -1) == scored and records > done


@asynccontextmanager
async def held(broker: Broker, journal: str) -> AsyncIterator[None]:
    """Hold a transaction open on a journal: nobody recovers from it meanwhile."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id=f"{journal}.held")
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(journal, b"", partition=0)
        yield
        await producer.abort_transaction()
    finally:
        await producer.stop()


def test_restoring_shows(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """A worker that feeds a journal again says how far it is, and is not ready before it serves."""
    pipeline, path = cards_with_topics(broker, prefix, tmp_path, 1)
    journal = names(pipeline.name)["journal"]
    port = free_port()
    run = ("run", str(path), "--on", f"kafka://{broker.address}", "--metrics-port", str(port))
    settings = {**SHORT, "STREAM_ML_SNAPSHOT_SECONDS": "1000", "STREAM_ML_BATCH": "5"}
    settings["STREAM_ML_KAFKA_DEADLINE_S"] = "60"
    sent(broker, keyed(pipeline, 2, 1_000))
    with running(tmp_path, *run, settings=settings) as worker:
        until(lambda: scraped(port).get("stream_ml_turns_total", {}).get("0", 0) > 50, 120)
        worker.process.kill()

    async def entries_while_it_waits() -> int:
        async with held(broker, journal):
            await soon(lambda: asked(port, "/readyz") == RESTORING, "who waits for the journal's end")
            async with reader(broker.address, {journal: 1}) as seen:
                pass
            assert asked(port, "/readyz") == RESTORING
        return seen.count(journal)

    with running(tmp_path, *run, settings=settings):
        entries = asyncio.run(entries_while_it_waits())
        until(lambda: asked(port, "/readyz") == (200, "ok\n"), 120)
        found = scraped(port)
    assert entries > 50
    assert found["stream_ml_restored_entries"] == found["stream_ml_restore_entries"] == {"0": entries}
