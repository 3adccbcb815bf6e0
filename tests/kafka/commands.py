"""`stream-ml` as processes of the tests, on the tests' broker."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from prometheus_client.parser import text_string_to_metric_families

from stream_ml.demos.broker import Broker
from stream_ml.language.pipeline import Pipeline
from tests.kafka.named import named
from tests.kafka.never_stopped import Sent, send
from tests.kafka.topics import make
from tests.local.processes import ROOT, command
from tests.streams import TICK, seeded


@dataclass(frozen=True)
class Running:
    """A command in the background; what it says on both streams is in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


@contextmanager
def running(folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run `stream-ml` with arguments; whatever is left of it at the end is killed."""
    log = folder / f"said-{len(list(folder.glob('said-*')))}.txt"
    own = {"PYTHONPATH": str(ROOT), "COLUMNS": "200", **(settings or {})}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(*arguments), cwd=folder, env={**os.environ, **own}, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


def cards_with_topics(broker: Broker, prefix: str, folder: Path, partitions: int) -> tuple[Pipeline, Path]:
    """Write the cards pipeline under the test's name, and make its topics."""
    pipeline, path = named("cards", prefix, folder)
    for topic in ("payments", "chargebacks"):
        asyncio.run(make(broker.address, prefix + topic, partitions, message_timestamp_type="LogAppendTime"))
    return pipeline, path


def keyed(pipeline: Pipeline, seed: int, size: int) -> list[Sent]:
    """Return a generated stream of cards as records whose key is the card."""
    made = seeded(pipeline, seed, size)
    return [
        (topic, None, None, str(record["card"]).encode(), orjson.dumps(record))
        for topic, _, record in made
        if topic != TICK and "card" in record
    ]


def sent(broker: Broker, records: list[Sent]) -> None:
    asyncio.run(send(broker.address, records))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port



def asked(port: int, path: str) -> tuple[int, str]:
    """Ask a worker's endpoint; returns the code and the text, code 0 where nobody answers yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def scraped(port: int) -> dict[str, dict[str, float]]:
    """Return each metric by task, summed over stages; those with other labels left out; empty where nobody answers."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(asked(port, "/metrics")[1]):
        for sample in family.samples:
            if sample.labels.keys() - {"stage"} == {"pipeline", "task"}:
                tasks, name = found.setdefault(sample.name, {}), sample.labels["task"]
                tasks[name] = tasks.get(name, 0.0) + sample.value
    return found


def serving(port: int) -> set[str]:
    """Return the tasks that run at an endpoint and have fed everything; none where one of its tasks has not."""
    found = scraped(port)
    lags, runs = (found.get(f"stream_ml_{name}", {}) for name in ("lag_records", "task_running"))
    return set(runs) if all(runs.values()) and not any(lags.values()) else set()
