"""The Kafka demo, and what docker-compose.yml starts: run for real, for seconds."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from stream_ml.demos import kafka_demo
from stream_ml.demos.broker import Broker
from stream_ml.demos.kafka_jars import VERSION
from tests.kafka.commands import asked, free_port, running, serving
from tests.kafka.topics import read
from tests.local.processes import ROOT, until

COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def services() -> dict[str, str]:
    """Return the text of each service."""
    parts = re.split(r"^  ([\w-]+):.*\n", COMPOSE.partition("services:\n")[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def command_of(service: str) -> list[str]:
    found = re.search(r"^    command: (\[.*\])$", services()[service], re.MULTILINE)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


@pytest.mark.slow
def test_the_demo_loses_and_doubles_nothing(kafka_jars: Path, tmp_path: Path) -> None:
    assert kafka_jars.is_dir()
    found = kafka_demo.run(rate=200, duration=24, folder=tmp_path / "kafka")
    assert found["payments"] == found["predictions"] == 24 * 200
    assert found["lost"] == found["doubled"] == 0
    assert "learner" in found["killed"]["tasks"]
    assert kafka_demo.SESSION_S / 2 < found["gap_s"] < 30
    assert found["exit_codes"] == [0, 0]
    assert found["model_version"] > 0
    assert Path(found["files"]["picture"]).read_bytes()[1:4] == b"PNG"


def test_the_compose_file_names_what_is_there() -> None:
    assert services().keys() == {"kafka", "worker", "second-worker", "producer"}
    assert f"image: apache/kafka:{VERSION}\n" in services()["kafka"]
    for name in ("second-worker", "producer"):
        assert "<<: *worker" in services()[name]
    (source, target) = re.findall(r'volumes: \["\./([^:]+):([^:]+):ro"\]', COMPOSE)[0]
    assert (ROOT / source).is_file()
    assert command_of("worker")[1] == target
    (build,) = re.findall(r"dockerfile: ([\w/]+)", COMPOSE)
    assert (ROOT / build).read_text(encoding="utf-8") == DOCKERFILE
    assert 'ENTRYPOINT ["stream-ml"]' in DOCKERFILE
    assert "\nUSER stream\n" in DOCKERFILE


def test_the_compose_files_commands_run(broker: Broker, tmp_path: Path) -> None:
    """As Docker would start them, with the host's name replaced; the worker's own health check is asked too."""
    ports = [free_port(), free_port()]
    (partitions,) = re.findall(r'environment: \{STREAM_ML_KAFKA_PARTITIONS: "(\d+)"\}', services()["worker"])

    def here(service: str) -> list[str]:
        words = [word.replace("kafka:9092", broker.address) for word in command_of(service)]
        return [word.replace("/pipelines/", f"{ROOT}/stream_ml/demos/") for word in words]

    def settings(port: int) -> dict[str, str]:
        return {"STREAM_ML_KAFKA_PARTITIONS": partitions, "STREAM_ML_METRICS_PORT": str(port)}

    with (
        running(tmp_path, *here("worker"), settings=settings(ports[0])) as worker,
        running(tmp_path, *here("worker"), settings=settings(ports[1])) as second,
    ):
        until(lambda: {*serving(ports[0]), *serving(ports[1])} == {*"0123", "learner"}, 120)
        until(lambda: all(asked(port, "/readyz")[0] == 200 for port in ports), 60)
        with running(tmp_path, *here("producer"), "--duration", "2") as producer:
            assert producer.process.wait(60) == 0, producer.said
        until(lambda: sum(len(read(broker.address, "cards.predictions", n)) for n in range(4)) == 1_000, 60)
        check = re.search(r'HEALTHCHECK [^\n]*\\\n    (\[.*\])', DOCKERFILE)
        assert check is not None
        words = [word.replace("9100", str(ports[0])) for word in json.loads(check[1])]
        assert subprocess.run(words, check=False).returncode == 0, shlex.join(words)
        for one in (worker, second):
            one.process.terminate()
        assert (worker.process.wait(30), second.process.wait(30)) == (0, 0)
